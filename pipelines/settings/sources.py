"""Sources of text: a class a kind, with its settings and the work units that it gives; and how remote
files are fetched.

A new kind is a class here and its name in `Source`. Its units are of one of the kinds of `WorkUnit.kind`: warc (a file
of WARC records), text (a file of documents; documents/unit.py tells it from the others) or ranges (records by byte
range; sources/fetch_unit.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from pipelines.settings.strict import Bears, Language, StrictSettings
from pipelines.sources.urls import Address, redacted
from storage.errors import InputError
from storage.keys import hash_of
from storage.locations import with_scheme_in_small_letters
from storage.publish import Manifest, make_once
from storage.workspace import Workspace

if TYPE_CHECKING:  # what finds the units takes more than pydantic: it is imported where it is used
    from pipelines.sources.work_units import Search, WorkUnit

SAMPLE_CRAWL_VERSION = 1  # raise it when write_sample_crawl comes to write other bytes
PATHS = "Files or glob patterns (** descends into folders), or URLs: https://, and s3://, hdfs://, hf:// with patterns"


class _Source(StrictSettings, ABC):
    licence: Annotated[str | None, Bears.NOTHING] = Field(
        default=None, min_length=1, description="What data cards say of its texts' licence; bears on no content"
    )

    @abstractmethod
    def units(self, name: str, search: "Search") -> "Iterator[WorkUnit]":
        """Yield the work units of this source, `name` in the config. Raises InputError as list_work_units."""

    def local_patterns(self) -> list[str]:
        """Return the files and patterns of this machine that must be there before anything runs."""
        return []

    def changeable_addresses(self) -> list[str]:
        """Return what lies elsewhere and may change from one refresh to the next."""
        return []


class _Paths(_Source):
    paths: Annotated[list[Address], Bears.NOTHING] = Field(min_length=1, description=PATHS)

    def local_patterns(self) -> list[str]:
        return [pattern for pattern in self.paths if "://" not in pattern]

    def changeable_addresses(self) -> list[str]:
        return [redacted(address) for address in self.paths if "://" in address]


class WarcSource(_Paths):
    """WARC files (uncompressed, gzip, zstd or lz4), WET files among them, on this machine or at a URL."""

    kind: Literal["warc"] = "warc"

    def units(self, name: str, search: "Search") -> "Iterator[WorkUnit]":
        from pipelines.sources.work_units import source_files

        return (file.unit(name, "warc", {}) for file in source_files(name, self.paths, search))


class TextSource(_Paths):
    """Documents that are text already: JSON lines or an array (.jsonl, .ndjson, .json; also .gz, .zst, .bz2, .xz) or
    Parquet, one document a row; .txt, one document a file."""

    kind: Annotated[Literal["text"], Bears.NOTHING] = "text"  # a unit has a kind of its own
    text_field: str = Field(default="text", description="Field or column that holds the text (a.b: field b in a)")
    id_field: str | None = Field(
        default=None, description="Field that names the document; none: file name and row number"
    )
    title_field: str | None = Field(default=None, description="Field that holds a title")
    url_field: Annotated[str | None, Bears.IF_SET] = Field(
        default=None,
        description="Field that holds the address of the text's page (a.b: field b in a), whose host, opt-outs and "
        "lists then hold; none: `url`, where there is one",
    )
    max_characters: int | None = Field(
        default=None,
        ge=1000,
        description="Cut longer texts at line ends into documents of at most this many characters",
    )

    def units(self, name: str, search: "Search") -> "Iterator[WorkUnit]":
        from pipelines.sources.text_files import known_kinds, text_suffix
        from pipelines.sources.work_units import source_files

        content_of_name: dict[str, str] = {}
        for file in source_files(name, self.paths, search):
            if text_suffix(file.name) is None:
                raise InputError(
                    f"sources.{name}.paths: {file.path} is of no known kind; a text source reads {known_kinds()}"
                )
            options = self.identity() | {"source": name}
            if self.id_field is None:  # documents are then named by their file: another of this name has others
                is_first = content_of_name.setdefault(file.name, file.content) == file.content
                options["file_name"] = file.name if is_first else f"{file.content}/{file.name}"
            yield file.unit(name, "text", options)


class SampleCrawlSource(_Source):
    """The generated sample crawl of the demo and the tests."""

    kind: Literal["sample_crawl"] = "sample_crawl"
    pages: int = Field(default=1500, ge=20, description="How many pages the crawl has")
    seed: int = Field(default=0, ge=0, lt=2**32, description="The same seed writes the same bytes")

    def units(self, name: str, search: "Search") -> "Iterator[WorkUnit]":
        from pipelines.sources.work_units import source_files

        folder = self._written(search.workspace)
        return (file.unit(name, "warc", {}) for file in source_files(name, [str(folder / "*.warc.gz")], search))

    def _written(self, workspace: Workspace) -> Path:
        """Return the folder of the generated crawl, written first if it is not there."""
        key = hash_of("sample_crawl", SAMPLE_CRAWL_VERSION, self.pages, self.seed)
        folder = workspace.sample(key)

        def write(partial: Path) -> Manifest:
            from pipelines.sample_crawl import write_sample_crawl

            write_sample_crawl(partial, pages=self.pages, seed=self.seed)
            return Manifest("sample_crawl", key, inputs={}, settings=self.model_dump())

        make_once(folder, write, workspace.lock(f"sample-{key}"))
        return folder


class _CommonCrawl(_Source):
    crawl: Annotated[str, Bears.NOTHING] = Field(  # keys are made for the snapshot that it stands for
        pattern=r"^(CC-MAIN-\d{4}-\d{2}|latest)$",
        description="CC-MAIN-YYYY-WW, or latest: the newest, which stays the same until a refresh has ended",
    )
    server: Annotated[str, Bears.NOTHING] = Field(
        default="https://data.commoncrawl.org", description="Where the files lie; s3://commoncrawl inside AWS"
    )
    collections: Annotated[str, Bears.NOTHING] = Field(
        default="https://index.commoncrawl.org/collinfo.json", description="List of the crawls, read for `latest`"
    )
    seed: int | None = Field(default=None, ge=0, lt=2**32, description="Draw the sample at random by this seed")

    @field_validator("server", "collections")
    @classmethod
    def _no_secret_in_the_address(cls, address: str) -> str:
        if redacted(address) != address:
            raise ValueError(
                "the address has a password or a signature in it, and is kept with each file of the crawl: give one "
                "without (s3:// takes keys from the environment)"
            )
        return with_scheme_in_small_letters(address)

    def changeable_addresses(self) -> list[str]:
        """Return none for a snapshot, which never changes: a month of the news crawl grows while it lasts."""
        return [] if self.crawl.startswith("CC-MAIN-") else [self.crawl]


class CommonCrawlSource(_CommonCrawl):
    """Whole files of one Common Crawl snapshot: the first ones, a slice, or a random sample by `seed`."""

    kind: Literal["common_crawl"] = "common_crawl"
    crawl: Annotated[str, Bears.NOTHING] = Field(
        pattern=r"^(CC-MAIN-\d{4}-\d{2}|CC-NEWS/\d{4}/\d{2}|latest)$",
        description="CC-MAIN-YYYY-WW; CC-NEWS/YYYY/MM, a month of the news crawl; or latest: the newest CC-MAIN, which "
        "stays the same until a refresh has ended",
    )
    format: Literal["warc", "wet"] = Field(
        default="warc", description="warc: pages; wet: their text, extracted by Common Crawl with menus and all"
    )
    start: int = Field(default=0, ge=0, description="The first file of a slice, by its place in the snapshot's list")
    files: int | None = Field(
        default=None, ge=1, description="How many files (a WARC is about 1 GB); none: all of the snapshot"
    )

    @model_validator(mode="after")
    def _news_has_no_texts(self) -> Self:
        if self.format == "wet" and self.crawl.startswith("CC-NEWS"):
            raise ValueError("CC-NEWS has no WET files: set `format: warc`")
        return self

    @model_validator(mode="after")
    def _a_sample_has_a_size(self) -> Self:
        if self.seed is not None and (self.files is None or self.start):
            raise ValueError("`seed` draws a sample of `files` files: set `files`, and leave `start` out")
        return self

    def units(self, name: str, search: "Search") -> "Iterator[WorkUnit]":
        """Yield files of a snapshot. They never change: the path alone, without the server, tells their content."""
        from pipelines.sources.common_crawl.snapshots import address, choose_files, list_files, resolve
        from pipelines.sources.work_units import WorkUnit

        crawl = resolve(self.crawl, self.collections, search.remote, search.workspace)
        listed = list_files(self.server, crawl, f"{self.format}.paths.gz", search.remote)
        for path in choose_files(listed, self):
            yield WorkUnit(hash_of("warc", {}, path), name, "warc", address(self.server, path), 0, {}, accumulates=True)


class CommonCrawlIndexSource(_CommonCrawl):
    """Single pages of one Common Crawl snapshot, selected in its columnar index and fetched by byte range."""

    kind: Literal["common_crawl_index"] = "common_crawl_index"
    languages: list[Language] = Field(
        default=[], description="Main language of the page by Common Crawl (first of content_languages); none: any"
    )
    hosts: list[str] = Field(
        default=[], description="Host patterns: example.hu, *.example.hu (its subdomains); none: any"
    )
    top_level_domains: list[str] = Field(default=[], description="Such as hu; none: any")
    mime_types: list[str] = Field(
        default=["text/html", "application/xhtml+xml"], description="Type that Common Crawl detected; empty: any"
    )
    status: list[int] = Field(default=[200], description="HTTP status; empty: any")
    where: str | None = Field(
        default=None, description="A further condition, in DuckDB's SQL over the columns of the index"
    )
    pages: int | None = Field(
        default=None, ge=1, description="At most so many pages: the first, or a random sample by `seed`"
    )
    max_index_gb: Annotated[float, Bears.NOTHING] = Field(
        default=20.0, gt=0, description="A selection that must read more of the index than this is refused"
    )

    @model_validator(mode="after")
    def _a_sample_has_a_size(self) -> Self:
        if self.seed is not None and self.pages is None:
            raise ValueError("`seed` draws a sample of `pages` pages: set `pages`")
        return self

    def units(self, name: str, search: "Search") -> "Iterator[WorkUnit]":
        """Yield batches of the pages that a snapshot's index gives."""
        from pipelines.sources.common_crawl.selection import freeze_selection, read_units
        from pipelines.sources.common_crawl.snapshots import resolve
        from pipelines.sources.work_units import WorkUnit

        crawl = resolve(self.crawl, self.collections, search.remote, search.workspace)
        key = freeze_selection(name, self, crawl, search.remote, search.workspace, search.say)
        for number, batch in enumerate(read_units(key, search.workspace).to_pylist()):
            options = {"selection": key, "server": self.server, **{field: batch[field] for field in ("first", "pages")}}
            path = f"{crawl}/{key}/{number:06d}"
            yield WorkUnit(batch["unit_id"], name, "ranges", path, batch["bytes"], options, accumulates=True)


Source = Annotated[
    WarcSource | TextSource | SampleCrawlSource | CommonCrawlSource | CommonCrawlIndexSource,
    Field(discriminator="kind"),
]
KINDS: tuple[str, ...] = tuple(kind.model_fields["kind"].default for kind in get_args(get_args(Source)[0]))


A_DAY = 86_400  # seconds; sockets and sleep take no number at all


class FetchSettings(StrictSettings):
    """Settings of fetching remote files. None of it bears on content."""

    user_agent: str = Field(
        default="neutral-residues/0.1 (no contact given)",
        min_length=1,
        pattern=r"^[\x20-\x7e]+$",
        description="What servers see; add an address at which their owners reach you",
    )
    connections: int = Field(default=4, ge=1, le=16, description="Requests at a time (Common Crawl bars the greedy)")
    attempts: int = Field(default=8, ge=1, description="How often one request is made before its unit fails")
    timeout_seconds: float = Field(
        default=60.0, gt=0, le=A_DAY, description="Without a byte for so long, a request has failed"
    )
    first_wait_seconds: float = Field(
        default=1.0, gt=0, le=A_DAY, description="Wait after a first failure; doubles with each"
    )
    max_wait_seconds: float = Field(
        default=120.0, gt=0, le=A_DAY, description="Longest wait, also where Retry-After asks more"
    )
    max_unsized_gb: float = Field(
        default=4.0, gt=0, description="Most that is downloaded of a file whose size its server does not tell"
    )
