"""Pages in other languages leave before they are parsed, and none that is in a wanted one."""

import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.documents.row import HtmlPage, capture_document, extract_page, measure, open_page
from pipelines.pages.warc import Capture, read_warc
from pipelines.sample_crawl.article import TOPICS, compose
from pipelines.settings import DocumentSettings
from pipelines.text.identify import Identifier, load_identifier
from pipelines.text.other_language import MAX_PIECES, PIECE_CHARACTERS, other_language
from tests.pipelines.warc_files import FRENCH, prose

SCRIPT = "<script>if (a < b && c > d) { text = '<p>This is the English text of a script</p>' }</script>"
STYLE = "<style>p > a { color: red }</style>"
MENU = "<ul>" + "<li><a href='/x?a=1&amp;b=2'>Home</a></li>" * 20 + "</ul>"


@pytest.fixture(scope="module")
def identify(document_settings: DocumentSettings) -> Identifier:
    return load_identifier(document_settings)


def page_of(paragraphs: list[str], between: str = "", tag: str = "p") -> str:
    return f"<html><head>{STYLE}</head><body>" + between.join(f"<{tag}>{text}</{tag}>" for text in paragraphs)


@pytest.mark.parametrize("tag", ["p", "P", "p class='x'", "div", "br/"])
@pytest.mark.parametrize("between", ["", SCRIPT, MENU, "<!-- x -->"])
def test_pages_in_another_language_are_told(identify: Identifier, tag: str, between: str) -> None:
    page = page_of([prose(FRENCH, number, 60) for number in range(150)], between, tag)
    found = other_language(page, ("eng", "hun"), identify)
    assert found is not None and found[0] == "fra" and found[1] > 0.8
    assert other_language(page, ("eng", "fra"), identify) is None


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<body>",
        "<p>Too short a text.</p>",
        "<body>" + SCRIPT.replace("p>", "b>") * 500,
        "<p>" + "x = f(a); " * 3000,
        "<p>12 34 " * 3000,
        "<p>" + "&nbsp" * 3000,
    ],
)
def test_what_is_not_sure_goes_on(identify: Identifier, page: str) -> None:
    assert other_language(page, ("hun",), identify) is None


ARTICLES = {
    topic.language: [compose(topic, random.Random(number), 150).paragraphs for number in range(4)]
    for topic in (TOPICS[name] for name in ("stadt", "jardin", "falu", "pueblo", "by"))
}


@settings(max_examples=40)
@given(
    st.sampled_from(sorted(ARTICLES)),
    st.lists(st.sampled_from(["", SCRIPT, STYLE, MENU, "<!-- a comment > b -->", "<p></p>", " \n"]), min_size=1),
    st.sampled_from(["p", "div", "td", "p lang=en"]),
    st.booleans(),
)
def test_no_page_in_a_wanted_language_leaves(
    identify: Identifier, language: str, between: list[str], tag: str, escaped: bool
) -> None:
    paragraphs = [text for article in ARTICLES[language] for text in article]
    if escaped:
        paragraphs = [re.sub("[^\x00-\x7f]", lambda found: f"&#{ord(found[0])};", text) for text in paragraphs]
    page = "".join(between[n % len(between)] + f"<{tag}>{text}</{tag}>" for n, text in enumerate(paragraphs))
    assert other_language(page, (language,), identify) is None


class Counting:
    """Counts what it is given."""

    def __init__(self) -> None:
        self.pieces: list[str] = []

    def ranked(self, text: str, count: int) -> list[tuple[str, float]]:
        self.pieces.append(text)
        return [("eng", 0.5)]


def test_pieces_that_are_in_no_language_do_not_count() -> None:
    class Nothing(Counting):
        def ranked(self, text: str, count: int) -> list[tuple[str, float]]:
            return []

    assert other_language(page_of([prose(FRENCH, number) for number in range(9)]), ("hun",), Nothing()) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "part", ["<p", "<p>", "<p><script>", "<", "&", "<style", "word ", "<p>word word word word ", "</script>", "<!--"]
)
def test_little_of_a_page_is_looked_at_whatever_it_holds(part: str) -> None:
    counting = Counting()
    other_language(part * (2_000_000 // len(part)), ("hun",), counting)  # type: ignore[arg-type]
    assert len(counting.pieces) <= MAX_PIECES
    assert all(len(piece) <= PIECE_CHARACTERS for piece in counting.pieces)


@pytest.mark.shared
def test_real_pages_stay(shared_data: Path, document_settings: DocumentSettings, identify: Identifier) -> None:
    """Of pages that the whole way keeps, about none is lost. benchmarks/extraction.py looks at all of them."""
    kept, lost, told = Counter[str](), Counter[str](), Counter[str]()
    for name in ("webpages-00000", "libreoffice-help-hu", "libreoffice-help-da"):
        captures = (item for item in read_warc(shared_data / "crawl" / f"{name}.warc.gz", 10**7) if item)
        for capture in [item for item in captures if isinstance(item, Capture)][::15]:
            page = open_page(capture_document(capture), capture, document_settings)
            if not isinstance(page, HtmlPage):
                continue
            document = extract_page(page, document_settings, identify)
            if document["reason"] == "kept":
                measure([document], document_settings, identify)
                language = document["language"]
                html = capture.payload.decode(errors="replace")
                kept[name] += 1
                lost[name] += other_language(html, (language,), identify) is not None
                told[name] += other_language(html, ("fra",), identify) is not None
    assert kept.total() > 300
    assert lost.total() <= 1
    assert told["webpages-00000"] > 0.75 * kept["webpages-00000"]
