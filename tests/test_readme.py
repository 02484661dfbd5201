"""Commands and files that README and the pages show are valid: they parse, compose, and name what exists; code runs."""

import doctest
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from toy_store import write_store

from ablations.registry import BY_ID, compose_variant
from ablations.tables import ask
from ablations.variants import Variant
from datamodules.splits import Split
from emospace.cli import COMMANDS, build_parser, parse
from emospace.demo import EXPERIMENT, SPEECH
from experiments.compose import experiment_names
from experiments.graph import compose, plan
from experiments.sweep import expand_sweep

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "experiments" / "configs"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands() -> list[str]:
    """Every `emospace ...` line of a code block, and every inline one that has arguments."""
    found: list[str] = []
    for page in PAGES:
        text = page.read_text()
        blocks = re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL)
        found += [line for block in blocks for line in block.splitlines() if line.startswith("emospace ")]
        found += re.findall(r"(?<!`)`(emospace \w+ [^`]+)`(?!`)", text)
    return sorted({line.split("  #")[0].strip() for line in found})


def modules(folder: Path) -> None:
    """Write the Python files that pages tell one to save."""
    for page in PAGES:
        found = re.findall(r"Save this as `(\w+\.py)`:\n\n```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
        for name, text in found:
            (folder / name).write_text(text)


def yaml_files(page: Path) -> dict[str, str]:
    """The files that a page tells one to write: name -> content of the block after the paragraph that names it."""
    found = re.findall(r"`(\w+\.yaml)`[^`]*:\n\n```yaml\n(.*?)```", page.read_text(), flags=re.DOTALL)
    return dict(found)


def written(page: Path, folder: Path) -> dict[str, str]:
    files = yaml_files(page)
    for name, text in files.items():
        (folder / name).write_text(text)
    return files


@pytest.mark.parametrize("line", commands())
def test_command_is_understood(line: str) -> None:
    command, *words = shlex.split(line)[1:]
    if command == "COMMAND":
        return
    assert command in COMMANDS
    if words == ["--help"] or (words and words[0].isupper()):
        return
    options = parse(build_parser(command), words)
    files = {name for page in PAGES for name in yaml_files(page)}
    shown = files | {Path(name).stem for name in files}
    presets = {"default", "tiny", "small", "paper", *(path.stem for path in CONFIGS.glob("*.yaml"))}
    for option in ("experiment", "preset", "variant"):
        given = getattr(options, option, "toy") or []
        for named in [given] if isinstance(given, str) else given:
            assert named.partition("#")[0] in shown or named in presets or named in BY_ID


@pytest.mark.parametrize("line", [line for line in commands() if "=" in line and line.split()[1] in ("run", "table")])
def test_config_keys_of_a_command_exist(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's own experiment, or `toy` in place of a page's file."""
    modules(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    command, *words = shlex.split(line)[1:]
    options = parse(build_parser(command), words)
    named = options.experiment if command == "run" else options.preset
    compose_variant(named if named in experiment_names() else "toy", overrides=options.overrides)


def test_files_of_the_demo_are_named_where_it_writes_them() -> None:
    """Start continues with the toy clip and the photograph that `make demo` has left behind."""
    named = set(re.findall(r"--(?:portrait|audio) (work/\S+)", (ROOT / "docs" / "start.md").read_text()))
    assert named == {"work/astronaut.png", f"{compose(EXPERIMENT).config.world.root}/{SPEECH}"}


def test_make_commands_exist() -> None:
    rules = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    text = "\n".join(page.read_text() for page in PAGES)
    named = {name for pair in re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)$", text, re.MULTILINE) for name in pair} - {
        ""
    }
    assert {"demo", "test", "env"} <= named & rules
    assert named <= rules


def test_modules_that_pages_start_exist() -> None:
    """`python -m folder.module` of our own folders."""
    named = {name for page in PAGES for name in re.findall(r"python -m ([\w.]+)", page.read_text())}
    ours = [name for name in named if (ROOT / name.partition(".")[0]).is_dir()]
    assert {"benchmarks.spine", "experiments.reference"} <= set(ours)
    assert [name for name in ours if not (ROOT / f"{name.replace('.', '/')}.py").exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if yaml_files(page)], ids=lambda page: page.name)
def test_files_that_a_page_shows_are_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An experiment composes, a variant changes it, runs of a sweep and of a table are words of `emospace run`."""
    monkeypatch.chdir(tmp_path)
    modules(tmp_path)
    for name, text in written(page, tmp_path).items():
        if "groups:" in text:
            for job in ask(name).jobs():
                compose_variant(job.words[0], overrides=job.words[1:])
        elif "overrides:" in text:
            ids = {plan(compose_variant("toy", one), lambda path: "store")[-1].id for one in (name, "full")}
            assert len(ids) == 2
        elif "train:" in text:
            assert Split.load(name).actors["test"]
        elif "method:" in text:
            for job in expand_sweep(name).jobs:
                options = parse(build_parser("run"), job.words)
                compose_variant(options.experiment, options.variant, options.seed, options.overrides)
        else:
            compose_variant(name)


def test_the_registry_entry_of_the_page_on_variants_is_one() -> None:
    page = ROOT / "docs" / "variants.md"
    [entry] = re.findall(r"```text\n(- id: .*?)```", page.read_text(), flags=re.DOTALL)
    [fields] = yaml.safe_load(entry)
    variant = Variant(**fields)
    name = f"{variant.id}.yaml"
    text = yaml_files(page)[name]
    assert {"id": variant.id, "stage": variant.stage, **yaml.safe_load(text)} == fields
    assert yaml_files(ROOT / "docs" / "tutorial.md")[name] == text, "the tutorial runs this very file"


def tutorial_commands() -> list[str]:
    blocks = re.findall(r"```(\w*)\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text(), flags=re.DOTALL)
    return [line for language, block in blocks if not language for line in block.splitlines()]


@pytest.mark.slow
def test_the_tutorial_runs_as_it_is_written(tmp_path: Path) -> None:
    written(ROOT / "docs" / "tutorial.md", tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "offline"}
    said = {}
    for line in tutorial_commands():
        program, *words = shlex.split(line)
        assert program == "emospace"
        command = [sys.executable, "-m", "emospace.cli", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stderr[-2000:]}"
        said[words[0]] = said.get(words[0], "") + done.stdout
    states = [line.split()[0] for line in said["status"].splitlines()]
    assert set(states) == {"done"}
    statuses = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/status.json")]
    assert [status["variant"] for status in statuses].count("short_memory") == 4
    assert {status["sweep"] for status in statuses if status["seed"] == 1} == {"first_sweep"}
    assert said["table"].count("| Attention over 5 frames |") == 1
    assert "Sweep first_sweep" in (tmp_path / "sweep.html").read_text()
    of_table_3, of_own_table = [line for line in said["table"].splitlines() if "| MLPs |" in line]
    assert "(2)" in of_table_3
    assert "(2)" in of_own_table
    assert "What EAC remembers" in (tmp_path / "report.html").read_text()


DOCS = Path(__file__).parent.parent / "docs"
WITH_EXAMPLES = ("api.md", "backbone.md", "metric.md", "dataset.md")
FLAGS = doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_page_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DOCS / name).read_text()
    for file, content in re.findall(r"Save this as `(\w+\.py)`:\n\n```python\n(.*?)```", text, flags=re.DOTALL):
        (tmp_path / file).write_text(content)
        monkeypatch.delitem(sys.modules, file.removesuffix(".py"), raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    blocks = re.findall(r"```python\n(>>> .*?)```", text, flags=re.DOTALL)
    assert blocks
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, name, str(DOCS / name), 0)
    report: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=report.append)
    assert "".join(report) == ""


def code_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), flags=re.DOTALL)


@pytest.mark.slow
def test_the_python_page_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path / "work", size=64, unseen=("awed",))
    code = "\n".join(code_blocks())
    assert "STEPS = 1000" in code
    names: dict[str, object] = {}
    exec(code.replace("STEPS = 1000", "STEPS = 2"), names)
    assert names["talking"].frames.shape == (12, 3, 64, 64)  # pyright: ignore[reportAttributeAccessIssue]
    metrics = names["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["test/unseen/refused"] == 1, "one-hot styles know no awe"
