"""The documentation as a site: every page is in the navigation, every link, anchor and code reference has a target."""

import importlib
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
OTHER_HOST = re.compile(
    r"<(?:script|img|iframe|source|video)\b[^>]*\bsrc=.?(?:https?:)?//"
    r"|<link\b[^>]*\brel=.?(?:stylesheet|preconnect|icon|preload)[^>]*\bhref=.?(?:https?:)?//"
)
"""What a browser fetches from elsewhere when it shows a page."""


def outside_code(text: str) -> str:
    """A page without its code blocks and inline code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def links(text: str) -> list[tuple[str, str]]:
    """(path, anchor) of every relative link of a page."""
    targets = re.findall(r"\]\(([^)\s]+)\)", outside_code(text))
    return [(path, anchor) for path, _, anchor in (t.partition("#") for t in targets if "://" not in t)]


def anchors(text: str) -> set[str]:
    """Ids of a page's headings, where Python-Markdown and GitHub agree on them."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE)
    shown = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles]
    plain = [re.sub(r"[^\w\s-]", "", title).strip().lower() for title in shown]
    return {title.replace(" ", "-") for title in plain if "  " not in title}


def broken(page: Path, text: str) -> list[str]:
    """Relative links of a page that lead nowhere."""
    found = []
    for path, anchor in links(text):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(text if not path else target.read_text())):
            found.append(f"{path}#{anchor}")
    return found


def nav_pages(entries: Any) -> list[str]:
    """Files of a navigation, in order."""
    if isinstance(entries, str):
        return [entries]
    values = entries.values() if isinstance(entries, dict) else entries
    return [page for value in values for page in nav_pages(value)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_and_anchor_exists(page: Path) -> None:
    assert broken(page, page.read_text()) == []


def test_a_broken_link_or_anchor_is_found() -> None:
    text = "## Two `words`\n\n[a](ame.md) [b](absent.md) [c](ame.md#absent) [d](#two-words) [e](#three) `[f](f.md)`"
    assert broken(DOCS / "index.md", text) == ["absent.md#", "ame.md#absent", "#three"]


def test_every_page_is_in_the_navigation_once() -> None:
    listed = nav_pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_names_of_the_code_exist(page: Path) -> None:
    """`folder/file.py:name`, and `:name` for a further name of the same file."""
    missing, source = [], ""
    for path, name in re.findall(r"`([a-z]\w*/[\w/.]+\.(?:py|yaml|toml))?(?::(\w+))?`", page.read_text()):
        file = ROOT / path if path else None
        if file is not None and not file.exists() and (ROOT / path.split("/")[0]).is_dir():
            missing.append(path)
        elif file is not None and file.exists():
            source = file.read_text()
        if name and not re.search(rf"^(class|def) {name}\b", source, flags=re.MULTILINE):
            missing.append(f"{path}:{name}")
    assert missing == []


def test_every_name_of_the_api_page_can_be_imported() -> None:
    for dotted in re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(), flags=re.MULTILINE):
        module, _, name = dotted.rpartition(".")
        assert getattr(importlib.import_module(module), name).__doc__, dotted


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    paper = citation["preferred-citation"]
    assert paper["title"] in " ".join((DOCS / "paper.md").read_text().split())
    authors = [f"{author['given-names']} {author['family-names']}" for author in paper["authors"]]
    assert ", ".join(authors) in " ".join((DOCS / "paper.md").read_text().split())


@pytest.mark.skipif(
    not all(map(find_spec, ("mkdocs", "material", "mkdocstrings"))), reason="needs pip install 'emospace[docs]'"
)
def test_the_strict_build_has_no_warning_and_no_request_to_other_hosts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(list(DOCS.rglob("*.md")))
    assert [page.name for page in pages if OTHER_HOST.search(page.read_text())] == []
