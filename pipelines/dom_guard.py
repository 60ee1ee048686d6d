"""Pages whose parsing or extraction would take seconds: both are quadratic in places and cannot be interrupted.

Measured with resiliparse 2.0.1 (Lexbor) on a page of 10,000 of each: nested elements cost 3.4 s in main content;
formatting elements that differ and are not closed 30 s in the parser, which opens all of them anew in each paragraph;
options of one list 1 s, attributes of one element .2 s (attributes_guard.py). Each grows with the square. Where
elements stay open, each tag that has to look through them (li, rb, button, an end tag of none of them) costs 2 ns for
every one: 15,000 open and as many such tags .6 s. No page of the crawls at hand comes near these limits.
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
MAX_OPEN_SUM = 500_000_000  # of the elements that stand open, summed over tags: 1.3 s
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
_TAG = re.compile(rb"<(/?)([a-zA-Z][^\t\n\f\r />]{0,30})")
# Void elements, and those that their own kind closes: https://html.spec.whatwg.org/multipage/syntax.html
_CLOSED_BY_OTHERS = frozenset(
    b"area base br col embed hr img input link meta param source track wbr "
    b"html head body p li dd dt tr td th tbody thead tfoot colgroup a button".split()
)
_DEEP = " > ".join("*" * MAX_DEPTH) + ":first-child"  # of its parent; where one is so deep, its siblings need no look


def is_too_costly(markup: Markup) -> bool:
    """Whether parsing this page could take seconds."""
    tags = len(markup.tags)
    if tags > MAX_TAGS:
        return True
    if has_many_attributes(markup) or (tags > _FEW_TAGS_TO_PARSE and _has_runs(markup)):
        return True
    return tags**2 > MAX_OPEN_SUM and _open_sum(markup) > MAX_OPEN_SUM


def is_too_deep(markup: Markup, tree: HTMLTree) -> bool:
    """Whether elements are nested so deeply that main content could take seconds. The query runs in native code."""
    if len(markup.tags) < _FEW_TAGS_TO_EXTRACT or tree.document is None:
        return False
    return tree.document.query_selector(_DEEP) is not None


def _open_sum(markup: Markup) -> int:
    """Elements that stand open at each tag, summed. Those that their parents close count on: only more can be said."""
    open_now: Counter[bytes] = Counter()
    depth = together = 0
    for closes, name in _TAG.findall(markup.html):
        name = name.lower()
        if name not in _CLOSED_BY_OTHERS:
            if not closes:
                open_now[name] += 1
                depth += 1
            elif open_now[name]:
                open_now[name] -= 1
                depth -= 1
        together += depth
    return together


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
