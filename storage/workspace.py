"""The workspace: one folder, and the only place that knows the paths in it."""

import json
import logging
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from storage.errors import InputError, os_sentence
from storage.files import read_json, write_atomically
from storage.locations import at_home

if TYPE_CHECKING:
    from storage.bucket import Bucket

POINTED_TO = re.compile(r"[0-9A-Za-z_][0-9A-Za-z._-]*")
POINTER = "CURRENT"
FORMAT_VERSION = 1  # of the layout below; record files carry their own (storage.records)
SILENT_WAIT = 5.0  # seconds for another flow's lock, until the wait is told of: most are short
OWN_TEXT = "base-"  # begins the keys of text that a base wrote, which stand where versions of corpora do

logger = logging.getLogger(__name__)


class Workspace:
    """Paths of one workspace. Opening it makes the folder; a workspace of a newer version is refused.

    `bucket`, an fsspec URL, is remembered in the workspace: commands that know no config find it there.
    """

    def __init__(self, root: str | Path, bucket: str | None = None) -> None:
        self.root = at_home(root).resolve()
        self._check_format()
        if bucket and bucket != self.bucket_url:
            from storage.bucket import Bucket

            Bucket(bucket, self.root, is_remembered=False).refuse_unusable()
            self._write_marker(bucket)

    @property
    def _marker(self) -> Path:
        return self.root / "workspace.json"

    def _write_marker(self, bucket: str | None = None) -> None:
        known = {"bucket": bucket} if bucket else {}
        write_atomically(self._marker, json.dumps({"format_version": FORMAT_VERSION, **known}))

    @property
    def bucket_url(self) -> str | None:
        """Return the address where the Parquet parts lie too, if anywhere."""
        url = self._known.get("bucket")
        return str(url) if url else None

    @property
    def _known(self) -> dict[str, Any]:
        remedy = "delete it, and `nr refresh CONFIG` writes it anew (with the config's `bucket`, if there is one)"
        known = read_json(self._marker, remedy)
        if not isinstance(known.get("format_version"), int) or not isinstance(known.get("bucket", ""), str):
            raise InputError(f"{self._marker} is damaged (it names no format): {remedy}")
        return known

    @cached_property
    def bucket(self) -> "Bucket | None":
        from storage.bucket import Bucket  # fsspec takes a while

        return Bucket(self.bucket_url, self.root) if self.bucket_url else None

    def _check_format(self) -> None:
        marker = self._marker
        if not marker.exists():
            try:
                self.root.mkdir(parents=True, exist_ok=True)
                self._write_marker()
            except OSError as error:
                raise InputError(f"`workspace`: {self.root} cannot be made: {os_sentence(error)}") from error
            return
        version = self._known["format_version"]
        if version > FORMAT_VERSION:
            raise InputError(
                f"workspace {self.root} has format version {version}, and this neutral-residues reads up to "
                f"{FORMAT_VERSION}: upgrade neutral-residues, or give another `workspace`"
            )

    def sample(self, key: str) -> Path:
        return self.root / "sample" / key

    def documents(self, key: str) -> Path:
        return self.root / "documents" / key

    def corpus(self, name: str) -> Path:
        return self.root / "corpora" / name

    def corpus_version(self, name: str, version: str) -> Path:
        return self.corpus(name) / version

    def current_version(self, name: str) -> str | None:
        """Return the version of a corpus that is in use, if one was published.

        Where a power cut has left the pointer empty or torn, the records of its moves say which it was.
        Raises InputError where these say nothing either.
        """
        pointer = self.pointer(name)
        try:
            version = pointer.read_bytes().decode("ascii", errors="replace").strip()
        except FileNotFoundError:
            return None
        if POINTED_TO.fullmatch(version):
            return version
        from storage.records import last_move

        if moved := last_move(self, name):
            return moved
        raise InputError(f"{pointer} is damaged (it names no version): write the name of a folder beside it into it")

    def point_to(self, name: str, version: str) -> None:
        """Make a published version of a corpus the one in use."""
        write_atomically(self.pointer(name), version)

    def pointer(self, name: str) -> Path:
        """Return the file that names the version in use: read it by `current_version`."""
        return self.corpus(name) / POINTER

    def moves(self, name: str) -> Path:
        """Return the versions that came into use of a corpus, as numbered objects; in the bucket only."""
        return self.corpus(name) / "moves"

    def published_corpora(self) -> list[str]:
        """Return the names of the corpora that have a version in use."""
        return sorted(pointer.parent.name for pointer in (self.root / "corpora").glob(f"*/{POINTER}"))

    @property
    def deny_list(self) -> Path:
        """Hosts whose pages were taken down."""
        return self.root / "deny-list.jsonl"

    @property
    def shared_deny_list(self) -> Path:
        """An object for each host, so that two machines do not write the same; in the bucket only."""
        return self.root / "deny-list"

    def tokenizer(self, key: str) -> Path:
        return self.root / "tokenizers" / key

    def tokens(self, corpus_version: str, tokenizer_hash: str) -> Path:
        return self.root / "tokens" / corpus_version / tokenizer_hash

    def model(self, model_id: str) -> Path:
        return self.root / "models" / model_id

    def run(self, run_id: str) -> Path:
        return self.root / "runs" / run_id

    def task_items(self, eval_id: str) -> Path:
        """Return what an evaluation task asks: JSON lines, made of its data once."""
        return self.root / "tasks" / f"{eval_id}.jsonl"

    def records(self, table: str) -> Path:
        return self.root / "records" / table

    def job_spec(self, key: str) -> Path:
        return self.root / "private" / "jobs" / f"{key}.json"

    def scratch(self, key: str) -> Path:
        """Return a folder for results on their way into records."""
        return self.root / "private" / "scratch" / key

    def finished_study(self, name: str) -> Path:
        """Return what the last finished study of a name read and left."""
        return self.root / "private" / "finished" / f"{name}.json"

    def failed_study(self, name: str) -> Path:
        """Return with what sentence the last flow of a study failed."""
        return self.root / "private" / "failed" / f"{name}.json"

    def selection(self, key: str) -> Path:
        """Tell which pages of a snapshot were chosen in its index."""
        return self.root / "selections" / key

    @property
    def latest_crawl(self) -> Path:
        """The file that says what `latest` stands for in the refresh that is under way."""
        return self.root / "private" / "latest-crawl.json"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def catalog(self) -> Path:
        """The catalog that people open; the flows write `private_catalog` and publish it here by rename."""
        return self.root / "catalog.duckdb"

    @property
    def private_catalog(self) -> Path:
        return self.root / "private" / "catalog.duckdb"

    def content_hash_memory(self, key: str) -> Path:
        return self.root / "private" / "content-hashes" / f"{key}.json"

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a file lock, so that two flows in one workspace do not do the same step at once.

        The lock ends with the process: a killed flow leaves none behind. Raises InputError where the lock's file
        cannot be opened: a read-only disk, a folder of another user. A wait is logged once it has lasted some seconds.
        """
        folder = self.root / "private" / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # As open as the folder: who may work in it may hold its locks, whoever made the file first.
            lock = FileLock(folder / f"{name}.lock", mode=stat.S_IMODE(folder.stat().st_mode) & 0o666)
            try:
                lock.acquire(timeout=SILENT_WAIT)
            except Timeout:
                logger.warning("waiting for another flow in %s, which holds %s", self.root, lock.lock_file)
                lock.acquire()
                logger.warning("the wait for %s is over", lock.lock_file)
        except OSError as error:
            raise InputError(f"workspace {self.root} cannot be worked in: {os_sentence(error)}") from error
        try:
            yield
        finally:
            lock.release()
