"""Tells paths from addresses in what a user wrote: expands ~, cuts folders off, knows what fsspec opens."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storage.errors import InputError


def at_home(path: str | Path) -> Path:
    """Put the home of the user, or of the one named, in the place of ~ at the beginning.

    Raises:
        InputError: there is no such user.
    """
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise InputError(f"{path} begins with ~, and there is no such user: write the whole path, or ./{path}")
    return Path(expanded)


# The folders of an absolute path, also as a `file:` address or behind the :: of a chain; not those of other addresses.
_FILE = r"(?<!\w)file:(?://(?:localhost)?)?"
_FOLDERS = re.compile(rf"{_FILE}/(?:[^\s/'\"<>]+/)*|(?:(?<=::)|(?<![\w:/.~}}…*-]))~?/(?:[^\s/'\"<>]+/)+", re.IGNORECASE)
_PATH = re.compile(rf"(?:{_FILE})?[/~].*", re.IGNORECASE)


def without_folders(text: str | None) -> str:
    """Cut folders off file names: a page is made to be shared, and where a file lies is nobody's business."""
    return _FOLDERS.sub("…/", text or "")


def values_without_folders(value: Any) -> Any:
    """Cut folders off a tree of settings. A text that is a path is cut as a whole: names may have spaces in them."""
    if isinstance(value, Mapping):
        return {key: values_without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [values_without_folders(item) for item in value]
    return "::".join(map(_without_folders, value.split("::"))) if isinstance(value, str) else value


def _without_folders(text: str) -> str:
    return f"…/{text.rstrip('/').rpartition('/')[2]}" if _PATH.fullmatch(text) else without_folders(text)


# Object stores and the Hugging Face hub. Those that can create an object once, of two who try, may be a bucket.
STORES = ("s3", "gs", "az", "abfs", "oss", "hf")
# Stores that files may be read from: what keeps two machines apart in a bucket is not sure there.
READ_ONLY = ("hdfs", "webhdfs", "sftp", "ftp", "oci", "tos")
ALIASES = ("s3a", "gcs", "abfss", "ssh")
DISKS = ("file", "memory")
PROTOCOLS = frozenset({*STORES, *READ_ONLY, *ALIASES, *DISKS})
BUCKET_PROTOCOLS = PROTOCOLS - {*READ_ONLY, "ssh"}


def with_scheme_in_small_letters(address: str) -> str:
    """Return an address as it is compared and opened: schemes are the same in capitals (RFC 3986, 3.1)."""
    scheme, mark, rest = address.partition("://")
    return f"{scheme.lower()}{mark}{rest}" if mark else address


def refuse_protocol(url: str, what: str, to_write: bool = False, also: Sequence[str] = ()) -> None:
    """Raise InputError for an address that fsspec is not to open.

    what: the sentence's subject, as `sources`; to_write: it is to hold what we write; also: protocols that may be given
    there and that fsspec does not open.
    """
    protocol, chain = url.partition("://")[0], "::" in url
    if protocol in (BUCKET_PROTOCOLS if to_write else PROTOCOLS) and not chain:
        return
    given = (*also, *STORES, *(() if to_write else READ_ONLY), "file")
    known = ", ".join(f"{name}://" for name in given)
    raise InputError(
        f"{what} may not be {'chained by ::' if chain else f'at {protocol[:30]}://'}; what may be given: {known}"
    )
