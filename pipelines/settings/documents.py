"""Settings of documents: how they are made of pages, and which wishes of their owners are honoured."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipelines.settings.strict import Bears, Language, StrictSettings

# fastText's quantised lid.176 (938,013 bytes, CC BY-SA 3.0), https://fasttext.cc/docs/en/language-identification.html
LID_176_FTZ_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"


class ExtractionSettings(StrictSettings):
    """Parts of a page that main-content extraction leaves in the text. All off gives better articles."""

    alt_texts: bool = Field(default=False, description="Keep the alternative texts of images")
    comments: bool = Field(default=False, description="Keep readers' comments")
    post_meta: bool = Field(default=False, description="Keep dates, authors and tags of posts")
    list_bullets: bool = Field(default=False, description="Write a bullet before list items")
    second: Annotated[Literal["none", "trafilatura"], Bears.IF_SET] = Field(
        default="none",
        description="Extractor that is asked where main content has fewer than 500 characters; the longer text counts; "
        "pip install neutral-residues[trafilatura]",
    )


# Crawlers that gather text for training language models, or tokens of robots.txt that speak of this use alone, from
# their operators' pages: commoncrawl.org/ccbot, platform.openai.com/docs/bots, support.claude.com (crawlers),
# developers.google.com/crawling (Google-Extended), support.apple.com/119829, developers.facebook.com (web crawlers),
# allenai.org/crawler, developer.amazon.com/amazonbot, docs.perplexity.ai (crawlers), webz.io (bot). cohere-ai and
# Claude-Web as site owners write them; PanguBot (Huawei) and Timpibot by github.com/ai-robots-txt/ai.robots.txt. Not
# those that fetch a page for one user's question or answer (ChatGPT-User, meta-externalfetcher), and not Diffbot, which
# makes tables of pages for any use. A token is matched whole: Ai2Bot-Dolma is another than AI2Bot.
AI_AGENTS = (
    "CCBot",
    "GPTBot",
    "ClaudeBot",
    "anthropic-ai",
    "Claude-Web",
    "Google-Extended",
    "Applebot-Extended",
    "meta-externalagent",
    "FacebookBot",
    "Bytespider",
    "cohere-training-data-crawler",
    "cohere-ai",
    "AI2Bot",
    "Ai2Bot-Dolma",
    "Amazonbot",
    "PerplexityBot",
    "omgili",
    "omgilibot",
    "Webzio-Extended",
    "PanguBot",
    "Timpibot",
)


class OptOutSettings(StrictSettings):
    """Statements of a site's owner that keep its pages out. Each has its own reason in documents and funnel."""

    robots: tuple[Literal["noai", "noimageai", "none"], ...] = Field(
        default=("noai",),
        description="Values of X-Robots-Tag and of robots meta tags that opt out; `none` is meant for search engines",
    )
    tdm: bool = Field(default=True, description="Honour `tdm-reservation: 1` in headers and meta tags (TDMRep)")
    usage_preferences: bool = Field(
        default=True,
        description="Honour `Content-Usage: train-ai=n` (IETF AIPREF) and `Content-Signal: ai-train=no` in headers "
        "and robots.txt",
    )
    robots_txt: Annotated[tuple[str, ...], Bears.BY_CONTENT] = Field(
        default=(),
        description="WARC files, patterns or folders of them, with captures of robots.txt, as Common "
        "Crawl publishes them; a host's latest counts, whenever its pages were fetched",
    )
    agents: tuple[str, ...] = Field(
        default=AI_AGENTS, description="User agents in robots.txt whose disallowed pages are left out"
    )
    hosts: Annotated[tuple[str, ...], Bears.BY_CONTENT] = Field(
        default=(), description="Files with hosts and URLs that asked to be left out; format: see pages/url_list.py"
    )


class DocumentSettings(StrictSettings):
    """Settings of making documents of pages. All bears on the key of the documents, but of files only the content
    does.
    """

    languages: tuple[Language, ...] | None = Field(
        default=None,
        min_length=1,
        description="Languages whose main content is extracted, for a tenfold speed on mixed crawls; "
        "a config fills in those of its corpora; none: all",
    )
    identifier: Annotated[Literal["fasttext", "heliport"], Bears.IF_SET] = Field(
        default="fasttext",
        description="Language identifier: fasttext, or heliport (GPL-3.0; pip install neutral-residues[heliport])",
    )
    language_model: Annotated[str | None, Bears.BY_CONTENT] = Field(
        default=None,
        description="Path of a fastText language identifier; none: lid.176, fetched when it is first needed",
    )
    language_model_sha256: str = Field(
        default=LID_176_FTZ_SHA256, pattern="^[0-9a-f]{64}$", description="What the identifier's file must hash to"
    )
    language_characters: int = Field(
        default=2000,
        ge=100,
        description="Characters of main content that the identifier reads, in windows over all of it",
    )
    quality_model: Annotated[str | None, Bears.BY_CONTENT] = Field(
        default=None, description="Path of a model of `nr train-quality`; its score is what rule quality_min judges"
    )
    max_bytes: int = Field(
        default=10_000_000, ge=1000, description="Larger records are left out (10 MB of HTML takes 1 s)"
    )
    opt_outs: OptOutSettings = OptOutSettings()
    block_lists: Annotated[tuple[str, ...], Bears.BY_CONTENT] = Field(
        default=(), description="Files or folders with hosts and URLs to leave out; format: pipelines/pages/url_list.py"
    )
    extraction: ExtractionSettings = ExtractionSettings()
    shingle: int = Field(default=5, ge=1, description="Words in a MinHash shingle")
    num_perm: int = Field(default=112, ge=16, le=1024, description="Length of a MinHash signature")
    seed: int = Field(
        default=1, ge=0, lt=2**32, description="Seed of the MinHash permutations (datasketch's default is 1)"
    )

    @model_validator(mode="after")
    def _heliport_has_its_own_model(self) -> Self:
        if self.identifier == "heliport" and self.language_model is not None:
            raise ValueError("language_model is fastText's: leave it out where `identifier: heliport` stands")
        return self

    @field_validator("languages")
    @classmethod
    def _in_one_order(cls, languages: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if languages is None else tuple(sorted(set(languages)))  # the order is no reason for another key


class QualityModelSettings(StrictSettings):
    """Settings of training a quality classifier (pipelines/text/quality_model.py)."""

    documents: int = Field(default=50_000, ge=100, description="At most so many texts of each kind")
    learning_rate: float = Field(default=0.1, gt=0, le=1, description="Of fastText; halved where it diverges")
    epochs: int = Field(default=5, ge=1, description="Passes over the texts")
    dimensions: int = Field(default=64, ge=2, le=1000, description="Of the vectors of words")
