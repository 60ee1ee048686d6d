"""The charset that a page names in a meta tag, found as browsers do before they parse.

https://html.spec.whatwg.org/multipage/parsing.html#prescan-a-byte-stream-to-determine-its-encoding: what stands in a
comment, or in an attribute of another tag, is no declaration.
"""

import re

_BYTES = 4096  # browsers look at 1,024; some pages put scripts first

_ATTRIBUTE = rb"[\s/]*+([^\s/>=][^\s/>=]*+)(?:\s*+=\s*+(?:\"([^\"]*+)\"?|'([^']*+)'?|([^\s>\"'][^\s>]*+)?))?+"
_TOKEN = re.compile(
    rb"<!--(?:>|.*?(?:-->|\Z))|<(?:(meta)(?=[\s/])|/?[a-z][^\s>]*+)((?:%s)*+)|<[!/?][^>]*+"
    % re.sub(rb"\((?!\?)", b"(?:", _ATTRIBUTE),
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_CHARSET = re.compile(rb"charset\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s;\"']+))", re.IGNORECASE)


def meta_charset(page: bytes) -> str | None:
    """The label in the first meta tag that names a charset."""
    for token in _TOKEN.finditer(page[:_BYTES]):
        if token[1] and (label := _label(token[2])):
            return label.strip().decode("ascii", errors="replace")
    return None


def _label(tag: bytes) -> bytes | None:
    attributes: dict[bytes, bytes] = {}
    for name, *values in _ATTRIBUTES.findall(tag):
        attributes.setdefault(name.lower(), b"".join(values))
    if charset := attributes.get(b"charset"):
        return charset
    if attributes.get(b"http-equiv", b"").strip().lower() != b"content-type":
        return None
    found = _CHARSET.search(attributes.get(b"content", b""))
    return found and b"".join(filter(None, found.groups()))
