"""Pages whose parsing or extraction would take seconds: both are quadratic in places and cannot be interrupted.

Measured with resiliparse 2.0.1 (Lexbor) on a page of 10,000 of each: nested elements cost 3.4 s in main content;
formatting elements that differ and are not closed 30 s in the parser, which opens all of them anew in each paragraph;
options of one list 1 s, attributes of one element .2 s. Each grows with the square. No page of the crawls at hand
comes near these limits.
"""

import re
from collections import Counter

import numpy as np
from resiliparse.parse.html import HTMLTree

MAX_TAGS = 300_000  # .6 s of main content
MAX_DEPTH = 256  # browsers cut at 512 (kMaximumHTMLParserDOMTreeDepth in Chromium)
MAX_OPEN_FORMATTING = 200
MAX_OPTIONS = 5_000
MAX_ATTRIBUTES = 20_000  # of one element, .8 s; scripts without `>` look like one of up to 10,000
# Below these, a page takes at most 1 s whatever it holds, and is looked at no further.
_FEW_TAGS_TO_PARSE, _FEW_TAGS_TO_EXTRACT = 3_000, 1_500
_FEW_CHARACTERS = 200_000  # of a page, for attributes to matter

# The HTML standard's formatting elements, less <a>, which closes the one before it.
_NAMES = ("b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u", "option")
_FORMATTING = re.compile(rf"<(/?)({'|'.join(_NAMES)})[\s/>]", re.IGNORECASE)
# Whether `<` and these two bytes can begin such a tag. A zero stands for UTF-16, in which all can.
_BEGINNINGS = np.zeros((256, 256), dtype=bool)
_BEGINNINGS[0, :] = _BEGINNINGS[:, 0] = True
for _name in _NAMES:
    for _first in {_name[0], _name[0].upper()}:
        for _second in {_name[1], _name[1].upper()} if len(_name) > 1 else "\t\n\f\r />":
            _BEGINNINGS[ord(_first), ord(_second)] = True
_DEEP = " > ".join("*" * MAX_DEPTH)


def count_tags(body: bytes) -> int:
    """How many `<` a page has, or a few more. In bytes, this takes a tenth of the time of counting in text."""
    return int(np.count_nonzero(np.frombuffer(body, dtype=np.uint8) == ord("<")))


def is_too_costly(body: bytes, html: str) -> bool:
    """Whether parsing this page, given as it came and decoded, could take seconds."""
    tags = count_tags(body)
    if tags > MAX_TAGS:
        return True
    if len(html) > _FEW_CHARACTERS and _may_have_many_attributes(body):
        parts = [part for part in html.split(">") if len(part) > 2 * MAX_ATTRIBUTES]
        if any(map(_has_many_attributes, parts)):
            return True
    return tags > _FEW_TAGS_TO_PARSE and _may_have_runs(body) and _has_runs(html)


def is_too_deep(body: bytes, tree: HTMLTree) -> bool:
    """Whether elements are nested so deeply that main content could take seconds. The query runs in native code."""
    if count_tags(body) < _FEW_TAGS_TO_EXTRACT or tree.document is None:
        return False
    return tree.document.query_selector(_DEEP) is not None


def _may_have_many_attributes(body: bytes) -> bool:
    """Whether there is a long way between two `>`. If so, a block has none; nearly every block has one soon."""
    blocks = range(0, len(body) - MAX_ATTRIBUTES + 1, MAX_ATTRIBUTES)
    if all(body.find(b">", start, start + MAX_ATTRIBUTES) >= 0 for start in blocks):
        return False
    ends = np.flatnonzero(np.frombuffer(body + b">", dtype=np.uint8) == ord(">"))
    return int(np.diff(ends, prepend=0).max()) > 2 * MAX_ATTRIBUTES


def _may_have_runs(body: bytes) -> bool:
    """Whether enough tags begin like formatting ones, by their first two letters: a tenth of the time of looking."""
    codes = np.frombuffer(body + b"  ", dtype=np.uint8)
    places = np.flatnonzero(codes == ord("<"))
    begun = _BEGINNINGS[codes[places + 1], codes[places + 2]]
    return int(np.count_nonzero(begun)) > MAX_OPEN_FORMATTING


def _has_many_attributes(up_to_tag_end: str) -> bool:
    _, opened, tag = up_to_tag_end.rpartition("<")
    return bool(opened) and len(tag.split(maxsplit=MAX_ATTRIBUTES)) > MAX_ATTRIBUTES


def _has_runs(html: str) -> bool:
    """Whether many formatting elements stand open at once, or a list has too many options."""
    open_now: Counter[str] = Counter()
    for closes, name in _FORMATTING.findall(html):
        name = name.lower()
        if name == "option":
            open_now[name] += not closes  # closing them makes it no faster
        elif not closes:
            open_now[name] += 1
        elif open_now[name]:
            open_now[name] -= 1
        if open_now[name] > (MAX_OPTIONS if name == "option" else MAX_OPEN_FORMATTING):
            return True
    return False
