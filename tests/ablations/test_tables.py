import csv
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from run_folders import BASE, CLIPS, finish

from ablations import formats
from ablations.others import with_scored
from ablations.paper import TABLES
from ablations.scored import Scored
from ablations.tables import Table, ask, build_table
from conventions.errors import UserError

SEEDS = (0, 1, 2)
ROWS, VARIANTS = len(TABLES["3"].rows), len(TABLES["3"].variants)
MISSING = (VARIANTS - 4) * len(SEEDS) + 1
"""What the fixture `runs` leaves out of table 3."""
SHIFT = {"full": 0.0, "eac_mlp": 0.05, "eac_gru": -0.05, "hef_wo_res": 0.0}


@pytest.fixture(scope="module")
def store() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.graph.store_hash", lambda path: "5" * 64)
        yield


@pytest.fixture(scope="module")
def runs(store: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Table 3 half done: four variants, one of them with a seed missing."""
    tmp_path = tmp_path_factory.mktemp("runs")
    planned = ask("3", "toy", SEEDS).planned()
    for variant, shift in SHIFT.items():
        for seed, run in planned[variant].items():
            if (variant, seed) != ("eac_gru", 2):
                finish(run, tmp_path, shift)
    references = planned["full"][0].parents["references"]
    values = {f"{kind}/{m}": v for kind in ("ground_truth", "copy_source") for m, v in BASE.items()}
    folder = references.folder(tmp_path)
    folder.write("metrics.json", {"hash": references.hash, "required": [], "metrics": values})
    folder.set_status("done", hash=references.hash)
    return tmp_path


@pytest.fixture(scope="module")
def table(runs: Path) -> Table:
    return build_table("3", runs, "toy", SEEDS)


def test_json_says_everything_a_script_needs(table: Table) -> None:
    document = json.loads(json.dumps(formats.json_document(table), allow_nan=False))
    rows = {row["title"]: row for row in document["rows"]}
    assert (document["table"], document["protocol"]) == ("3", "emospace-metrics-v2")
    assert rows["MLPs"]["metrics"]["EFD"]["mean"] == pytest.approx(0.15, abs=0.01)
    assert rows["MLPs"]["metrics"]["EFD"]["n"] == 3
    assert rows["MLPs"]["metrics"]["EFD"]["paper"] == 0.122
    assert rows["GRUs"]["metrics"]["EFD"]["n"] == 2
    assert rows["One-hot"]["metrics"]["EFD"] == {"mean": None, "sd": None, "n": 0, "wanted": 3, "paper": 0.07}
    assert len(document["missing"]) == MISSING
    assert [row["title"] for row in document["references"]] == ["ground truth", "copy source"]


def test_directions_follow_the_paper_only_where_the_data_say_so(table: Table) -> None:
    rows = {row["title"]: row for row in formats.json_document(table)["rows"]}
    directions = {title: {d["metric"]: d["reproduced"] for d in row["directions"]} for title, row in rows.items()}
    assert directions["MLPs"] == {"EFD": True, "LMD": True, "Sync": False}, "EFD and LMD rise as in the paper"
    assert directions["GRUs"] == {"EFD": None, "LMD": None, "Sync": None}, "two seeds claim nothing"
    assert directions["One-hot"] == {"EFD": None, "LMD": None, "Sync": None}
    assert directions["Transformers"] == {}
    interval = rows["MLPs"]["directions"][0]["interval"]
    assert interval[0] < 0.05 < interval[1]
    assert rows["MLPs"]["directions"][0]["against"] == "full"


def test_markdown_shows_seeds_gaps_paper_and_stand_ins(table: Table) -> None:
    text = formats.markdown(table)
    lines = {line.split(" | ")[1]: line for line in text.splitlines() if line.startswith("| ")}
    assert "EFD ↓ †" in text
    assert "LMD ↓ |" in text
    assert "(3) | 0.122" in lines["MLPs"]
    assert "(2/3)" in lines["GRUs"]
    assert "missing (0/3)" in lines["One-hot"]
    assert "**" in lines["GRUs"], "best of its group"
    assert "EFD yes, LMD yes, Sync NO" in lines["MLPs"]
    assert f"Missing ({MISSING})" in text
    assert "`emospace table ... --run` executes them" in text
    assert all(part in text for part in ("git abc", "torch 2", "emospace-metrics-v2", "store 555555555555"))
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_where_the_paper_has_no_value_better_and_worse_are_told(table: Table) -> None:
    rows = tuple(replace(row, paper={}) for row in table.rows)
    lines = {
        line.split(" | ")[1]: line for line in formats.markdown(replace(table, rows=rows)).splitlines() if "| " in line
    }
    assert "EFD worse, LMD worse, Sync better" in lines["MLPs"]
    assert lines["variant"].endswith("| Sync ↑ | difference |"), "no columns of values that the paper does not have"
    assert lines["MLPs"].count("|") == lines["variant"].count("|")
    assert "where the paper has no value" not in formats.markdown(table)


def test_csv_has_a_line_for_each_row_and_metric(table: Table) -> None:
    lines = list(csv.DictReader(io.StringIO(formats.csv(table))))
    assert len(lines) == (ROWS + 2) * len(BASE)
    [line] = [one for one in lines if one["title"] == "MLPs" and one["metric"] == "Sync"]
    assert (line["n"], line["reproduced"], line["stand_in"]) == ("3", "false", "false")


def test_latex_is_balanced_and_escaped(table: Table) -> None:
    text = formats.latex(table)
    assert text.count("{") == text.count("}")
    assert r"w/o L\_emo" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in body} == {1 + 2 * 3}


@pytest.mark.slow
def test_latex_compiles(table: Table, tmp_path: Path) -> None:
    program = shutil.which("pdflatex") or pytest.skip("pdflatex is not installed")
    source = (
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
        + formats.latex(table)
        + "\\end{document}\n"
    )
    (tmp_path / "table.tex").write_text(source)
    command = [program, "-halt-on-error", "-interaction=nonstopmode", "table.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0


def test_only_what_is_missing_is_run_and_the_full_model_first(runs: Path) -> None:
    asked = ask("3", "toy", SEEDS)
    everything = asked.jobs()
    assert len(everything) == VARIANTS * len(SEEDS)
    assert everything[0].words == ("toy", "variant=full", "seed=0")
    missing = asked.missing(runs)
    assert len(missing) == MISSING
    assert set(missing) < set(everything)
    assert ("toy", "variant=eac_gru", "seed=2") in {job.words for job in missing}


def test_without_a_store_everything_is_missing(tmp_path: Path) -> None:
    words = [f"data.store={tmp_path / 'none'}"]
    table = build_table("3", tmp_path, "toy", [0], words)
    assert all(value.n == 0 for row in table.rows for value in row.values.values())
    assert len(ask("3", "toy", [0], words).missing(tmp_path)) == VARIANTS
    assert "missing (0/1)" in formats.markdown(table)


def test_other_methods_stand_in_table_1_with_the_papers_values_alone(runs: Path) -> None:
    text = formats.markdown(build_table("1", runs, "toy", SEEDS))
    [line] = [line for line in text.splitlines() if "Wav2Lip" in line]
    assert "| - | 0.112 |" in line


def test_an_unknown_table_names_the_valid_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unseen"):
        build_table("4", tmp_path)


def scored_by(network: str, title: str = "Wav2Lip", protocol: str = "emospace-metrics-v2") -> Scored:
    values = {"EFD": float("nan"), "LMD": 2.5, "PSNR": 30.0, "SSIM": 0.9}
    return Scored(Path("scores"), title, protocol, {"landmarks": network}, "whole frames", values, frozenset("ab"), 9)


def cells(text: str, title: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith("| ") and f"| {title} |" in line]
    return line.strip("| ").split(" | ")


def test_a_scored_method_stands_beside_the_paper_and_says_whose_networks_it_was_scored_by(runs: Path) -> None:
    ours = replace(build_table("1", runs, "toy", SEEDS), networks={"landmarks": "judge"}, clips=frozenset("abc"))
    like = formats.markdown(with_scored(ours, [scored_by("judge")]))
    assert cells(like, "Wav2Lip")[2:6] == ["-", "0.112", "2.50", "2.59"]
    assert "‡" not in like
    assert "2 clips, 2 of them among our runs' 3" in like
    table = with_scored(ours, [scored_by("MediaPipe"), scored_by("judge", "GC-AVT")])
    text = formats.markdown(table)
    assert cells(text, "Wav2Lip")[4:6] == ["2.50 ‡", "2.59"]
    assert cells(text, "Wav2Lip")[12:14] == ["**30.00**", "29.22"] or "**30.00**" in cells(text, "GC-AVT")
    assert cells(text, "GC-AVT")[4:6] == ["2.50", "-"]
    assert "‡ Wav2Lip: LMD by other networks than our runs (landmarks: judge): not to be compared." in text
    others = [row.title for row in table.paper.rows if row.variant is None]
    assert [row.title for row in table.rows][: len(others) + 2] == [*others, "GC-AVT", "Ours-A"]
    rows = {row["title"]: row for row in formats.json_document(table)["rows"]}
    assert (rows["Wav2Lip"]["metrics"]["LMD"]["unlike"], rows["Wav2Lip"]["metrics"]["PSNR"]["unlike"]) == (True, False)
    assert formats.latex(table).count(r"2.50$^\ddagger$") == 1
    assert {
        line["unlike"] for line in csv.DictReader(io.StringIO(formats.csv(table))) if line["title"] == "Wav2Lip"
    } == {*("true", "false")}


def test_another_protocol_and_the_lack_of_runs_are_said_too(runs: Path, tmp_path: Path) -> None:
    table = replace(build_table("1", tmp_path, "toy", SEEDS), networks={}, clips=frozenset())
    text = formats.markdown(
        with_scored(table, [scored_by("a"), scored_by("b", "EVP"), scored_by("a", "EAMM", "older")])
    )
    assert "‡ EVP: LMD by other networks than Wav2Lip: not to be compared." in text
    assert "‡ EAMM: LMD, PSNR, SSIM by another protocol (older) than Wav2Lip" in text
    assert "‡ Wav2Lip" not in text


def test_networks_of_the_runs_are_known_to_the_table(table: Table) -> None:
    assert table.networks == {"emotion": "judge"}
    assert table.clips == frozenset(CLIPS)


ODD = "a|b $x$ ~c~ <d> {e} ^f \\g `h` *i* _j_ %k #l &m\nn"


def test_any_title_is_one_cell(table: Table) -> None:
    rows = tuple(replace(row, title=ODD, group=ODD) for row in table.rows)
    text = formats.markdown(replace(table, rows=rows))
    [head, _, *body] = [line for line in text.splitlines() if line.startswith("|")]
    columns = len(head.split("|"))
    assert len(body) == len(rows) + len(table.references)
    assert {len(line.replace("\\\\", "").replace("\\|", "").split("|")) for line in body} == {columns}


def test_any_title_is_plain_in_latex(table: Table) -> None:
    text = formats.latex(replace(table, rows=tuple(replace(row, title=ODD, group="") for row in table.rows)))
    expected = r"a\textbar{}b \$x\$ \textasciitilde{}c\textasciitilde{} \textless{}d\textgreater{} \{e\} "
    expected += r"\textasciicircum{}f \textbackslash{}g `h` *i* \_j\_ \%k \#l \&m n"
    assert expected in text


def test_undecided_rows_state_what_they_rest_on_and_what_would_decide_them(table: Table) -> None:
    text = formats.markdown(table)
    assert "GRUs, EFD: undecided (interval " in text
    assert "over 2 seeds, 30 actors, 30 clips); needs 3 seeds at least." in text
    [line] = [line for line in text.splitlines() if line.startswith("w/o res., EFD: undecided")]
    assert "over 3 seeds" in line
    rows = {row["title"]: row for row in formats.json_document(table)["rows"]}
    decided, undecided = (rows[title]["directions"][0] for title in ("MLPs", "GRUs"))
    assert decided["needed"] is None
    assert (decided["seeds"], decided["clips"]) == (3, 30)
    assert undecided["needed"] == "3 seeds at least"


def test_runs_of_two_protocols_do_not_share_a_table(runs: Path) -> None:
    assert build_table("3", runs, "toy", SEEDS).protocol == "emospace-metrics-v2"
    folder = ask("3", "toy", SEEDS).planned()["full"][0].folder(runs)
    document = folder.read("metrics.json")
    folder.write("metrics.json", {**document, "protocol": "emospace-metrics-v1"})
    with pytest.raises(
        UserError, match=r"scored by emospace-metrics-v1 and emospace-metrics-v2, which are not comparable"
    ):
        build_table("3", runs, "toy", SEEDS)
    folder.write("metrics.json", document)


def test_networks_of_one_name_and_other_weights_are_other_networks(runs: Path) -> None:
    ours = replace(build_table("1", runs, "toy", SEEDS), networks={"landmarks": "N (aaaaaaaa)"})
    one = scored_by("N")
    same, other = (replace(one, digests={"landmarks": digit * 64}) for digit in "ab")
    assert "‡" not in formats.markdown(with_scored(ours, [same]))
    assert "‡ Wav2Lip: LMD by other networks" in formats.markdown(with_scored(ours, [other]))
