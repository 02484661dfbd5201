"""Values of other papers: each with its source, protocol and definition, apart from the table and never in it."""

import json
from pathlib import Path

import pytest

from ablations.others import read_published
from conventions.errors import UserError
from emospace.cli import main
from metrics.protocol import HIGHER_IS_BETTER


def test_every_value_has_its_definition_and_the_direction_of_our_metric() -> None:
    sources = read_published()
    assert [source.name for source in sources] == ["C-MET", "Xemo-Talker", "KeyFace"]
    for source in sources:
        assert source.protocol
        for metric, facts in source.metrics.items():
            assert facts["definition"]
            assert facts["higher_is_better"] is HIGHER_IS_BETTER[metric]
    assert sources[0].rows["C-MET"]["EmotionAccuracy"] == 55.91


def test_a_value_without_a_definition_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    text = "sources: [{name: N, source: s, protocol: p, metrics: {FID: {definition: d}}, rows: {A: {FVD: 1}}}]"
    path.write_text(text)
    with pytest.raises(UserError, match="N: A: FVD has no definition"):
        read_published(path)
    path.write_text(text.replace("FVD: 1", "FID: much"))
    with pytest.raises(UserError, match="expected a number, not 'much'"):
        read_published(path)
    path.write_text("nothing")
    with pytest.raises(UserError, match="contains no published values"):
        read_published(path)


def test_they_stand_apart_from_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["table", "1", f"data.store={tmp_path / 'none'}", "--runs", str(tmp_path)]
    assert main(words) == 0
    without = capsys.readouterr().out
    assert main([*words, "--with-published"]) == 0
    both = capsys.readouterr().out
    assert both.startswith(without)
    assert "comparable neither with ours nor with each other" in both
    assert "| EDTalk | 6.75 | 8.3 | 73 | 81.02 |" in both
    assert main([*words, "--with-published", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["published"][0]["rows"]["EAT"]["FVD"] == 330.7
    assert not any(row["title"] == "EDTalk" for row in document["rows"])
