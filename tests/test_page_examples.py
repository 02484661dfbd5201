"""Code of the documentation's pages runs: files that a page names are written, `>>>` examples give what they show."""

import doctest
import re
import sys
from pathlib import Path

import pytest
from toy_store import write_store

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ("api.md", "backbone.md", "metric.md", "dataset.md")
FLAGS = doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", PAGES)
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
