"""A second extractor is asked where main content finds little, and costs little where a page is hostile."""

import sys

import pytest

from pipelines.pages.extract import main_content
from pipelines.pages.parse import parse
from pipelines.pages.second_extractor import MAX_TAGS, TOO_SHORT_FOR_A_CORPUS, longer_text, refuse_missing_extractor
from pipelines.settings import DocumentSettings, ExtractionSettings
from storage.errors import InputError
from tests.pipelines.warc_files import ENGLISH, prose

PARAGRAPHS = "".join(f"<p>{line}</p>" for line in prose(ENGLISH, 1).split("\n"))
IN_A_SIDEBAR = f"<html><body><div class=sidebar><div class=content>{PARAGRAPHS}</div></div></body></html>"
SECOND = ExtractionSettings(second="trafilatura")


@pytest.fixture
def trafilatura() -> None:
    pytest.importorskip("trafilatura", reason="an extra: pip install 'neutral-residues[trafilatura]'")


def content(html: str, settings: ExtractionSettings) -> str:
    tree = parse(html)
    assert tree is not None
    return longer_text(main_content(tree, settings), html, settings)


@pytest.mark.usefixtures("trafilatura")
def test_the_longer_text_counts_where_main_content_finds_little() -> None:
    assert len(content(IN_A_SIDEBAR, ExtractionSettings())) < TOO_SHORT_FOR_A_CORPUS
    assert content(IN_A_SIDEBAR, SECOND).split() == prose(ENGLISH, 1).split()
    assert longer_text("a" * 499, "<p>Short.</p>", SECOND) == "a" * 499


@pytest.mark.parametrize("html", [PARAGRAPHS + "<p>" * MAX_TAGS, PARAGRAPHS + "word " * 200_000])
def test_a_page_that_would_take_long_is_not_looked_at(html: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trafilatura", None)  # an import would fail
    assert longer_text("a", html, SECOND) == "a"
    assert longer_text("a" * TOO_SHORT_FOR_A_CORPUS, PARAGRAPHS, SECOND) == "a" * TOO_SHORT_FOR_A_CORPUS
    assert longer_text("a", PARAGRAPHS, ExtractionSettings()) == "a"


def test_what_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    refuse_missing_extractor(ExtractionSettings())
    with pytest.raises(InputError, match="trafilatura is not installed"):
        refuse_missing_extractor(SECOND)


def test_it_stands_in_keys_only_where_it_is_set() -> None:
    assert "second" not in DocumentSettings().identity()["extraction"]
    assert DocumentSettings(extraction=SECOND).identity()["extraction"]["second"] == "trafilatura"
