"""Pages whose parsing or extraction would take seconds: both are quadratic in places and cannot be interrupted.

Measured with resiliparse 2.0.1 (Lexbor) on a page of 10,000 of each: nested elements cost 3.4 s in main content;
formatting elements that differ and are not closed 30 s in the parser, which opens all of them anew in each paragraph;
options of one list 1 s, attributes of one element .2 s. Each grows with the square. No page of the crawls at hand
comes near these limits.
"""

import re
from collections import Counter
from itertools import islice

import numpy as np
from resiliparse.parse.html import HTMLTree

from pipelines.markup import Markup

MAX_TAGS = 300_000  # .6 s of main content
MAX_DEPTH = 256  # browsers cut at 512 (kMaximumHTMLParserDOMTreeDepth in Chromium)
MAX_OPEN_FORMATTING = 200
MAX_OPTIONS = 5_000
MAX_ATTRIBUTES = 20_000  # of one element, .8 s; scripts without `>` look like one of up to 10,000
# Below these, a page takes at most 1 s whatever it holds, and is looked at no further.
_FEW_TAGS_TO_PARSE, _FEW_TAGS_TO_EXTRACT = 3_000, 1_500
_FEW_BYTES = 100_000  # of a page; 26,000 attributes that differ find room in it

_TAG = re.compile(rb"</?[a-zA-Z]")
# As the standard has it: nearly all may stand in a name, and no space need come before it.
_ATTRIBUTE = re.compile(rb"[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:\"[^\"]*+\"?+|'[^']*+'?+|[^\s>]*+))?+")
# The HTML standard's formatting elements, less <a>, which closes the one before it.
_NAMES = ("b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u", "option")
_FORMATTING = re.compile(rf"<(/?)({'|'.join(_NAMES)})[\s/>]".encode(), re.IGNORECASE)
# Whether `<` and these two bytes can begin such a tag.
_BEGINNINGS = np.zeros((256, 256), dtype=bool)
for _name in _NAMES:
    for _first in {_name[0], _name[0].upper()}:
        for _second in {_name[1], _name[1].upper()} if len(_name) > 1 else "\t\n\f\r />":
            _BEGINNINGS[ord(_first), ord(_second)] = True
_DEEP = " > ".join("*" * MAX_DEPTH)


def is_too_costly(markup: Markup) -> bool:
    """Whether parsing this page could take seconds."""
    tags = len(markup.tags)
    if tags > MAX_TAGS:
        return True
    if len(markup.html) > _FEW_BYTES and _has_many_attributes(markup):
        return True
    return tags > _FEW_TAGS_TO_PARSE and _has_runs(markup)


def is_too_deep(markup: Markup, tree: HTMLTree) -> bool:
    """Whether elements are nested so deeply that main content could take seconds. The query runs in native code."""
    if len(markup.tags) < _FEW_TAGS_TO_EXTRACT or tree.document is None:
        return False
    return tree.document.query_selector(_DEEP) is not None


def _has_many_attributes(markup: Markup) -> bool:
    """Whether a tag has too many attributes: it does not end for a long way, in which a block has no `>`.

    One that has `>` in its values, all along, is not seen; RECORD_SECONDS of pool.py is left to end its process.
    """
    html = markup.html
    blocks = range(0, len(html) - MAX_ATTRIBUTES + 1, MAX_ATTRIBUTES)
    if all(html.find(b">", start, start + MAX_ATTRIBUTES) >= 0 for start in blocks):
        return False  # nearly every page
    ends = np.flatnonzero(markup.codes == ord(">"))
    edges = np.concatenate([[-1], ends, [len(html)]])
    for way in np.flatnonzero(np.diff(edges) > 2 * MAX_ATTRIBUTES).tolist():
        end = int(edges[way + 1])
        tag = _TAG.search(html, int(edges[way]) + 1, end)
        if tag and sum(1 for _ in islice(_ATTRIBUTE.finditer(html, tag.end(), end), MAX_ATTRIBUTES)) == MAX_ATTRIBUTES:
            return True
    return False


def _has_runs(markup: Markup) -> bool:
    """Whether many formatting elements stand open at once, or a list has too many options."""
    first, second, third = (markup.after(markup.tags, distance) for distance in (1, 2, 3))
    opening, closing = _BEGINNINGS[first, second], _BEGINNINGS[second, third] & (first == ord("/"))
    if np.count_nonzero(opening) <= MAX_OPEN_FORMATTING:
        return False
    open_now: Counter[bytes] = Counter()
    for place in markup.tags[opening | closing].tolist():
        if not (tag := _FORMATTING.match(markup.html, place)):
            continue
        closes, name = tag[1], tag[2].lower()
        if name == b"option":
            open_now[name] += not closes  # closing them makes it no faster
        elif not closes:
            open_now[name] += 1
        elif open_now[name]:
            open_now[name] -= 1
        if open_now[name] > (MAX_OPTIONS if name == b"option" else MAX_OPEN_FORMATTING):
            return True
    return False
