"""The languages of a page by who crawled it: `content_languages` of Common Crawl's index, as `hun,eng`, by CLD2.

They stand in the index since CC-MAIN-2018-39, in WARC files in the `metadata` record behind a page, in WET files in a
header (https://commoncrawl.org/blog/august-2018-crawl-archive-now-available-and-new-feature-language-annotations).
Nobody here looks at the page for them, so that they stand beside opted-out pages too.
"""

import json
import re
from contextlib import suppress
from dataclasses import dataclass

MAX_METADATA_BYTES = 1 << 14  # of a record that is looked at; Common Crawl's have some 200
MAX_LANGUAGES = 3  # that Common Crawl names of a page
_CODES = re.compile(r"[a-z]{3}(?:,[a-z]{3})*")
_FIELD = b"languages-cld2:"


@dataclass(frozen=True, slots=True)
class PageLanguages:
    """Holds what a metadata record says of the languages of the record with this id."""

    record_id: str
    languages: str


def content_languages(written: str | None) -> str:
    """Return codes of languages as the index writes them, the main one first; '' where they are none."""
    codes = (written or "").strip()[: 4 * MAX_LANGUAGES - 1]
    return codes if _CODES.fullmatch(codes) else ""


def page_languages(record_id: str, metadata: bytes) -> PageLanguages | None:
    """Return what a metadata record on the record with this id says of its languages; None where it says nothing."""
    for line in metadata.splitlines():
        if line.startswith(_FIELD):
            with suppress(ValueError, TypeError, KeyError, RecursionError):
                found = json.loads(line[len(_FIELD) :])["languages"][:MAX_LANGUAGES]
                languages = content_languages(",".join(item["code-iso-639-3"] for item in found))
                return PageLanguages(record_id, languages) if languages else None
    return None
