"""The charset that a page declares, in its HTTP header or in a meta tag, and the codec that its label means.

In a meta tag it is found as browsers do before they parse: what stands in a comment, or in an attribute of another tag,
is no declaration (https://html.spec.whatwg.org/multipage/parsing.html#prescan-a-byte-stream-to-determine-its-encoding).
"""

import re

from resiliparse.parse.encoding import map_encoding_to_html5

# Python's codecs of these names are narrower than what the web writes under them: https://encoding.spec.whatwg.org/.
AS_BROWSERS = {
    "shift_jis": "cp932", "iso2022_jp": "iso2022_jp_ext", "euc_kr": "cp949",
    "big5": "big5hkscs", "gbk": "gb18030", "gb2312": "gb18030", "iso8859-11": "cp874",
}  # fmt: skip
# DOS and the Mac had charsets that browsers do not know: IANA's names of them, and what pages write.
_DOS_LABEL = re.compile(
    r"(?:x-)?(?:ibm|cp|dos|cspc8?(?:codepage)?|pc8?)?[-_]?0?(437|7(?:20|37|75)|8(?:5[02578]|6[0-69]))(?:multilingual)?"
)
_MAC_LABEL = re.compile(r"(?:x-)?mac[-_]?([a-z0-9]+)")
_MAC_CODECS = {
    **dict.fromkeys(("ce", "centraleurope", "centraleurroman", "centraleuropean", "latin2"), "mac_latin2"),
    **dict.fromkeys(("cyrillic", "ukrainian", "ukraine"), "mac-cyrillic"),
    **{name: f"mac_{name}" for name in ("roman", "croatian", "romanian", "greek", "turkish", "iceland", "arabic")},
    "icelandic": "mac_iceland",
}

_HTTP_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)

_BYTES = 4096  # browsers look at 1,024; some pages put scripts first

_ATTRIBUTE = rb"[\s/]*+([^\s/>=][^\s/>=]*+)(?:\s*+=\s*+(?:\"([^\"]*+)\"?|'([^']*+)'?|([^\s>\"'][^\s>]*+)?))?+"
_TOKEN = re.compile(
    rb"<!--(?:>|.*?(?:-->|\Z))|<(?:(meta)(?=[\s/])|/?[a-z][^\s>]*+)((?:%s)*+)|<[!/?][^>]*+"
    % re.sub(rb"\((?!\?)", b"(?:", _ATTRIBUTE),
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_CHARSET = re.compile(rb"charset\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s;\"']+))", re.IGNORECASE)


def http_charset(content_type: str) -> str | None:
    """Return the label in an HTTP Content-Type."""
    found = _HTTP_CHARSET.search(content_type)
    return found and found[1]


def meta_charset(page: bytes) -> str | None:
    """Return the label in the first meta tag that names a charset."""
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


def codec_of(label: str) -> str | None:
    """Return the codec of a charset that browsers, DOS or the Mac have: a hostile page must not choose among all of
    Python's.
    """
    label = label.strip().lower()
    if codec := map_encoding_to_html5(label, fallback_utf8=False):
        return AS_BROWSERS.get(codec, codec)
    if dos := _DOS_LABEL.fullmatch(label):
        return f"cp{dos[1]}"
    mac = _MAC_LABEL.fullmatch(label)
    return "cp1252" if label == "x-user-defined" else mac and _MAC_CODECS.get(mac[1])
