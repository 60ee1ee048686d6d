"""The Parquet parts of a workspace in a bucket, at an fsspec URL: documents and corpora under the same paths.

Work is done in the workspace's folder; what is whole there is uploaded, the manifest or report that makes it whole
last, and what is whole in the bucket another machine downloads rather than make it anew. A corpus's moves are numbered
objects that are created once, so that of two machines that publish at a time one is refused. Keys of S3 and the like
come from the environment, as fsspec's file systems read them.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import InputError, is_disk_full
from storage.files import link, write_atomically
from storage.keys import file_sha256
from storage.locations import refuse_protocol
from storage.publish import MANIFEST, read_manifest


class Bucket:
    """One workspace's place in a bucket. Raises InputError, with the URL, where it cannot be reached.

    is_remembered: whether the workspace names it already, which an error is to say.
    """

    def __init__(self, url: str, root: Path, is_remembered: bool = True) -> None:
        self.url, self._root, self._is_remembered = url.rstrip("/"), root, is_remembered
        refuse_protocol(self.url, f"`bucket` {self.url}", to_write=True)
        with self._sentence():
            self._files, self._prefix = fsspec.core.url_to_fs(self.url, use_listings_cache=False)

    def read(self, path: Path) -> bytes | None:
        """Return the content of a file in the bucket, by its path in the workspace; None where there is none."""
        with self._sentence():
            try:
                return bytes(self._files.cat_file(self._at(path)))
            except FileNotFoundError:
                return None

    def write(self, path: Path, content: bytes) -> None:
        with self._sentence():
            self._make_folder(path)
            self._files.pipe_file(self._at(path), content)

    def refuse_unusable(self) -> None:
        """Write an object and remove it: a listing does not tell a bucket that there is not from an empty folder."""
        place = self._root / f".writable-{uuid4().hex[:8]}"
        self.write(place, b"1")
        with self._sentence():
            self._remove(self._at(place))

    def create(self, path: Path, content: bytes) -> bool:
        """Write an object unless there is one: False where another machine was first."""
        with self._sentence():
            self._make_folder(path)
            try:
                self._files.pipe_file(self._at(path), content, mode="create")
            except FileExistsError:
                return False
        return True

    def column(self, file: Path, name: str) -> pa.Table | None:
        """Return one column of a Parquet file in the bucket; None where it is not a whole one."""
        with self._sentence():
            try:
                return pq.read_table(self._at(file), columns=[name], filesystem=self._files)
            except pa.ArrowInvalid:
                return None

    def names(self, folder: Path) -> list[str]:
        """Return names in a folder of the bucket, sorted."""
        with self._sentence():
            try:
                found = self._files.ls(self._at(folder), detail=False)
            except FileNotFoundError:
                return []
        return sorted(str(name).rstrip("/").rsplit("/", 1)[-1] for name in found)

    def sizes(self, folder: Path) -> dict[str, int]:
        """Return the size of each file below a folder of the bucket, by its path in that folder."""
        with self._sentence():
            found = self._files.find(self._at(folder), detail=True)
        start = len(self._at(folder)) + 1
        return {name[start:]: entry["size"] for name, entry in found.items()}

    def upload(self, files: Sequence[Path], last: Path) -> None:
        """Upload files, then `last`, which says that they are whole; what stood there is no longer whole first."""
        content = last.read_bytes()
        if self.read(last) == content:
            return
        with self._sentence():
            self._remove(self._at(last))
            for file in files:
                self._make_folder(file)
            if files:
                self._files.put([str(file) for file in files], [self._at(file) for file in files])
        self.write(last, content)

    def upload_folder(self, folder: Path) -> None:
        """Upload a published folder: the files that its manifest names, then the manifest."""
        manifest = read_manifest(folder)
        assert manifest is not None, f"{folder} was not published"
        self.upload([folder / name for name in manifest["files"]], folder / MANIFEST)

    def download(self, files: Mapping[Path, tuple[int, str]]) -> bool:
        """Bring files here, given their sizes and checksums. False: some are missing, or not as they were written."""
        partial = {file: file.with_name(f".{file.name}.{os.getpid()}.partial") for file in files}
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._sentence():
                try:
                    self._files.get([self._at(file) for file in files], [str(target) for target in partial.values()])
                except FileNotFoundError:
                    return False
            for file, (size, checksum) in files.items():
                if partial[file].stat().st_size != size or file_sha256(partial[file]) != checksum:
                    return False
            for file, target in partial.items():
                target.replace(file)
        finally:
            for target in partial.values():
                target.unlink(missing_ok=True)
        return True

    def download_folder(self, folder: Path) -> bool:
        """Bring a folder here that is whole in the bucket. Files that a folder beside it has are linked.

        False where it is not whole there.
        """
        content = self.read(folder / MANIFEST)
        if content is None:
            return False
        written: dict[str, Any] = json.loads(content)["files"]
        here = dict(self._beside(folder))
        wanted = {folder / name: (file["bytes"], file["sha256"]) for name, file in written.items()}
        linked = {file: here[sha256] for file, (_, sha256) in wanted.items() if sha256 in here}
        if not self.download({file: known for file, known in wanted.items() if file not in linked}):
            return False
        for file, other in linked.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)
            link(other, file)
        write_atomically(folder / MANIFEST, content)
        return True

    def remove(self, path: Path, whole_by: Path) -> None:
        """Remove a file or folder from the bucket, and before it what says that it is whole."""
        with self._sentence():
            for place in (whole_by, path):
                self._remove(self._at(place))

    def _beside(self, folder: Path) -> Iterator[tuple[str, Path]]:
        for path in folder.parent.glob(f"[!.]*/{MANIFEST}"):
            for name, file in (read_manifest(path.parent) or {"files": {}})["files"].items():
                if (path.parent / name).is_file() and (path.parent / name).stat().st_size == file["bytes"]:
                    yield file["sha256"], path.parent / name

    def _at(self, path: Path) -> str:
        return f"{self._prefix}/{path.relative_to(self._root).as_posix()}"

    def _make_folder(self, path: Path) -> None:
        if self._files.root_marker:  # a tree such as a mounted disk: in an object store this would make the bucket
            self._files.makedirs(self._files._parent(self._at(path)), exist_ok=True)

    def _remove(self, place: str) -> None:
        with suppress(FileNotFoundError):
            self._files.rm(place, recursive=True)

    @contextmanager
    def _sentence(self) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            raise InputError(f"`bucket` {self.url}: {error}; for s3:// pip install 'neutral-residues[s3]'") from error
        except Exception as error:  # each file system has errors of its own
            if is_disk_full(error):
                raise InputError(
                    f"the disk is full ({error}) between {self._root} and `bucket` {self.url}: free some space, and "
                    "the same command goes on"
                ) from error
            remembered = f" and in {self._root / 'workspace.json'}, which remembers it" if self._is_remembered else ""
            raise InputError(
                f"`bucket` {self.url} cannot be used ({error}): correct it in the config{remembered}, or its keys and "
                "address in the environment; the same command goes on"
            ) from error
