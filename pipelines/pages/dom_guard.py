"""Pages whose parsing or extraction would take seconds: both are quadratic in places and cannot be interrupted.

Measured with resiliparse 2.0.1 (Lexbor) on a page of 10,000 of each: nested elements cost 3.4 s in main content;
formatting elements that differ and are not closed 30 s in the parser, which opens all of them anew in each paragraph;
options of one list 1 s, attributes of one element .2 s (below). Each grows with the square. A megabyte in a thousand
elements costs 4 s in main content. Where elements stay open, each tag that has to look through them (li, rb, button, an
end tag of none of them) costs 2 ns for every one: 15,000 open and as many such tags .6 s. No page of the crawls at hand
comes near these limits.
"""

import re
from collections import Counter
from collections.abc import Iterator
from string import ascii_letters

import numpy as np
from resiliparse.parse.html import HTMLTree

from pipelines.pages.parse import Markup

# Elements with so many attributes that parsing takes seconds: each new one is compared with all before it.
#
# Measured with resiliparse 2.0.1 (Lexbor): 1.8 s for 10^9 in the sum of squares of the numbers of attributes. Those of
# a second <html> or <body> go to the first. The page is hostile, so a tag is what the HTML standard makes of it: it may
# hold `>` and other tags in its values, between quotes that text and scripts may imitate.


MAX_SQUARES = 300_000_000  # of attributes, summed over elements: 17,000 of one
_FEW_BYTES = 100_000  # of a page; 26,000 attributes that differ find room in it, 1.2 s
_BYTES_OF_ATTRIBUTE = 3  # at least, where many differ
_MAX_ROOTS = 2  # <html> and <body>
_MAX_SPACE = 100
_MAX_LOOKS = 4  # at a page, for tags that seem to be in others
_MAX_STEPS = 10_000  # from one `>` that may stand in a value to the next, .1 s; then the rest is one long way

_SPACE = b" \t\n\f\r"
_BEFORE_VALUE = b"=" + _SPACE
_ANY_TAG = re.compile(rb"</?[a-zA-Z][^%b/>]*+" % _SPACE)
_ROOT = re.compile(rb"<(?:html|body)(?=[%b/])" % _SPACE, re.IGNORECASE)
# As the standard has it: nearly all may stand in a name, and no space need come before it.
_ATTRIBUTE = re.compile(
    rb"[%b/]*+[^%b/>][^%b/>=]*+(?:[%b]*+=[%b]*+(?:\"[^\"]*+\"?+|'[^']*+'?+|[^%b>]*+))?+" % ((_SPACE,) * 6)
)
_MANY = int(MAX_SQUARES**0.5) + 1
_ATTRIBUTES = re.compile(rb"(?:%b){0,%d}+" % (_ATTRIBUTE.pattern, _MANY))


def has_many_attributes(markup: Markup) -> bool:
    html = markup.html
    if len(html) <= _FEW_BYTES:
        return False
    if _has_many_at_the_root(markup):
        return True
    length = _BYTES_OF_ATTRIBUTE**2 * MAX_SQUARES // len(html)  # shorter tags have at most MAX_SQUARES in sum
    squares = looked_at = 0
    for start, end in _long_ways(html, length):
        for name in _ends_of_names(html, start, end):
            attributes = _end_of_attributes(html, name) - name
            looked_at += attributes
            if attributes > length:
                squares += _count(html, name, name + attributes) ** 2
            # What is no tag but looks like one, as in a comment, may go on into many others.
            if squares > MAX_SQUARES or looked_at > _MAX_LOOKS * len(html):
                return True
    return False


def _has_many_at_the_root(markup: Markup) -> bool:
    """Tell whether all that seem to be tags <html> and <body> have too many attributes together."""
    roots: list[int] = []
    for first, second in ("ht", "bo"):
        tags = markup.tags[markup.first | 0x20 == ord(first)]
        roots += tags[markup.after(tags, 2) | 0x20 == ord(second)].tolist()
    together = looked_at = 0
    for place in roots if len(roots) > _MAX_ROOTS else ():
        if not (tag := _ROOT.match(markup.html, place)):
            continue
        end = _end_of_attributes(markup.html, tag.end())
        looked_at += end - tag.end()
        together += _count(markup.html, tag.end(), end)
        # Where they seem to stand in the attributes of each other, each of them may go on to the end of the page.
        if together**2 > MAX_SQUARES or looked_at > _MAX_LOOKS * len(markup.html):
            return True
    return False


def _end_of_attributes(html: bytes, name: int) -> int:
    found = _ATTRIBUTES.match(html, name)
    assert found is not None
    return found.end()


def _count(html: bytes, name: int, end: int) -> int:
    """Count attributes of the tag between the end of its name and theirs; no more than _MANY."""
    return sum(1 for _ in _ATTRIBUTE.finditer(html, name, end))


def _ends_of_names(html: bytes, start: int, end: int) -> Iterator[int]:
    """Yield where names of tags may end between two places. A tag may begin at the first `<` and letter behind each
    `>`.
    """
    while tag := _ANY_TAG.search(html, start + 1, end):
        yield tag.end()
        start = html.find(b">", tag.end(), end)
        if start < 0:
            return


def _long_ways(html: bytes, length: int) -> Iterator[tuple[int, int]]:
    """Yield ways of more than `length` bytes in which no `>` surely ends a tag: each longer tag lies in one of them.

    Of most pages little is looked at: what stands before each `length` of bytes.
    """
    start, steps = -1, iter(range(_MAX_STEPS))
    while start + length < len(html):
        end = _last_sure_end(html, start + 1, start + 1 + length, steps)
        if end < 0:
            end = _next_sure_end(html, start + 1, start + 1 + length, steps)
            yield start, end
        start = end


def _last_sure_end(html: bytes, start: int, place: int, steps: Iterator[int]) -> int:
    """Return the last `>` between two places that is in no value; -1 if there is none, or no more steps are left."""
    end = html.rfind(b">", start, place)
    while end >= 0 and (opening := _opening(html, start, end)) >= 0:
        end = html.rfind(b">", start, opening) if next(steps, None) is not None else -1
    return end


def _next_sure_end(html: bytes, start: int, place: int, steps: Iterator[int]) -> int:
    """Return the first `>` from `place` on that is in no value, however long.

    The end of the page if there is none, or no more steps are left.
    """
    last = {b'"': start - 1, b"'": start - 1}
    for _ in steps:
        end = html.find(b">", place)
        if end < 0:
            break
        for quote, before in last.items():
            last[quote] = max(before, html.rfind(quote, before + 1, end))
        opening = next((quote for quote, at in last.items() if _opens_value(html, start, at)), None)
        if opening is None:
            return end
        place = html.find(opening, end)
        if place < 0:
            break
    return len(html)


def _opening(html: bytes, start: int, end: int) -> int:
    """Return the first of the quotes that open a value in which `end` may stand, the last of either kind behind
    `start`.

    -1 where there is none.
    """
    double, single = html.rfind(b'"', start, end), html.rfind(b"'", start, end)
    if not _opens_value(html, start, double):
        double = -1
    if not _opens_value(html, start, single):
        return double
    return single if double < 0 else min(double, single)


def _opens_value(html: bytes, start: int, quote: int) -> bool:
    """Tell whether `=` stands before a quote, or white space that goes on for too long to look behind it."""
    if quote <= start or html[quote - 1] not in _BEFORE_VALUE:
        return False
    before = html[max(start, quote - _MAX_SPACE) : quote]
    left = before.rstrip(_SPACE)
    return left.endswith(b"=") if left else len(before) == _MAX_SPACE


MAX_TAGS = 300_000  # .6 s of main content
MAX_DEPTH = 256  # browsers cut at 512 (kMaximumHTMLParserDOMTreeDepth in Chromium)
MAX_OPEN_FORMATTING = 200
MAX_OPTIONS = 5_000
MAX_OPEN_SUM = 500_000_000  # of the elements that stand open, summed over tags: 1.3 s
# Below these, and MAX_DOM_BYTES, a page takes at most 1 s whatever it holds, and is looked at no further.
_FEW_TAGS_TO_PARSE = 3_000
# Main content gathers each text anew at each level: 4 ns a byte and level, 1 s for MAX_LEVEL_BYTES. So the longer a
# page, the fewer levels it may have. Where all tags that open something could be levels at less than half of that, none
# are counted: one may open two, as <td> a row too.
MAX_LEVEL_BYTES, _FEW_LEVEL_BYTES = 300_000_000, 150_000_000
_DEPTHS = (MAX_DEPTH, 128, 64, 48)  # that are told apart; the longest pages have the last

# The HTML standard's formatting elements, less <a>, which closes the one before it.
_NAMES = ("b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u", "option")
_FORMATTING = re.compile(rf"<(/?)({'|'.join(_NAMES)})[\s/>]".encode(), re.IGNORECASE)
# Whether `<` and these two bytes can begin such a tag.
_BEGINNINGS = np.zeros((256, 256), dtype=bool)
for _name in _NAMES:
    for _first in {_name[0], _name[0].upper()}:
        for _second in {_name[1], _name[1].upper()} if len(_name) > 1 else "\t\n\f\r />":
            _BEGINNINGS[ord(_first), ord(_second)] = True
_IS_LETTER = np.zeros(256, dtype=bool)
_IS_LETTER[list(ascii_letters.encode())] = True
_TAG = re.compile(rb"<(/?)([a-zA-Z][^\t\n\f\r />]{0,30})")
# Void elements, and those that their own kind closes: https://html.spec.whatwg.org/multipage/syntax.html
_CLOSED_BY_OTHERS = frozenset(
    b"area base br col embed hr img input link meta param source track wbr "
    b"html head body p li dd dt tr td th tbody thead tfoot colgroup a button".split()
)
# Of its parent: where one is so deep, its siblings need no look.
_DEEP = {depth: " > ".join("*" * depth) + ":first-child" for depth in _DEPTHS}


def is_too_costly(markup: Markup) -> bool:
    """Tell whether parsing this page could take seconds."""
    tags = len(markup.tags)
    if tags > MAX_TAGS:
        return True
    if has_many_attributes(markup) or (tags > _FEW_TAGS_TO_PARSE and _has_runs(markup)):
        return True
    return tags**2 > MAX_OPEN_SUM and _open_sum(markup) > MAX_OPEN_SUM


def is_too_deep(markup: Markup, tree: HTMLTree) -> bool:
    """Tell whether elements are nested so deeply that main content could take seconds. The query runs in native
    code.
    """
    length = len(markup.html)
    if len(markup.tags) * length < _FEW_LEVEL_BYTES or tree.document is None:
        return False
    # Half of the tags end something, and no other but </p> and </br>, which have nothing in them, makes an element.
    opening = np.count_nonzero(_IS_LETTER[markup.first])
    if opening * length < _FEW_LEVEL_BYTES:
        return False
    depth = next((depth for depth in _DEPTHS if depth * length <= MAX_LEVEL_BYTES), _DEPTHS[-1])
    return tree.document.query_selector(_DEEP[depth]) is not None


def _open_sum(markup: Markup) -> int:
    """Sum the elements that stand open at each tag. One that its parent closes stays counted: the sum can only be too
    high."""
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
    """Tell whether many formatting elements stand open at once, or a list has too many options."""
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
