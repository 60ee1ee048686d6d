"""Hosts whose pages were taken down after publication: a list in the workspace that every version honours.

A host stands for its subdomains too. Its documents still take part in deduplication, so that copies of them on other
hosts do not come back in their stead; they are in neither split of any version made since.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.corpus.shards import shard_files
from pipelines.pages.url_list import UrlList
from pipelines.sources.urls import host_named, without_www
from storage.duckdb_connection import connect_quietly
from storage.errors import InputError
from storage.files import DamagedFile, write_atomically
from storage.workspace import Workspace

REMEDY = (
    'write it anew as {"host": "example.org", "reason": "", "added": ""}, one line a host, or delete it and give each '
    "host to `nr forget` again; until then nothing is made, so that no host comes back"
)
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # it would be left out, and name another host
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Denied:
    """An entry of the list."""

    host: str
    reason: str
    added: str


def denied_hosts(workspace: Workspace) -> list[Denied]:
    """Return the list, in the order of entry. Raises DamagedFile where it is empty or a line is no entry, since a list
    that is read without one of its hosts lets their pages back in."""
    try:
        lines = workspace.deny_list.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    if not lines:  # it is written with its first host
        raise DamagedFile(f"{workspace.deny_list} is damaged (empty): {REMEDY}")
    return [_entry(line, f"line {number} of {workspace.deny_list}") for number, line in enumerate(lines, 1)]


def _entry(line: bytes, place: str) -> Denied:
    """Return an entry as it was written, its host in the form in which hosts are compared."""
    try:
        fields = {name: str(value) for name, value in json.loads(line).items()}
        return Denied(**fields | {"host": host_named(fields["host"])})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedFile(f"{place} is damaged (no host that was taken down): {REMEDY}") from error


def host_to_deny(host: str) -> str:
    """Return a host that somebody gave as the list has it. Raises InputError for what is no host."""
    named = "" if set(host.strip()) & set("/@?# ") or _NO_TEXT.search(host.strip()) else without_www(host_named(host))
    if not _HOST.fullmatch(named) or ".." in named:
        raise InputError(f"{host!r} is no host: give one such as example.org, without https:// and path")
    return named


def deny(host: str, reason: str, workspace: Workspace) -> Denied:
    """Put a host on the list, unless it is. Raises InputError for what is no host."""
    host = host_to_deny(host)
    with workspace.lock("deny-list"):
        entries = denied_hosts(workspace)
        entry = next((entry for entry in entries if entry.host == host), None)
        if entry is None:
            entry = Denied(host, reason, datetime.now(UTC).isoformat(timespec="seconds"))
            _write([*entries, entry], workspace)
    if workspace.bucket:
        workspace.bucket.write(workspace.shared_deny_list / f"{host}.json", json.dumps(asdict(entry)).encode())
    return entry


def take_over_deny_list(workspace: Workspace) -> None:
    """Put on the list what another machine put on that of the bucket, if there is one, and the other way round."""
    bucket = workspace.bucket
    if bucket is None:
        return
    with workspace.lock("deny-list"):
        entries = denied_hosts(workspace)
        here = {entry.host for entry in entries}
        there = {name.removesuffix(".json") for name in bucket.names(workspace.shared_deny_list)}
        paths = [workspace.shared_deny_list / f"{host}.json" for host in sorted(there - here)]
        found = [(path, bucket.read(path)) for path in paths]
        # One that has gone since is None; one of no bytes is damaged.
        if new := [_entry(content, f"{path.name} in {bucket.url}") for path, content in found if content is not None]:
            _write([*entries, *new], workspace)
        for entry in entries:
            if entry.host not in there:
                bucket.write(workspace.shared_deny_list / f"{entry.host}.json", json.dumps(asdict(entry)).encode())


def _write(entries: Sequence[Denied], workspace: Workspace) -> None:
    write_atomically(workspace.deny_list, "".join(json.dumps(asdict(entry)) + "\n" for entry in entries))


class DenyList:
    """Hosts on the list, and which documents are theirs."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self.hosts = hosts
        self._list = UrlList(hosts)

    def mask(self, documents: pa.Table) -> npt.NDArray[np.bool_]:
        """Tell which documents of a table with a column `host` are taken down."""
        hosts = documents["host"].combine_chunks().dictionary_encode()
        taken = np.array([self._list.has_host(host) for host in hosts.dictionary.to_pylist()], dtype=bool)
        return taken[hosts.indices.to_numpy()] if len(hosts) else np.empty(0, dtype=bool)


def refuse_taken_down(name: str, version: str, workspace: Workspace) -> None:
    """Raise InputError where a version has pages of hosts on the list, so that nothing may be made of it."""
    if hosts := holds_taken_down(name, version, workspace):
        raise InputError(
            f"version {version} of corpus {name} holds pages of hosts that were taken down ({', '.join(hosts[:5])}"
            f"{', ...' if len(hosts) > 5 else ''}), and cannot be used: `nr refresh CONFIG` makes one without"
        )


def holds_taken_down(name: str, version: str, workspace: Workspace) -> list[str]:
    """Return the hosts on the list of which a version has pages."""
    folder = workspace.corpus_version(name, version)
    return hosts_taken_down([*shard_files(folder, "train"), *shard_files(folder, "held_out")], workspace)


def hosts_taken_down(files: Sequence[Path], workspace: Workspace) -> list[str]:
    """Return the entries of the list that bear on Parquet files with a column `host`. Reads nothing while the list is
    empty."""
    entries = [entry.host for entry in denied_hosts(workspace)]
    if not entries or not files:
        return []
    with connect_quietly() as connection:
        hosts = [
            row[0]
            for row in connection.execute(
                "SELECT DISTINCT host FROM read_parquet($files, union_by_name = true) WHERE host IS NOT NULL "
                # What an earlier version wrote in Unicode is compared below.
                "AND (list_bool_or(list_transform($entries, lambda e: host = e OR host = 'www.' || e "
                "OR ends_with(host, '.' || e))) OR NOT regexp_full_match(host, '[ -~]*'))",
                {"files": [str(file) for file in files], "entries": entries},
            ).fetchall()
        ]
    return sorted(entry for entry in entries if any(UrlList([entry]).has_host(host) for host in hosts))
