"""Common Crawl's columnar index: which pages of a snapshot fit a condition, and where their records lie.

One snapshot's index has about 300 GB (https://commoncrawl.org/columnar-index). Read are the footers of its files, then,
of the row groups that may fit, the column chunks that the condition needs, file by file into local Parquet; DuckDB
takes the rows that fit, and the local file goes.
"""

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.settings import CommonCrawlIndexSource
from pipelines.sources.common_crawl.index_condition import Condition, condition, connect_for_condition, may_fit
from pipelines.sources.common_crawl.snapshots import CRAWL_PATH, address, list_files
from pipelines.sources.remote import LANGUAGES, LOCATION, ByteRange, Remote, coalesce
from storage.errors import InputError

# One Parquet file of the columnar index, far away: its footer, and those of its column chunks that are needed.


MAX_FOOTER_BYTES = 64 << 20
MAX_GAP_BYTES = 16 << 10  # between column chunks; it is read along, which costs less than another request
MAX_REQUEST_BYTES = 64 << 20


class FooterReader:
    """Reads footers. Files of one index are alike, so the size of one footer is a good guess at the next."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._guess = 16 << 10
        self._lock = threading.Lock()

    def read(self, url: str) -> pq.FileMetaData:
        """Return the footer of a Parquet file. Raises FetchError, and InputError when it is none."""
        tail, total = self._remote.read_tail(url, self._guess)
        needed = int.from_bytes(tail[-8:-4], "little") + 8
        if tail[-4:] != b"PAR1" or needed > min(total, MAX_FOOTER_BYTES):
            raise InputError(f"{url} is not a Parquet file: check the source's `server`")
        if needed > len(tail):
            with self._lock:
                self._guess = max(self._guess, needed + needed // 8)
            missing = ByteRange(total - needed, needed - len(tail))
            tail = self._remote.read(url, missing) + tail
        try:
            return pq.read_metadata(io.BytesIO(b"PAR1" + tail[-needed:]))
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{url} has a broken footer ({error}): check the source's `server`") from None


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file of the index, and what of it must be read: the column chunks of the row groups that may fit."""

    url: str
    metadata: pq.FileMetaData
    columns: tuple[str, ...]
    row_groups: tuple[int, ...]
    chunks: tuple[ByteRange, ...]  # of all row_groups

    @property
    def download_bytes(self) -> int:
        return sum(chunk.length for chunk in self.chunks)

    def fetch(self, remote: Remote, path: Path) -> None:
        """Write the needed columns of the needed row groups to a local Parquet file, one row group at a time."""
        schema = pa.schema([self.metadata.schema.to_arrow_schema().field(column) for column in self.columns])
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for row_group in self.row_groups:
                chunks = [chunk for _, chunk in _chunks(self.metadata, row_group, self.columns)]
                sparse = _SparseFile([
                    (span.whole.offset, remote.read(self.url, span.whole))
                    for span in coalesce(chunks, MAX_GAP_BYTES, MAX_REQUEST_BYTES)
                ])  # fmt: skip
                try:
                    with pq.ParquetFile(pa.PythonFile(sparse, mode="r"), metadata=self.metadata) as file:
                        writer.write_table(file.read_row_group(row_group, columns=list(self.columns)).cast(schema))
                except (pa.ArrowInvalid, OSError) as error:
                    raise InputError(f"{self.url} cannot be read ({error}): check the source's `server`") from None


def plan_file(url: str, metadata: pq.FileMetaData, wanted: Condition) -> IndexFile:
    """Return what of a file must be read for a condition. Raises InputError when it lacks a column."""
    of_column = _places(metadata)
    columns = tuple(wanted.columns)
    if missing := [column for column in columns if column not in of_column]:
        raise InputError(
            f"the index has no column {', '.join(missing)}; it has {', '.join(of_column)} "
            f"({LANGUAGES} came with CC-MAIN-2018-39): change the source's conditions"
        )
    if LANGUAGES in of_column and LANGUAGES not in columns:
        columns += (LANGUAGES,)  # kept beside each page, to hold ours against
    row_groups = tuple(
        number for number in range(metadata.num_row_groups) if may_fit(metadata.row_group(number), of_column, wanted)
    )
    chunks = tuple(chunk for number in row_groups for _, chunk in _chunks(metadata, number, columns))
    return IndexFile(url, metadata, columns, row_groups, chunks)


def _places(metadata: pq.FileMetaData) -> dict[str, int]:
    return {metadata.schema.column(place).path: place for place in range(metadata.num_columns)}


def _chunks(metadata: pq.FileMetaData, row_group: int, columns: Sequence[str]) -> list[tuple[str, ByteRange]]:
    of_column, group = _places(metadata), metadata.row_group(row_group)
    found = []
    for column in columns:
        chunk = group.column(of_column[column])
        starts = [chunk.data_page_offset]
        if chunk.dictionary_page_offset is not None and chunk.dictionary_page_offset > 0:
            starts.append(chunk.dictionary_page_offset)
        found.append((column, ByteRange(min(starts), chunk.total_compressed_size)))
    return found


class _SparseFile(io.RawIOBase):
    """A file of which only some parts are here. Reading elsewhere is an error, never a silent zero.

    Not pyarrow's pre_buffer over fsspec: requests go through `remote`, at its pace and with its retries.
    """

    def __init__(self, parts: list[tuple[int, bytes]]) -> None:
        self._parts = parts
        self._end = max((offset + len(data) for offset, data in parts), default=0)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        return self._position

    def read(self, size: int = -1) -> bytes:
        for offset, data in self._parts:
            start = self._position - offset
            if 0 <= start < len(data):
                piece = data[start:] if size < 0 else data[start : start + size]
                self._position += len(piece)
                return piece
        raise OSError(f"byte {self._position} was not fetched")


Item = TypeVar("Item")
Result = TypeVar("Result")
_LOCATION = ", ".join(LOCATION)


def read_index(
    name: str, source: CommonCrawlIndexSource, crawl: str, remote: Remote, folder: Path, say: Callable[[str], None]
) -> None:
    """Write folder/selection.parquet: columns warc_filename, warc_record_offset, warc_record_length, in that order, and
    content_languages.

    `folder` may hold what an earlier attempt at the same got; what it holds of index files stays out of the download.
    Raises FetchError, and InputError when the condition is wrong, too large a part of the index, or fits no page.
    """
    wanted = condition(name, source)
    listed = list_files(source.server, crawl, "cc-index-table.paths.gz", remote)
    urls = [address(source.server, path) for path in listed if "/subset=warc/" in path]
    if not urls:
        raise InputError(f"the index of {crawl} lists no file of subset=warc: check the source's `server`")
    footers = FooterReader(remote)
    files = list(_in_threads(lambda url: plan_file(url, footers.read(url), wanted), urls, remote.connections))
    _announce(name, source, crawl, files, say)

    def select(place: int) -> Path:
        matches = folder / f"fitting-{place:05d}.parquet"
        if not matches.exists():
            _select(files[place], wanted, remote, matches)
        return matches

    places = [place for place, file in enumerate(files) if file.row_groups]
    matches = []
    for done, path in enumerate(_in_threads(select, places, remote.connections), 1):
        matches.append(path)
        if done * 10 // len(places) != (done - 1) * 10 // len(places):
            say(f"sources.{name}: {done} of {len(places)} index files read")
    _put_together(name, source, matches, folder / "selection.parquet")
    for path in matches:
        path.unlink()


def _announce(
    name: str, source: CommonCrawlIndexSource, crawl: str, files: Sequence[IndexFile], say: Callable[[str], None]
) -> None:
    """Say how much of the index must be read, before it is; refuse what is too much."""
    gigabytes = sum(file.download_bytes for file in files) / 1e9
    chosen, row_groups = (
        sum(len(file.row_groups) for file in files),
        sum(file.metadata.num_row_groups for file in files),
    )
    needed = sum(bool(file.row_groups) for file in files)
    say(
        f"sources.{name}: {gigabytes:.3f} GB of the index of {crawl} to read: {len(files[0].columns)} columns of "
        f"{chosen} of its {row_groups} row groups, in {needed} of its {len(files)} files"
    )
    if gigabytes > source.max_index_gb:
        raise InputError(
            f"sources.{name}: the selection reads {gigabytes:.1f} GB of the index, more than max_index_gb = "
            f"{source.max_index_gb:g}: narrow it by top_level_domains or hosts, or raise max_index_gb"
        )


def _select(file: IndexFile, wanted: Condition, remote: Remote, matches: Path) -> None:
    part, partial = matches.with_suffix(".part"), matches.with_suffix(".partial")
    try:
        file.fetch(remote, part)
        with _query() as connection:
            connection.execute(
                f"CREATE TABLE fitting AS SELECT {_LOCATION}, {_languages(file)} "  # noqa: S608
                f"FROM read_parquet($part) WHERE {wanted.sql}",
                {"part": str(part), **wanted.parameters},
            )
            connection.table("fitting").to_parquet(str(partial), compression="zstd")
        partial.rename(matches)
    finally:
        part.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)


def _languages(file: IndexFile) -> str:
    return LANGUAGES if LANGUAGES in file.columns else f"NULL::VARCHAR AS {LANGUAGES}"


def _put_together(name: str, source: CommonCrawlIndexSource, matches: Sequence[Path], selection: Path) -> None:
    """Sort, and take the first pages or a sample: by a hash, so that it does not depend on the order of reading."""
    draw = "md5(concat_ws(' ', warc_filename, warc_record_offset, $seed))"
    order = _LOCATION if source.seed is None else f"{draw}, {_LOCATION}"
    seed = {} if source.seed is None else {"seed": source.seed}
    with _query() as connection:
        if matches:
            connection.execute(
                f"CREATE TABLE chosen AS SELECT * FROM "  # noqa: S608
                f"(SELECT {_LOCATION}, min({LANGUAGES}) AS {LANGUAGES} FROM read_parquet($matches) "
                f"GROUP BY {_LOCATION}) ORDER BY {order} LIMIT $pages",
                {"matches": [str(path) for path in matches], "pages": source.pages or 1 << 40, **seed},
            )
        if not matches or connection.execute("SELECT count(*) FROM chosen").fetchone() == (0,):
            raise InputError(f"sources.{name}: no page in the index fits; widen its conditions")
        odd = connection.execute(
            "SELECT warc_filename FROM chosen WHERE NOT regexp_full_match(warc_filename, $pattern) LIMIT 1",
            {"pattern": CRAWL_PATH.pattern},
        ).fetchone()
        if odd is not None:
            raise InputError(
                f"the index names {odd[0][:200]!r}, which is no path of a crawl: check the source's `server`"
            )
        connection.table("chosen").order(_LOCATION).to_parquet(str(selection), compression="zstd")


@contextmanager
def _query() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB of its own. Its refusal is about the user's condition, which alone is not ours."""
    with connect_for_condition() as connection:
        try:
            yield connection
        except (duckdb.BinderException, duckdb.ConversionException, duckdb.InvalidInputException) as error:
            raise InputError(f"the condition on the index is refused: {error}; correct the source's `where`") from None


def _in_threads(function: Callable[[Item], Result], items: Sequence[Item], threads: int) -> Iterator[Result]:
    """Yield results in the order of the items; an error ends what has not begun."""
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
