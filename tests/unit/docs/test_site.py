"""The documents hold together: links and anchors, the site, what pages name, what they ask of elsewhere."""

import itertools
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

import pi_system

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
LEAKS = (DOCS / "explanation" / "what-is-leaked.md").read_text()


def tokens(page: Path) -> Iterator[Token]:
    """Inline and block tokens, tables read as a code host reads them."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text()):
        yield token
        yield from token.children or ()


@cache
def anchors(page: Path) -> set[str]:
    """As a code host makes them of headings: a second of the same name has a number."""
    found, seen, parsed = set(), Counter[str](), list(tokens(page))
    for opening, inline in itertools.pairwise(parsed):
        if opening.type == "heading_open":
            text = "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found


def targets(page: Path) -> list[str]:
    return [
        str(token.attrs.get("href") or token.attrs.get("src"))
        for token in tokens(page)
        if token.type in ("link_open", "image")
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_anchors_that_there_are(page: Path) -> None:
    for target in targets(page):
        if re.match(r"(https?|mailto):", target):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(found), target


def test_paths_of_documents_that_code_and_documents_name_are_there() -> None:
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False).stdout
    for name in listed.splitlines():
        if name.endswith((".py", ".md", ".toml", ".sh", ".h", "Makefile")) and (ROOT / name).exists():
            for path in re.findall(
                r"\bdocs/(?:(?:tutorial|how-to|reference|explanation)/)?[\w-]+\.(?:md|json|rst)",
                (ROOT / name).read_text(),
            ):
                assert (ROOT / path).exists(), f"{name}: {path}"


def test_every_page_stands_in_the_contents() -> None:
    index = (DOCS / "index.md").read_text()
    listed = {
        path for line in index.splitlines() if re.fullmatch(r"[\w-]+/[\w*-]+", line) for path in DOCS.glob(f"{line}.*")
    }
    assert {page for page in PAGES if page.is_relative_to(DOCS)} - {DOCS / "index.md"} <= listed


def test_the_docstrings_are_those_of_the_public_api() -> None:
    listed = re.findall(r"^\.\. auto\w+:: (\w+)$", (DOCS / "reference" / "api.rst").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(name for name in pi_system.__all__ if not name.startswith("_"))


def test_every_claim_on_leaks_names_a_test_that_there_is() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", LEAKS)
    assert len(named) > 10
    for file, function in named:
        assert re.search(rf"^def {function}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{function}"
    for path in re.findall(r"`(pi_system/[\w/]+\.py)`", LEAKS):
        assert (ROOT / path).exists()
    rows = [line.split("|") for line in LEAKS.splitlines() if line.startswith("| ")]
    assert all(row[-2].strip() for row in rows)


def test_the_citation_is_of_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (\S+)$", text, re.MULTILINE)[1] == pi_system.__version__  # type: ignore[index]
    assert re.search(r"^license: MIT$", text, re.MULTILINE)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_asks_nothing_of_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "kept")]
    done = subprocess.run([*command, str(DOCS), str(tmp_path / "site")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        loaded = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"([^\"]*)\"", page.read_text())
        assert not [target for target in loaded if re.match(r"(https?:)?//", target)], page
    for sheet in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", sheet.read_text()), sheet
