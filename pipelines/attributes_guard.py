"""Elements with so many attributes that parsing takes seconds: each new one is compared with all before it.

Measured with resiliparse 2.0.1 (Lexbor): 1.8 s for 10^9 in the sum of squares of the numbers of attributes. Those of a
second <html> or <body> go to the first. The page is hostile, so a tag is what the HTML standard makes of it: it may
hold `>` and other tags in its values, between quotes that text and scripts may imitate.
"""

import re
from collections.abc import Iterator

from pipelines.markup import Markup

MAX_SQUARES = 300_000_000  # of attributes, summed over elements: 17,000 of one
_FEW_BYTES = 100_000  # of a page; 26,000 attributes that differ find room in it, 1.2 s
_BYTES_OF_ATTRIBUTE = 3  # at least, where many differ
_MAX_ROOTS = 2  # <html> and <body>
_MAX_SPACE = 100
_MAX_LOOKS = 4  # at a page, for tags that seem to be in others
_MAX_STEPS = 10_000  # from one `>` that may stand in a value to the next, .1 s; then the rest is one long way

_SPACE = b" \t\n\f\r"
_BEFORE_VALUE = b"=" + _SPACE
_TAG = re.compile(rb"</?[a-zA-Z][^%b/>]*+" % _SPACE)
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
        for name in _names_of_tags(html, start, end):
            attributes = _end_of_attributes(html, name) - name
            looked_at += attributes
            if attributes > length:
                squares += _count(html, name, name + attributes) ** 2
            # What is no tag but looks like one, as in a comment, may go on into many others.
            if squares > MAX_SQUARES or looked_at > _MAX_LOOKS * len(html):
                return True
    return False


def _has_many_at_the_root(markup: Markup) -> bool:
    """Whether all that seem to be tags <html> and <body> have too many attributes together."""
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
    """Attributes of the tag between the end of its name and theirs; no more than _MANY."""
    return sum(1 for _ in _ATTRIBUTE.finditer(html, name, end))


def _names_of_tags(html: bytes, start: int, end: int) -> Iterator[int]:
    """Where names of tags may end between two places. A tag may begin at the first `<` and letter behind each `>`."""
    while tag := _TAG.search(html, start + 1, end):
        yield tag.end()
        start = html.find(b">", tag.end(), end)
        if start < 0:
            return


def _long_ways(html: bytes, length: int) -> Iterator[tuple[int, int]]:
    """Ways of more than `length` bytes in which no `>` surely ends a tag: each longer tag lies in one of them.

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
    """The last `>` between two places that is in no value; -1 if there is none, or no more steps are left."""
    end = html.rfind(b">", start, place)
    while end >= 0 and (opening := _opening(html, start, end)) >= 0:
        end = html.rfind(b">", start, opening) if next(steps, None) is not None else -1
    return end


def _next_sure_end(html: bytes, start: int, place: int, steps: Iterator[int]) -> int:
    """The first `>` from `place` on that is in no value, however long.

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
    """The first of the quotes that open a value in which `end` may stand, the last of either kind behind `start`.

    -1 where there is none.
    """
    double, single = html.rfind(b'"', start, end), html.rfind(b"'", start, end)
    if not _opens_value(html, start, double):
        double = -1
    if not _opens_value(html, start, single):
        return double
    return single if double < 0 else min(double, single)


def _opens_value(html: bytes, start: int, quote: int) -> bool:
    """Whether `=` stands before a quote, or white space that goes on for too long to look behind it."""
    if quote <= start or html[quote - 1] not in _BEFORE_VALUE:
        return False
    before = html[max(start, quote - _MAX_SPACE) : quote]
    left = before.rstrip(_SPACE)
    return left.endswith(b"=") if left else len(before) == _MAX_SPACE
