"""Pages whose parsing or extraction would take seconds: both are quadratic in places and cannot be interrupted.

Measured with resiliparse 2.0.1 (Lexbor) on a page of 10,000 of each: nested elements cost 3.4 s in main content;
formatting elements that differ and are not closed 30 s in the parser, which opens all of them anew in each paragraph;
options of one list 1 s, attributes of one element .2 s (attributes_guard.py). Each grows with the square. No page of
the crawls at hand comes near these limits.
"""

import re
from collections import Counter

import numpy as np
from resiliparse.parse.html import HTMLTree

from pipelines.attributes_guard import has_many_attributes
from pipelines.markup import Markup

MAX_TAGS = 300_000  # .6 s of main content
MAX_DEPTH = 256  # browsers cut at 512 (kMaximumHTMLParserDOMTreeDepth in Chromium)
MAX_OPEN_FORMATTING = 200
MAX_OPTIONS = 5_000
# Below these, and MAX_DOM_BYTES, a page takes at most 1 s whatever it holds, and is looked at no further.
_FEW_TAGS_TO_PARSE, _FEW_TAGS_TO_EXTRACT = 3_000, 1_000

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
    return has_many_attributes(markup) or (tags > _FEW_TAGS_TO_PARSE and _has_runs(markup))


def is_too_deep(markup: Markup, tree: HTMLTree) -> bool:
    """Whether elements are nested so deeply that main content could take seconds. The query runs in native code."""
    if len(markup.tags) < _FEW_TAGS_TO_EXTRACT or tree.document is None:
        return False
    return tree.document.query_selector(_DEEP) is not None


def _has_runs(markup: Markup) -> bool:
    """Whether many formatting elements stand open at once, or a list has too many options."""
    first, second, third = markup.first, markup.after(markup.tags, 2), markup.after(markup.tags, 3)
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
