"""Site owners' opt-outs from the use of their text: `noai` in X-Robots-Tag headers and robots meta tags.

Syntax: https://developers.google.com/search/docs/crawling-indexing/robots-meta-tag, with the value `noai` introduced
by DeviantArt in 2022. An opt-out addressed to one crawler is honoured as if it addressed all.
"""

import re
from collections.abc import Iterable

from resiliparse.parse.html import HTMLTree

OPT_OUT_VALUES = frozenset({"noai"})


def _opts_out(rules: str) -> bool:
    return not OPT_OUT_VALUES.isdisjoint(re.split(r"[\s,:;]+", rules.lower()))


def header_opts_out(robots: Iterable[str]) -> bool:
    """Whether a value of X-Robots-Tag opts out."""
    return any(map(_opts_out, robots))


def page_opts_out(tree: HTMLTree) -> bool:
    """Whether a robots meta tag opts out."""
    if tree.document is None:
        return False
    tags = tree.document.query_selector_all("meta[name][content]")
    return any(
        _opts_out(tag.get_attribute("content") or "")
        for tag in tags
        if "robot" in (tag.get_attribute("name") or "").lower()
    )
