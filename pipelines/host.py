"""The host of a URL. Crawls hold URLs that are none."""

import re
from urllib.parse import urlsplit

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]")


def host_of(url: str) -> str:
    """Host of a URL in lower case, '' if it has none."""
    try:
        return _UNPRINTABLE.sub("", (urlsplit(url).hostname or "").rstrip("."))[:253]
    except ValueError:  # brackets that hold no IPv6 address
        return ""
