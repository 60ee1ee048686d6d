"""Main content of a page, as text."""

import re

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from pipelines.settings import ExtractionSettings

MAX_TITLE_CHARACTERS = 500
# Crawl text is hostile: control characters can drive a terminal, and lone surrogates cannot be stored.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def main_content(tree: HTMLTree, settings: ExtractionSettings) -> str:
    """Text of the page without navigation, banners and footers, paragraphs on lines of their own; may be empty.

    resiliparse's rules: https://resiliparse.chatnoir.eu/en/stable/man/extract/html2text.html
    """
    text = extract_plain_text(
        tree,
        main_content=True,
        alt_texts=settings.alt_texts,
        comments=settings.comments,
        post_meta=settings.post_meta,
        list_bullets=settings.list_bullets,
    )
    return clean(text)


def title(tree: HTMLTree) -> str | None:
    return one_line(tree.title or "", MAX_TITLE_CHARACTERS) or None


def clean(text: str) -> str:
    """`text` with unified line ends, without control characters, without white space at its ends."""
    return _UNPRINTABLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def one_line(text: str, limit: int) -> str:
    """`text` in one line of at most `limit` characters, without control characters."""
    return _UNPRINTABLE.sub("", " ".join(text[: 4 * limit].split()))[:limit]
