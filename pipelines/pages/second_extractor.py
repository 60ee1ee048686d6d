"""A second extractor, for pages of which main content finds little: trafilatura (Barbaresi 2021,
https://aclanthology.org/2021.acl-demo.15), an optional dependency.

It takes twenty milliseconds a page where ours takes one, so it is asked only where a text would be too short for a
corpus. docs/filters.md has what it gives.
"""

import logging
from importlib.util import find_spec

from pipelines.pages.characters import clean
from pipelines.settings import ExtractionSettings
from storage.errors import InputError

TOO_SHORT_FOR_A_CORPUS = 500  # min_characters of a corpus, by default
# Of a page that it looks at. Its time grows faster than a page: 330,000 open <p> take 12 s, 10,000 of any tag and a
# megabyte less than one (trafilatura 2.3.1).
MAX_HTML_CHARACTERS, MAX_TAGS = 1_000_000, 10_000


def refuse_missing_extractor(settings: ExtractionSettings) -> None:
    """Raise InputError where the second extractor of these settings is not installed."""
    if settings.second == "trafilatura" and find_spec("trafilatura") is None:
        raise InputError(
            "documents.extraction.second: trafilatura is not installed: pip install 'neutral-residues[trafilatura]', "
            "or leave the field out"
        )


def longer_text(text: str, html: str, settings: ExtractionSettings) -> str:
    """Return the longer of a page's main content and, if that is short, the second extractor's text of the page."""
    if settings.second == "none" or len(text) >= TOO_SHORT_FOR_A_CORPUS:
        return text
    if len(html) > MAX_HTML_CHARACTERS or html.count("<") > MAX_TAGS:
        return text
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # it warns of each odd page
    found = trafilatura.extract(html, favor_precision=True, include_comments=settings.comments)
    return max(text, clean(found or ""), key=len)
