"""The code of docs/python.md runs as it stands, on a small store and with few batches."""

import re
from pathlib import Path

import pytest
from toy_store import write_store

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def code_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.mark.slow
def test_the_page_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
