"""Lists of hosts and URLs: block-lists, and hosts that asked to be left out. None comes with this project.

A list is a text file with an entry a line; `#` starts a comment. An entry without `/` is a host and stands for its
subdomains too (`example.org`); one with `/` is the start of a URL without its scheme (`example.org/shop`), which ends
at a `/`, `?` or `#` or at the end. `http://`, `https://`, `www.` and a port are ignored, in entries and in URLs, and
hosts are the same in Unicode and in punycode (sources.urls). Entries as other lists write them mean the same:
`*.example.org`, `.example.org`, `||example.org^`, `0.0.0.0 example.org`, `"example.org",`. A file most of whose first
entries name no host is refused: what was meant to be left out would be read.

A folder is read in the layout of the University of Toulouse's lists (https://dsi.ut-capitole.fr/blacklists/index_en.php):
the files named `domains` and `urls` in it and in its subfolders, one folder a category; `expressions` are not read.
"""

import codecs
import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from pipelines.sources.urls import ascii_host, without_www
from storage.errors import InputError
from storage.files import walk

UT1_FILES = ("domains", "urls")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://|^//", re.IGNORECASE)
# What stands around a host in files of hosts, and in lists of Squid, dnsmasq and ad blockers.
_AROUND = re.compile(r"^(?:(?:0\.0\.0\.0|127\.0\.0\.1|::1?)\s+(?=\S))?(?:\|\|)?(?:\*?\.)?(?=[^\s.*])|\^(?:\$.*)?$")
_BESIDE = "\"',;"  # an entry, in lists that programs write
_SINKS = ("0.0.0.0", "127.0.0.1", "::", "::1")  # before the names of a line, in files of hosts
_HOST = re.compile(r"[\w.%-]*\w[\w.%-]*|[0-9a-f.]*:[0-9a-f:.]*")  # also an IPv6 address
_BRACKETS = re.compile(r"\[([^\]]*)\](?::\d*)?")  # around an IPv6 address, whose colons are before no port
_NO_TEXT = re.compile("[\0-\x08\x0e-\x1f\ufffd]")  # of what is compressed, or in another charset
_LOOKED_AT = 1000  # entries of a file
_MAX_SEGMENTS = 32  # of a URL's path that are looked up
_BLOCK = 1 << 16


class UrlList:
    """A set of hosts and URL prefixes, 8 bytes an entry: the 4 million of UT1 would take 0.5 GB as strings.

    Two entries have the same 64-bit hash with probability 1e-6 in 4 million, which would block one URL too many.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        blocks, hashes = [], []
        for entry in entries:
            hashes.append(_hash(_normal(_AROUND.sub("", entry))))
            if len(hashes) == _BLOCK:
                blocks.append(np.array(hashes, dtype=np.uint64))
                hashes = []
        self._hashes: npt.NDArray[np.uint64] = np.unique(np.concatenate([*blocks, np.array(hashes, dtype=np.uint64)]))

    def __len__(self) -> int:
        return len(self._hashes)

    def has_host(self, host: str) -> bool:
        """Tell whether `host`, or a domain that it belongs to, is on the list."""
        return len(self) > 0 and self._has_any(_domains(_host(host)))

    def has_url(self, url: str) -> bool:
        """Tell whether the URL starts with one on the list."""
        return len(self) > 0 and self._has_any(_prefixes(_normal(url)))

    def _has_any(self, names: Iterable[str]) -> bool:
        hashes = np.fromiter(map(_hash, names), dtype=np.uint64)
        places = np.minimum(np.searchsorted(self._hashes, hashes), len(self) - 1)
        return bool((self._hashes[places] == hashes).any())


@lru_cache(maxsize=8)
def read_url_list(paths: tuple[str, ...], field: str) -> UrlList:
    """Read lists (files or folders) as one, once in a process. Raises InputError naming `field` where that fails."""
    return UrlList(_entries(list_files(paths, field), field))


def list_files(paths: Sequence[str], field: str) -> list[Path]:
    """Return the files that lists consist of, sorted within each folder. Raises InputError where there is none."""
    files: list[Path] = []
    for name in paths:
        path = Path(name).expanduser()
        found = [path] if path.is_file() else sorted(set(_below(path)))
        if not found:
            raise InputError(f"{field}: {path} is neither a file nor a folder that holds files named domains or urls")
        files.extend(found)
    return files


def _below(folder: Path) -> Iterator[Path]:
    for place, _, names in walk(folder):
        yield from (Path(place, name).resolve() for name in names if name in UT1_FILES)


def _entries(files: Iterable[Path], field: str) -> Iterator[str]:
    for file in files:
        seen = odd = 0
        try:
            with file.open("rb") as beginning:
                encoding = "utf-16" if beginning.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8"
            with file.open(encoding=encoding, errors="replace") as lines:
                for entry in chain.from_iterable(map(_named, lines)):
                    yield entry
                    if seen < _LOOKED_AT:
                        seen += 1
                        odd += _names_no_host(entry)
        except OSError as error:
            raise InputError(f"{field}: {file} cannot be read ({error.strerror})") from None
        if odd > seen // 2:
            raise InputError(
                f"{field}: {odd} of the first {seen} entries of {file} name no host: write one host or URL a line"
            )


def _names_no_host(entry: str) -> bool:
    host = _normal(_AROUND.sub("", entry)).partition("/")[0]
    return not _HOST.fullmatch(host) or _NO_TEXT.search(entry) is not None


def _named(line: str) -> Iterator[str]:
    """Yield the entries of a line: its first word, in a file of hosts all behind the address."""
    words = line.partition("#")[0].split()
    named = words[1:] if len(words) > 1 and words[0] in _SINKS else words[:1]
    return (entry for word in named if (entry := word.strip(_BESIDE).rstrip("*")))


def _normal(url: str) -> str:
    """Write a URL as it is compared: `HTTP://www.Example.org:80/Shop/` -> `example.org/Shop`."""
    authority, slash, path = _SCHEME.sub("", url, count=1).partition("/")
    return (_host(authority.rpartition("@")[2]) + slash + path).rstrip("/")


def _host(name: str) -> str:
    """Write a host, perhaps with a port, as it is compared: an IPv6 address without brackets, in its shortest form."""
    if name.count(":") > 1:
        brackets = _BRACKETS.fullmatch(name)
        with suppress(ValueError):
            return ipaddress.IPv6Address(brackets[1] if brackets else name).compressed
    return without_www(ascii_host(name.partition(":")[0]))


def _domains(host: str) -> Iterator[str]:
    labels = [host] if ":" in host else host.split(".")
    return (".".join(labels[start:]) for start in range(len(labels)))


def _prefixes(url: str) -> Iterator[str]:
    yield url
    for count, end in enumerate(re.finditer("[/?#]", url)):
        if count == _MAX_SEGMENTS:
            return
        yield url[: end.start()]


def _hash(name: str) -> int:
    return xxhash.xxh3_64_intdigest(name.encode(errors="replace"))
