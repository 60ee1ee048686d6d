"""Site owners' opt-outs from the use of their text, as a page and its HTTP headers state them.

- Values of X-Robots-Tag and of robots meta tags (https://developers.google.com/search/docs/crawling-indexing/
  robots-meta-tag) such as `noai`, which DeviantArt introduced in 2022. An opt-out that is addressed to one crawler is
  honoured as if it addressed all.
- The TDM Reservation Protocol's header and meta tag (https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240510/):
  `tdm-reservation: 1`. Its third form, a file on the site, is not in a page's capture.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
from resiliparse.parse.html import HTMLTree

from pipelines.settings import OptOutSettings

# `robots`, or the name of one crawler: `googlebot`, `ccbot`.
_META = "meta[name*=bot i][content], meta[name*=tdm-reservation i][content]"
_SEPARATORS = re.compile(r"[\s,:;]+")


def header_opt_out(robots: Iterable[str], tdm_reservation: str, settings: OptOutSettings) -> str | None:
    """Reason of an opt-out by HTTP headers: x_robots_tag or tdm_header; None if there is none."""
    if any(_says(value, settings.robots) for value in robots):
        return "x_robots_tag"
    if settings.tdm and tdm_reservation.strip() == "1":
        return "tdm_header"
    return None


def page_opt_out(body: bytes, encoding: str, tree: HTMLTree, settings: OptOutSettings) -> str | None:
    """Reason of an opt-out by meta tags: meta_robots or tdm_meta; None if there is none."""
    if tree.document is None or not _may_opt_out(body, encoding, settings):
        return None
    for tag in tree.document.query_selector_all(_META):
        name = (tag.get_attribute("name") or "").strip().lower()
        content = tag.get_attribute("content") or ""
        if name == "tdm-reservation":
            if settings.tdm and content.strip() == "1":
                return "tdm_meta"
        elif _says(content, settings.robots):
            return "meta_robots"
    return None


def _may_opt_out(body: bytes, encoding: str, settings: OptOutSettings) -> bool:
    """Whether a meta tag in the page's bytes holds a word that opts out: a look in half the time of the query.

    True also where one holds a character reference, which could spell such a word (`no&#97;i`).
    """
    if encoding.startswith("utf-16"):
        return True
    tags = b"".join(_meta_tags(body)).lower()
    return b"&#" in tags or b"tdm-reservation" in tags or any(value.encode() in tags for value in settings.robots)


def _meta_tags(body: bytes) -> Iterator[bytes]:
    """Tags that begin with `<m`: found by array, in half the time of a regular expression."""
    codes = np.frombuffer(body, dtype=np.uint8)
    begins = codes[:-1] == ord("<")
    begins &= (codes[1:] | 0x20) == ord("m")
    starts = np.flatnonzero(begins).tolist()
    for start, following in pairwise([*starts, len(body)]):
        end = body.find(b">", start, following)
        yield body[start : end if end >= 0 else following]


def _says(rules: str, values: Iterable[str]) -> bool:
    return not set(values).isdisjoint(_SEPARATORS.split(rules.lower()))
