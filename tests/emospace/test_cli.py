"""The command line as scripts rely on it: fixed names, one-line errors, exit codes, quick help; and its page.

Files of the user's working directory never stand in for ours, however a command is started.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from emospace.cli import COMMANDS, build_parser, main
from emospace.doctor import OPTIONAL
from emospace.reference import COMMAND, PAGE, page
from experiments.launchers import LocalLauncher
from experiments.sweep import SweepJob

ROOT = Path(__file__).parents[2]

FIXED = {
    *("doctor", "toy", "prepare", "store", "run", "sweep", "status"),
    *("ablations", "table", "figure", "score", "talk", "bench", "report"),
}


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def test_every_fixed_command_exists() -> None:
    assert set(COMMANDS) >= FIXED


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    assert f"example: emospace {command}" in build_parser(command).format_help()


def test_help_imports_nothing_heavy() -> None:
    heavy = "sorted({'torch', 'numpy'} & set(sys.modules))"
    code = f"import sys; from emospace.cli import main; main(['--help']); print({heavy})"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert lines(shown)[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tabel"], "did you mean 'table'?"),
        (["toy"], "required: DIR"),
        (["run", "toi"], "did you mean 'toy'?"),
        (["run", "toy", "eac.stepz=3"], "did you mean 'eac.steps'?"),
        (["run", "toy", "eac.steps=many"], "eac.steps"),
        (["run", "toy", "--seed", "0", "eac.weights=3"], "eac.weights"),
        (["run", "toy", "--sede", "0"], "did you mean '--seed'?"),
        (["run", "toy", "--variant", "eac_mpl"], "did you mean 'eac_mlp'?"),
        (["sweep", "demmo"], "did you mean 'demo'?"),
        (["table", "2"], "2"),
        (["store", "nowhere"], "nowhere"),
        (["prepare", "nowhere", "store", "--workers", "0"], "--workers 0: must be more than 0"),
        (["prepare", "nowhere", "store", "--clip-seconds", "-1"], "--clip-seconds -1: must be more than 0"),
        (["figure", "4"], "there are 5, 6"),
        (["score", "a", "b"], "a: no such file or folder"),
        (["bench", "--preset", "papre"], "papre"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(lines(captured.err)) == 1
    assert said in captured.err


def test_ablations_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablations", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"id", "title", "table", "stage", "overrides", "expected"} <= set(rows[0])
    assert {"eac_mlp", "hef_wo_hie"} <= {row["id"] for row in rows}


def test_status_of_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json", "--runs", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_an_absent_checkpoint_says_what_to_get(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw").mkdir()
    for name in ("raw/talk.mp4", "face_landmarker.task"):
        (tmp_path / name).touch()
    network = tmp_path / "epoch_20.pth"
    words = ["prepare", str(tmp_path / "raw"), str(tmp_path / "store"), "--weights", str(tmp_path)]
    assert main([*words, "--coefficients", "deep3d", "--deep3d", str(network)]) == 2
    source = "https://github.com/sicxu/Deep3DFaceRecon_pytorch#prepare-prerequisite-models"
    assert lines(capsys.readouterr().err) == [
        f"emospace prepare: {network}: no such file; get epoch_20.pth from {source}"
    ]


def test_doctor_finds_what_the_environment_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["missing"] == []
    assert found["packages"]["torch"]


def test_doctor_reports_the_packages_of_each_extra() -> None:
    """What it advises to install brings what it misses; `docs` and `dev` serve the project, not its commands."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = {extra: needed for extra, needed in extras.items() if extra not in ("docs", "dev")}
    assert {extra for extra, _ in OPTIONAL.values()} == wanted.keys()
    for package, (extra, _) in OPTIONAL.items():
        assert package in {re.split("[<>=!]", need)[0] for need in wanted[extra]}


def test_a_missing_package_is_one_line_with_the_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def without() -> None:
        raise ModuleNotFoundError("No module named 'absent.part'", name="absent.part")

    monkeypatch.setattr("emospace.doctor.examine", without)
    assert main(["doctor"]) == 1
    [line] = lines(capsys.readouterr().err)
    assert line.startswith(f"emospace doctor: the package absent is not installed in {sys.prefix}; `make env`")


def test_full_disk_is_one_line_and_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "page.html"))

    monkeypatch.setattr("emospace.report.page.write_text", full)
    assert main(["report", str(tmp_path / "page.html"), "--runs", str(tmp_path), "--table"]) == 1
    captured = capsys.readouterr()
    assert lines(captured.err) == [f"emospace report: {tmp_path / 'page.html'}: No space left on device"]
    assert not (tmp_path / "page.html").exists()


def test_the_page_equals_the_parsers() -> None:
    assert PAGE.read_text() == page(), f"docs/commands.md is out of date: {COMMAND}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_has_a_help_text(command: str) -> None:
    assert [action.dest for action in build_parser(command)._actions if not action.help] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_is_on_the_page(command: str) -> None:
    section = page().partition(f"## emospace {command}\n")[2].partition("\n## ")[0]
    options = [name for action in build_parser(command)._actions for name in action.option_strings[-1:]]
    assert [name for name in options if name != "--help" and f"`{name}" not in section] == []


NAMES = ("metrics", "conventions", "experiments", "datamodules", "toyworld", "ablations", "lightning_modules", "yaml")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory whose modules leave a mark when they are imported."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write({name!r})\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    return tmp_path


@pytest.mark.parametrize("words", [["-m", "emospace.cli"], ["-c", "from emospace.cli import entry; entry()"]])
def test_a_command(words: list[str], folder: Path) -> None:
    if words[0] == "-c":
        words = ["-P", *words]
    done = subprocess.run([sys.executable, *words, "status", "--json"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    assert not (folder / "executed").exists()


def test_runs_of_a_sweep(folder: Path) -> None:
    reports = LocalLauncher(1).run([SweepJob(("tooy",))], folder / "logs")
    assert reports[0].reason is not None
    assert "did you mean 'toy'" in reports[0].reason
    assert not (folder / "executed").exists()


def test_children_of_a_command(folder: Path) -> None:
    """What Lightning starts is the same command again; worker processes are started by multiprocessing."""
    code = "import os; from emospace import cli; cli.main = lambda: print(os.environ['PYTHONSAFEPATH']); cli.entry()"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "1", done.stderr
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    child = [sys.executable, "-m", "emospace.cli", "ablations", "--json"]
    assert subprocess.run(child, env=environment, capture_output=True, check=False).returncode == 0
    assert not (folder / "executed").exists()
