"""Charsets of the pages, in which their bytes are written and which they state: right, missing and wrong."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Charset:
    """A page's charset: `written` is the truth; `header` and `meta` are what the server and the page's head claim.

    decodable says whether a careful reader (declared charset if the bytes allow it, else detection) gets the text.
    """

    written: str
    header: str | None
    meta: str | None
    decodable: bool = True

    def encode(self, html: str) -> bytes:
        """Returns the page's bytes; characters that the charset lacks become character references."""
        if self.written in _BROKEN:
            return _BROKEN[self.written](html)
        return html.encode(self.written, "xmlcharrefreplace")


def _mixed(html: str) -> bytes:
    middle = len(html) // 2
    return html[:middle].encode("cp1252", "xmlcharrefreplace") + html[middle:].encode("utf-8")


_BROKEN: dict[str, Callable[[str], bytes]] = {
    "mixed": _mixed,  # half windows-1252, half UTF-8
    "twice": lambda html: html.encode().decode("latin-1").encode(),  # UTF-8 read as latin-1, written again
    "utf-16-le": lambda html: html.encode("utf-16-le"),  # without a byte order mark, under another name
}

UTF8 = Charset("utf-8", "utf-8", "utf-8")

# Decodable ones that are not the common case.
UNCOMMON = (
    Charset("utf-8", "utf-8", None),
    Charset("utf-8", None, "utf-8"),
    Charset("utf-8", None, None),
    Charset("iso-8859-1", "iso-8859-1", "iso-8859-1"),
    Charset("windows-1252", None, "windows-1252"),
    Charset("windows-1252", "windows-1252", None),
    Charset("iso-8859-1", "utf-8", None),
    Charset("iso-8859-1", "utf-8", "utf-8"),
    Charset("windows-1252", None, None),
    Charset("utf-8", "iso-8859-1", None),
    Charset("utf-8", "iso-8859-1", "utf-8"),
    Charset("utf-8", "utf-8", "iso-8859-1"),
)
UNCOMMON_HUNGARIAN = (
    Charset("iso-8859-2", "iso-8859-2", None),
    Charset("iso-8859-2", None, "iso-8859-2"),
    Charset("utf-8", None, None),
)
UNDECODABLE = (
    Charset("mixed", "utf-8", "utf-8", decodable=False),
    Charset("twice", "utf-8", None, decodable=False),
    Charset("utf-16-le", "x-sample", None, decodable=False),
)
