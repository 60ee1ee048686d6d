"""Settings of the steps of this room. They need only pydantic; paths and worker counts never bear on content."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, field_validator, model_validator

from pipelines.language_thresholds import threshold
from pipelines.languages import known_language
from pipelines.rules import Profile, thresholds

# fastText's quantised lid.176 (938,013 bytes, CC BY-SA 3.0), https://fasttext.cc/docs/en/language-identification.html
LID_176_FTZ_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"

Language = Annotated[str, AfterValidator(known_language)]


PATHS = "Files or glob patterns (** descends into folders), or URLs: https://, s3://, hf:// (the latter with patterns)"


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Source(_Settings):
    licence: str | None = Field(
        default=None, min_length=1, description="What data cards say of its texts' licence; bears on no content"
    )


class WarcSource(_Source):
    """WARC files (uncompressed, gzip, zstd or lz4), WET files among them, on this machine or at a URL."""

    kind: Literal["warc"] = "warc"
    paths: list[str] = Field(min_length=1, description=PATHS)


class TextSource(_Source):
    """Documents that are text already: JSONL (.jsonl, .jsonl.gz) or Parquet (.parquet), one document a row."""

    kind: Literal["text"] = "text"
    paths: list[str] = Field(min_length=1, description=PATHS)
    text_field: str = Field(default="text", description="Field or column that holds the text")
    id_field: str | None = Field(
        default=None, description="Field that names the document; none: file name and row number"
    )
    title_field: str | None = Field(default=None, description="Field that holds a title")
    max_characters: int | None = Field(
        default=None,
        ge=1000,
        description="Cut longer texts at line ends into documents of at most this many characters",
    )


class SampleCrawlSource(_Source):
    """The generated sample crawl of the demo and the tests."""

    kind: Literal["sample_crawl"] = "sample_crawl"
    pages: int = Field(default=1500, ge=20, description="How many pages the crawl has")
    seed: int = Field(default=0, description="The same seed writes the same bytes")


class _CommonCrawl(_Source):
    crawl: str = Field(
        pattern=r"^(CC-MAIN-\d{4}-\d{2}|latest)$",
        description="CC-MAIN-YYYY-WW, or latest: the newest, which stays the same until a refresh has ended",
    )
    server: str = Field(
        default="https://data.commoncrawl.org", description="Where the files lie; s3://commoncrawl inside AWS"
    )
    collections: str = Field(
        default="https://index.commoncrawl.org/collinfo.json", description="List of the crawls, read for `latest`"
    )
    seed: int | None = Field(default=None, ge=0, description="Draw the sample at random by this seed")


class CommonCrawlSource(_CommonCrawl):
    """Whole files of one Common Crawl snapshot: the first ones, a slice, or a random sample by `seed`."""

    kind: Literal["common_crawl"] = "common_crawl"
    format: Literal["warc", "wet"] = Field(
        default="warc", description="warc: pages; wet: their text, extracted by Common Crawl with menus and all"
    )
    start: int = Field(default=0, ge=0, description="The first file of a slice, by its place in the snapshot's list")
    files: int | None = Field(
        default=None, ge=1, description="How many files (a WARC is about 1 GB); none: all of the snapshot"
    )

    @model_validator(mode="after")
    def _a_sample_has_a_size(self) -> Self:
        if self.seed is not None and (self.files is None or self.start):
            raise ValueError("`seed` draws a sample of `files` files: set `files`, and leave `start` out")
        return self


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
    max_index_gb: float = Field(
        default=20.0, gt=0, description="A selection that must read more of the index than this is refused"
    )

    @model_validator(mode="after")
    def _a_sample_has_a_size(self) -> Self:
        if self.seed is not None and self.pages is None:
            raise ValueError("`seed` draws a sample of `pages` pages: set `pages`")
        return self


Source = Annotated[
    WarcSource | TextSource | SampleCrawlSource | CommonCrawlSource | CommonCrawlIndexSource,
    Field(discriminator="kind"),
]


class FetchSettings(_Settings):
    """How remote files are fetched. None of it bears on content."""

    user_agent: str = Field(
        default="neutral-residues/0.1 (no contact given)",
        min_length=1,
        pattern=r"^[\x20-\x7e]+$",
        description="What servers see; add an address at which their owners reach you",
    )
    connections: int = Field(default=4, ge=1, le=16, description="Requests at a time (Common Crawl bars the greedy)")
    attempts: int = Field(default=8, ge=1, description="How often one request is made before its unit fails")
    timeout_seconds: float = Field(default=60.0, gt=0, description="Without a byte for so long, a request has failed")
    first_wait_seconds: float = Field(default=1.0, gt=0, description="Wait after a first failure; doubles with each")
    max_wait_seconds: float = Field(default=120.0, gt=0, description="Longest wait, also where Retry-After asks more")


class ExtractionSettings(_Settings):
    """What main-content extraction leaves in the text. All off gives better articles."""

    alt_texts: bool = Field(default=False, description="Keep the alternative texts of images")
    comments: bool = Field(default=False, description="Keep readers' comments")
    post_meta: bool = Field(default=False, description="Keep dates, authors and tags of posts")
    list_bullets: bool = Field(default=False, description="Write a bullet before list items")


# Crawlers that gather text for training language models, or tokens of robots.txt that speak of this use alone, from
# their operators' pages: commoncrawl.org/ccbot, platform.openai.com/docs/bots, support.claude.com (crawlers),
# developers.google.com/crawling (Google-Extended), support.apple.com/119829, developers.facebook.com (web crawlers).
AI_AGENTS = (
    "CCBot",
    "GPTBot",
    "ClaudeBot",
    "anthropic-ai",
    "Google-Extended",
    "Applebot-Extended",
    "meta-externalagent",
    "Bytespider",
    "cohere-training-data-crawler",
)


class OptOutSettings(_Settings):
    """Which statements of a site's owner keep its pages out. Each has its own reason in documents and funnel."""

    robots: tuple[Literal["noai", "noimageai", "none"], ...] = Field(
        default=("noai",),
        description="Values of X-Robots-Tag and of robots meta tags that opt out; `none` is meant for search engines",
    )
    tdm: bool = Field(default=True, description="Honour `tdm-reservation: 1` in headers and meta tags (TDMRep)")
    robots_txt: tuple[str, ...] = Field(
        default=(), description="WARC files (or patterns) with captures of robots.txt, as Common Crawl publishes them"
    )
    agents: tuple[str, ...] = Field(
        default=AI_AGENTS, description="User agents in robots.txt whose disallowed pages are left out"
    )
    hosts: tuple[str, ...] = Field(
        default=(), description="Files with hosts and URLs that asked to be left out; format: pipelines/url_list.py"
    )


class DocumentSettings(_Settings):
    """How pages become documents. All bears on the key of the documents, but of files only the content does."""

    languages: tuple[Language, ...] | None = Field(
        default=None,
        min_length=1,
        description="Languages whose main content is extracted, for a tenfold speed on mixed crawls; "
        "a config fills in those of its corpora; none: all",
    )
    language_model: str | None = Field(
        default=None, description="Path of a fastText language identifier; none: the one that `make setup` fetched"
    )
    language_model_sha256: str = Field(
        default=LID_176_FTZ_SHA256, pattern="^[0-9a-f]{64}$", description="What the identifier's file must hash to"
    )
    language_characters: int = Field(
        default=2000,
        ge=100,
        description="Characters of main content that the identifier reads (more is slower, not better)",
    )
    quality_model: str | None = Field(
        default=None, description="Path of a model of `nr train-quality`; its score is what rule quality_min judges"
    )
    max_bytes: int = Field(
        default=10_000_000, ge=1000, description="Larger records are left out (10 MB of HTML takes 1 s)"
    )
    opt_outs: OptOutSettings = OptOutSettings()
    block_lists: tuple[str, ...] = Field(
        default=(), description="Files or folders with hosts and URLs to leave out; format: pipelines/url_list.py"
    )
    extraction: ExtractionSettings = ExtractionSettings()
    shingle: int = Field(default=5, ge=1, description="Words in a MinHash shingle")
    num_perm: int = Field(default=112, ge=16, le=1024, description="Length of a MinHash signature")
    seed: int = Field(
        default=1, ge=0, lt=2**32, description="Seed of the MinHash permutations (datasketch's default is 1)"
    )

    @field_validator("languages")
    @classmethod
    def _in_one_order(cls, languages: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if languages is None else tuple(sorted(set(languages)))  # the order is no reason for another key


class DedupSettings(_Settings):
    """Near-duplicate removal. 14 bands of 8 rows (FineWeb) find 92 % of the pairs at Jaccard .8, 99.96 % at .9."""

    bands: int = Field(default=14, ge=1, description="Bands of the locality-sensitive hash")
    rows: int = Field(default=8, ge=1, description="Signature values in a band")
    threshold: float = Field(
        default=0.8, gt=0, le=1, description="Estimated Jaccard similarity from which a document goes"
    )


class QualityModelSettings(_Settings):
    """How a quality classifier is trained (pipelines/quality_model.py)."""

    documents: int = Field(default=50_000, ge=100, description="At most so many texts of each kind")
    learning_rate: float = Field(default=0.1, gt=0, le=1, description="Of fastText; halved where it diverges")
    epochs: int = Field(default=5, ge=1, description="Passes over the texts")
    dimensions: int = Field(default=64, ge=2, le=1000, description="Of the vectors of words")


class PiiSettings(_Settings):
    """Personal data replaced in a corpus's texts by fixed tokens (pipelines/pii.py)."""

    emails: bool = Field(default=True, description="Replace e-mail addresses")
    ip_addresses: bool = Field(default=True, description="Replace public IP addresses, version 4 and 6")
    phone_numbers: bool = Field(
        default=False, description="Replace what looks like a phone number; other long numbers may go with them"
    )


# Strict and in this order: 0 is a threshold, false is none.
Limit = Annotated[
    Annotated[float, Strict(), Field(allow_inf_nan=False)] | Literal[False], Field(union_mode="left_to_right")
]


class CorpusSettings(_Settings):
    """Which documents make a corpus, and how it is split."""

    language: Language = Field(description="ISO 639-3 code, such as hun")
    text_domain: str = Field(min_length=1, description="What the text is about, in a word or two: help pages, novels")
    sources: list[str] = Field(min_length=1, description="Names of the sources that it draws from")
    hosts: list[str] = Field(
        default=["*"], min_length=1, description="Host patterns (*, ?, [..]); a text source's host is its name"
    )
    profile: Profile = Field(
        default="none",
        description="Published rules over scores, docs/filters.md: kyutai, fineweb2 (for English: FineWeb's), gopher; "
        "none: by host, language and length alone",
    )
    rules: dict[str, Limit] = Field(
        default={}, description="Thresholds of single rules that differ from the profile's; false takes a rule out"
    )
    bad_words: str | None = Field(
        default=None,
        min_length=1,
        description="Path of a list, a word or phrase a line; documents that hold one of them are left out, as C4's",
    )
    min_characters: int = Field(default=500, ge=1, description="Shorter documents are left out")
    min_language_score: float = Field(
        default_factory=lambda fields: _language_score(fields),  # it stands below
        ge=0,
        le=1,
        description="Less sure identifications are left out; default: .8 in profile kyutai, else by language, "
        "pipelines/language_thresholds.py",
    )
    dedup: DedupSettings = DedupSettings()
    line_dedup: Literal["none", "lines", "paragraphs"] = Field(
        default="none",
        description="lines: remove lines that an earlier kept document has (menus, notices); paragraphs: remove "
        "paragraphs of which a fifth at most is new, as Kyutai does",
    )
    repair: bool = Field(default=False, description="Repair wrongly decoded letters with ftfy; about 1 ms a page")
    pii: PiiSettings = PiiSettings()
    remove_bar_lines: bool = Field(
        default=False,
        description="Break the paragraph in the place of lines of nothing but |, which tables leave, as FineWeb2 does",
    )
    decontaminate: tuple[str, ...] = Field(
        default=(),
        description="Evaluation sets that share no n-gram with it: corpora of this config (their held-out sides), "
        "or files (.txt, .jsonl, .jsonl.gz, .parquet)",
    )
    decontamination_ngram: int = Field(default=13, ge=3, description="Words of an n-gram of decontaminate")
    rehydrate: bool = Field(
        default=False, description="Repeat train documents by the size of their cluster of copies, as FineWeb2 does"
    )
    licence: str | None = Field(default=None, min_length=1, description="What the data card says of the text's licence")
    split_by: Literal["host", "url_path", "document"] = Field(
        default="host", description="What is held out whole: a host, a path in all its languages, or a document"
    )
    held_out_share: float = Field(default=0.05, gt=0, lt=1, description="Share of hosts, paths or documents held out")
    held_out_min_documents: int = Field(default=20, ge=1, description="At least this many documents are held out")

    @field_validator("line_dedup", mode="before")
    @classmethod
    def _line_dedup_was_a_switch(cls, value: object) -> object:
        if isinstance(value, bool):  # YAML's off and no are booleans too
            raise ValueError(f"write `{'lines' if value else 'none'}` where `{str(value).lower()}` stands")
        return value

    @model_validator(mode="after")
    def _sources_are_named_once(self) -> Self:
        if len(set(self.sources)) < len(self.sources):
            raise ValueError(f"sources {self.sources} names a source twice: name each once")
        return self

    @model_validator(mode="after")
    def _rules_are_known(self) -> Self:
        self.thresholds()
        return self

    def thresholds(self) -> dict[str, float]:
        """Threshold by rule, in the order of the verdict."""
        return thresholds(self.profile, self.language, self.rules)


def _language_score(fields: Mapping[str, Any]) -> float:
    # dactory's own, for every language (github.com/kyutai-labs/dactory).
    return 0.8 if fields.get("profile") == "kyutai" else threshold(fields.get("language", ""))
