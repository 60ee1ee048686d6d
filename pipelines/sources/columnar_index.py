"""Common Crawl's columnar index: which pages of a snapshot fit a condition, and where their records lie.

One snapshot's index has about 300 GB (https://commoncrawl.org/columnar-index). Read are the footers of its files, then,
of the row groups that may fit, the column chunks that the condition needs, file by file into local Parquet; DuckDB
takes the rows that fit, and the local file goes.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import duckdb

from pipelines.settings import CommonCrawlIndexSource
from pipelines.sources.crawls import CRAWL_PATH, address, list_files
from pipelines.sources.index_condition import OFFLINE, Condition, condition
from pipelines.sources.index_file import FooterReader, IndexFile, plan_file
from pipelines.sources.ranges import LOCATION
from pipelines.sources.remote import Remote
from storage.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
_LOCATION = ", ".join(LOCATION)


def read_index(
    name: str, source: CommonCrawlIndexSource, crawl: str, remote: Remote, folder: Path, say: Callable[[str], None]
) -> None:
    """Write folder/selection.parquet: columns warc_filename, warc_record_offset, warc_record_length, in that order.

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
        matches = folder / f"matches-{place:05d}.parquet"
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
                f"CREATE TABLE fitting AS SELECT {_LOCATION} FROM read_parquet($part) WHERE {wanted.sql}",  # noqa: S608
                {"part": str(part), **wanted.parameters},
            )
            connection.table("fitting").to_parquet(str(partial), compression="zstd")
        partial.rename(matches)
    finally:
        part.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)


def _put_together(name: str, source: CommonCrawlIndexSource, matches: Sequence[Path], selection: Path) -> None:
    """Sort, and take the first pages or a sample: by a hash, so that it does not depend on the order of reading."""
    draw = "md5(concat_ws(' ', warc_filename, warc_record_offset, $seed))"
    order = _LOCATION if source.seed is None else f"{draw}, {_LOCATION}"
    seed = {} if source.seed is None else {"seed": source.seed}
    with _query() as connection:
        if matches:
            connection.execute(
                f"CREATE TABLE chosen AS SELECT * FROM "  # noqa: S608
                f"(SELECT DISTINCT {_LOCATION} FROM read_parquet($matches)) ORDER BY {order} LIMIT $pages",
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
    """A DuckDB of its own. Its refusal is about the user's condition, which alone is not ours."""
    with duckdb.connect(config=OFFLINE) as connection:
        try:
            yield connection
        except (duckdb.BinderException, duckdb.ConversionException, duckdb.InvalidInputException) as error:
            raise InputError(f"the condition on the index is refused: {error}; correct the source's `where`") from None


def _in_threads(function: Callable[[Item], Result], items: Sequence[Item], threads: int) -> Iterator[Result]:
    """Results in the order of the items; an error ends what has not begun."""
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
