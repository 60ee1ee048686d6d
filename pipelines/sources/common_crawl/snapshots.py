"""Common Crawl's snapshots: which there are, and which files each has (https://commoncrawl.org/get-started)."""

import gzip
import io
import json
import random
import re
import zlib
from contextlib import suppress
from datetime import UTC, datetime

from pipelines.settings import CommonCrawlSource
from pipelines.sources.remote import Remote, is_remote
from storage.errors import InputError
from storage.files import write_atomically
from storage.workspace import Workspace

MAX_LISTING_BYTES = 64 << 20  # a snapshot's list has about 12 MB
MAX_COLLECTIONS_BYTES = 4 << 20  # the list of snapshots has about 30 kB
_CRAWL = re.compile(r"CC-MAIN-\d{4}-\d{2}")
# What may stand in a list or an index and become part of an address.
CRAWL_PATH = re.compile(r"(?:crawl-data|cc-index)/(?:[A-Za-z0-9_=-][A-Za-z0-9._=-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*")


def resolve(crawl: str, collections: str, remote: Remote, workspace: Workspace) -> str:
    """Return the name of a snapshot; `latest` is looked up once and stays the same until `release_latest`."""
    if crawl != "latest":
        return crawl
    frozen = workspace.latest_crawl
    if frozen.exists():
        with suppress(ValueError, TypeError, KeyError):  # torn by a power cut: it is looked up anew
            return str(json.loads(frozen.read_bytes())["crawl"])
    listing = remote.read_all(collections, MAX_COLLECTIONS_BYTES)
    try:
        names = [str(entry["id"]) for entry in json.loads(listing)]
    except (ValueError, TypeError, KeyError, RecursionError):
        names = []
    # Year and week sort as text; the list also has collections under other names.
    newest = max(filter(_CRAWL.fullmatch, names), default=None)
    if newest is None:
        raise InputError(f"{collections} lists no crawl; set `crawl` to a name such as CC-MAIN-2026-43")
    resolved = {"crawl": newest, "resolved": datetime.now(UTC).isoformat(timespec="seconds")}
    write_atomically(frozen, json.dumps(resolved))
    return newest


def release_latest(workspace: Workspace) -> None:
    """Let the next run look up `latest` anew: what this one began has ended."""
    workspace.latest_crawl.unlink(missing_ok=True)


def list_files(server: str, crawl: str, listing: str, remote: Remote) -> list[str]:
    """Return the paths in one of a snapshot's lists: warc.paths.gz, wet.paths.gz or cc-index-table.paths.gz.

    Raises FetchError, and InputError when the list is not what it should be.
    """
    url = address(server, f"crawl-data/{crawl}/{listing}")
    try:
        with gzip.open(io.BytesIO(remote.read_all(url, MAX_LISTING_BYTES))) as stream:
            content = stream.read(MAX_LISTING_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{url} is not whole gzip ({error}): check the source's `server`") from None
    paths = content.decode(errors="replace").split()
    if not paths or len(content) > MAX_LISTING_BYTES:
        raise InputError(f"{url} is empty or over {MAX_LISTING_BYTES >> 20} MB: check the source's `server`")
    for path in paths:
        if not CRAWL_PATH.fullmatch(path):
            raise InputError(f"{url} lists {path[:200]!r}, which is no path of a crawl: check the source's `server`")
    return paths


def choose_files(paths: list[str], source: CommonCrawlSource) -> list[str]:
    """Return a slice of a snapshot's files, or a sample by seed, in the order of the list."""
    if source.seed is not None and source.files is not None:
        chosen = random.Random(source.seed).sample(range(len(paths)), min(source.files, len(paths)))
        return [paths[place] for place in sorted(chosen)]
    chosen_paths = paths[source.start : None if source.files is None else source.start + source.files]
    if not chosen_paths:
        raise InputError(f"the snapshot has {len(paths)} files, none from `start` {source.start} on: lower it")
    return chosen_paths


def address(server: str, path: str) -> str:
    return f"{server.rstrip('/')}/{path}"


def warc_filename(path: str) -> str:
    """Return the name by which documents know a WARC file: its path below Common Crawl's server, wherever it lies.

    Of other files the (redacted) address, or the name without its folder, which says more of a machine than of a text.
    """
    found = re.search(rf"(?:^|/)({CRAWL_PATH.pattern})$", path)
    return found[1] if found else path if is_remote(path) else path.rpartition("/")[2]
