"""Hosts: of URLs, which in crawls may be none, and as people write them; all are compared in one form.

The form is that of a browser's request: UTS 46 without its transitional rules (https://www.unicode.org/reports/tr46/),
so punycode, in lower case, without a port and without the dot of the root.
"""

import re
from urllib.parse import unquote, urlsplit

import idna

MAX_HOST_CHARACTERS = 253  # RFC 1035, 2.3.4
# As most are; to split a URL takes ten times as long.
_PLAIN = re.compile(r"https?://([a-z0-9-]{1,63}+(?:\.[a-z0-9-]{1,63}+){1,2}+)(?:[/?#]|\Z)")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]")
_IN_PATTERN = re.compile(r"[*?\[\]!]")


def host_of(url: str) -> str:
    """Host of a URL as it is compared; '' if it has none."""
    if plain := _PLAIN.match(url):
        return plain[1]
    try:
        return ascii_host(urlsplit(url).hostname or "")
    except ValueError:  # brackets that hold no IPv6 address
        return ""


def host_named(name: str) -> str:
    """Return a host that somebody wrote, perhaps with a port, as it is compared: `Példa.hu.:80` ->
    `xn--plda-cpa.hu`.
    """
    return host_of(f"//{name.strip()}")


def ascii_host(host: str) -> str:
    """A host without port as it is compared. Labels that UTS 46 forbids stay as they are, in lower case."""
    host = host[: 4 * MAX_HOST_CHARACTERS]
    if "%" in host:
        host = unquote(host)
    host = _UNPRINTABLE.sub("", host)
    if not host.isascii():
        host = ".".join(map(_ascii_label, _mapped(host[:MAX_HOST_CHARACTERS]).split(".")))
    return host.lower().strip(".")[:MAX_HOST_CHARACTERS]


def ascii_host_pattern(pattern: str) -> str:
    """Return a host pattern (*, ?, [..]) as hosts are compared: labels with a wildcard stay, the others are as in a
    host.
    """
    labels = pattern.strip().lower().rstrip(".").split(".")
    return ".".join(label if _IN_PATTERN.search(label) else ascii_host(label) for label in labels)


def _mapped(host: str) -> str:
    try:
        mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
    except idna.IDNAError:
        mapped = host.lower()
    return _UNPRINTABLE.sub("", mapped)  # a cedilla that stands alone becomes a space and its mark


def _ascii_label(label: str) -> str:
    return label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}"
