"""Main content of a page, as text."""

import re

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from pipelines.characters import clean, one_line
from pipelines.settings import ExtractionSettings

MAX_TITLE_CHARACTERS = 500


# Furniture inside articles, by the HTML standard's names and by words that sites put into class names: banners of
# consent, copyright lines, captions. The headline has its own column, `title`. Where such a word names a large part of
# the page itself (<body class="cookies-on">), it is no furniture.
_PARTS_OF_PAGE = ("html", "body", "main", "article", "section")
_FURNITURE_WORDS = ("caption", "newsletter", "cookie", "consent", "copyright", "popup")
_FURNITURE = [
    "h1",
    "header",
    "footer",
    "figcaption",
    *(f"[class*={word}]" + "".join(f":not({part})" for part in _PARTS_OF_PAGE) for word in _FURNITURE_WORDS),
]
_READINGS = ["rt", "rp"]  # of ideographs (ruby): they would stand between the letters of a word
_MIN_CHARACTERS = 250  # of text; if less is left, perhaps the whole text stood in the furniture
# Short lines before the first sentence and behind the last are headlines, bylines, dates, buttons. A longer end is a
# list that belongs to the text. Chosen on the pages of benchmarks/content_quality.py: they are a weak check of it.
_MAX_HEAD_LINE, _MAX_TAIL_LINE, _MAX_END_SHARE = 80, 50, 0.1
_SENTENCE_END = re.compile(r"[.!?…。！？｡।؟۔][\"'”’»“‹›「」『』)\]\s]*$")


def all_text(tree: HTMLTree) -> str:
    """All text of the page, with menus and alt texts: a third of main content's time, enough to tell the language."""
    return extract_plain_text(tree, preserve_formatting=False)


def main_content(tree: HTMLTree, settings: ExtractionSettings) -> str:
    """Text of the page without navigation, banners and footers, paragraphs on lines of their own; may be empty.

    resiliparse's rules (https://resiliparse.chatnoir.eu/en/stable/man/extract/html2text.html), and ours over elements
    and lines. On the pages of benchmarks/content_quality.py they raise F1 from .934 to .966.
    """
    text = _extract(tree, settings, _FURNITURE)
    if len(text) < _MIN_CHARACTERS and len(whole := _extract(tree, settings, [])) >= _MIN_CHARACTERS:
        text = whole
    return _trim_ends(text)


def _extract(tree: HTMLTree, settings: ExtractionSettings, skipped: list[str]) -> str:
    return clean(
        extract_plain_text(
            tree,
            main_content=True,
            alt_texts=settings.alt_texts,
            comments=settings.comments,
            post_meta=settings.post_meta,
            list_bullets=settings.list_bullets,
            skip_elements=[*_READINGS, *skipped],
        ),
        line_end=" ",  # what ends lines in plain text ends none in a paragraph of HTML
    )


def _trim_ends(text: str) -> str:
    """`text` without short lines before its first sentence and after its last, if they are a small part of it."""
    lines = text.split("\n")
    start = _end_of_short(lines, _MAX_HEAD_LINE, len(text))
    stop = len(lines) - _end_of_short(lines[start:][::-1], _MAX_TAIL_LINE, len(text))
    return "\n".join(lines[start:stop]).strip()


def _end_of_short(lines: list[str], max_line: int, characters: int) -> int:
    """How many lines may go before the first that is long or ends a sentence; 0 if that is none, or too much."""
    passed = 0
    for number, line in enumerate(lines):
        line = line.strip()
        if len(line) >= max_line or _SENTENCE_END.search(line):
            return number
        passed += len(line)
        if passed > _MAX_END_SHARE * characters:
            return 0
    return 0


def title(tree: HTMLTree) -> str | None:
    return one_line(tree.title or "", MAX_TITLE_CHARACTERS) or None
