"""The workspace: one folder, and the only place that knows the paths in it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from storage.atomic import write_atomically
from storage.errors import InputError
from storage.home import at_home

if TYPE_CHECKING:
    from storage.bucket import Bucket

FORMAT_VERSION = 1  # of the layout below; record files carry their own (storage.record_formats)


class Workspace:
    """Paths of one workspace. Opening it makes the folder; a workspace of a newer version is refused.

    `bucket`, an fsspec URL, is remembered in the workspace: commands that know no config find it there.
    """

    def __init__(self, root: str | Path, bucket: str | None = None) -> None:
        self.root = at_home(root).resolve()
        self._check_format()
        if bucket and bucket != self.bucket_url:
            self._write_marker(bucket)

    @property
    def _marker(self) -> Path:
        return self.root / "workspace.json"

    def _write_marker(self, bucket: str | None = None) -> None:
        known = {"bucket": bucket} if bucket else {}
        write_atomically(self._marker, json.dumps({"format_version": FORMAT_VERSION, **known}))

    @property
    def bucket_url(self) -> str | None:
        """Where the Parquet parts lie too, if anywhere."""
        url = json.loads(self._marker.read_text()).get("bucket")
        return str(url) if url else None

    @cached_property
    def bucket(self) -> "Bucket | None":
        from storage.bucket import Bucket  # fsspec takes a while

        return Bucket(self.bucket_url, self.root) if self.bucket_url else None

    def _check_format(self) -> None:
        marker = self._marker
        if not marker.exists():
            try:
                self.root.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"`workspace`: {self.root} cannot be made ({error.strerror}); give another") from error
            self._write_marker()
            return
        version = json.loads(marker.read_text())["format_version"]
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
        """The version of a corpus that is in use, if one was published."""
        try:
            return (self.corpus(name) / "CURRENT").read_text().strip()
        except FileNotFoundError:
            return None

    def moves(self, name: str) -> Path:
        """In the bucket only: the versions that came into use of a corpus, as numbered objects."""
        return self.corpus(name) / "moves"

    def published_corpora(self) -> list[str]:
        """Names of the corpora that have a version in use."""
        return sorted(pointer.parent.name for pointer in (self.root / "corpora").glob("*/CURRENT"))

    @property
    def deny_list(self) -> Path:
        """Hosts whose pages were taken down."""
        return self.root / "deny-list.jsonl"

    @property
    def shared_deny_list(self) -> Path:
        """In the bucket only: an object for each host, so that two machines do not write the same."""
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
        """What an evaluation task asks: JSON lines, made of its data once."""
        return self.root / "tasks" / f"{eval_id}.jsonl"

    def records(self, table: str) -> Path:
        return self.root / "records" / table

    def job_spec(self, key: str) -> Path:
        return self.root / "private" / "jobs" / f"{key}.json"

    def scratch(self, key: str) -> Path:
        """A folder for results on their way into records."""
        return self.root / "private" / "scratch" / key

    def selection(self, key: str) -> Path:
        """Which pages of a snapshot were chosen in its index."""
        return self.root / "selections" / key

    @property
    def latest_crawl(self) -> Path:
        """What `latest` stands for in the refresh that is under way."""
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

        The lock ends with the process: a killed flow leaves none behind.
        """
        folder = self.root / "private" / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name}.lock"):
            yield
