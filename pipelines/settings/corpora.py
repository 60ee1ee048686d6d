"""Settings of corpora: which documents they take, and what is done with their texts."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, Strict, field_validator, model_validator

from pipelines.settings.strict import Bears, Language, StrictSettings
from pipelines.text.languages import threshold
from pipelines.text.rules import Profile, thresholds


class DedupSettings(StrictSettings):
    """Near-duplicate removal. 14 bands of 8 rows (FineWeb) find 92 % of the pairs at Jaccard .8, 99.96 % at .9."""

    bands: int = Field(default=14, ge=1, description="Bands of the locality-sensitive hash")
    rows: int = Field(default=8, ge=1, description="Signature values in a band")
    threshold: float = Field(
        default=0.8, gt=0, le=1, description="Estimated Jaccard similarity from which a document goes"
    )


class PiiSettings(StrictSettings):
    """Personal data replaced in a corpus's texts by fixed tokens (pipelines/text/pii.py)."""

    emails: bool = Field(default=True, description="Replace e-mail addresses")
    ip_addresses: bool = Field(default=True, description="Replace public IP addresses, version 4 and 6")
    phone_numbers: bool = Field(
        default=False, description="Replace what looks like a phone number; other long numbers may go with them"
    )


# Strict and in this order: 0 is a threshold, false is none.
Limit = Annotated[Annotated[float, Strict()] | Literal[False], Field(union_mode="left_to_right")]


FILES_OF_SETS = (".txt", ".jsonl", ".jsonl.gz", ".parquet")  # of evaluation sets, which `decontaminate` names


def names_a_file(evaluation_set: str) -> bool:
    """Tell whether an entry of `decontaminate` is a file; else it is a published corpus."""
    return evaluation_set.endswith(FILES_OF_SETS)


class CorpusSettings(StrictSettings):
    """Settings of one corpus: which documents it takes, and how it is split."""

    language: Annotated[Language, Bears.ON_HELD_OUT] = Field(description="ISO 639-3 code, such as hun")
    text_domain: Annotated[str, Bears.ON_HELD_OUT] = Field(
        min_length=1, description="What the text is about, in a word or two: help pages, novels"
    )
    sources: Annotated[list[str], Bears.ON_NO_DOCUMENT] = Field(
        min_length=1, description="Names of the sources that it draws from"
    )
    hosts: list[str] = Field(
        default=["*"],
        min_length=1,
        description="Host patterns (*, ?, [..]); the host of a text without an address is its source's name",
    )
    profile: Profile = Field(
        default="none",
        description="Published rules over scores, docs/filters.md: kyutai, fineweb2 (for English: FineWeb's), gopher; "
        "none: by host, language and length alone",
    )
    rules: dict[str, Limit] = Field(
        default={}, description="Thresholds of single rules that differ from the profile's; false takes a rule out"
    )
    bad_words: Annotated[str | None, Bears.BY_CONTENT] = Field(
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
        "pipelines/text/languages.py",
    )
    dedup: DedupSettings = DedupSettings()
    line_dedup: Literal["none", "lines", "paragraphs"] = Field(
        default="none",
        description="lines: remove lines that an earlier kept document has (menus, notices); paragraphs: remove "
        "paragraphs of which a fifth at most is new, as Kyutai does",
    )
    repair: Annotated[bool, Bears.ON_HELD_OUT] = Field(
        default_factory=lambda fields: fields.get("profile") == "fineweb2",  # FineWeb2's own step
        description="Repair wrongly decoded letters with ftfy; about 1 ms a page. Default: in profile fineweb2 alone",
    )
    pii: Annotated[PiiSettings, Bears.ON_HELD_OUT] = PiiSettings()
    remove_bar_lines: Annotated[bool, Bears.ON_HELD_OUT] = Field(
        default=False,
        description="Break the paragraph in the place of lines of nothing but |, which tables leave, as FineWeb2 does",
    )
    decontaminate: tuple[str, ...] = Field(
        default=(),
        description="Evaluation sets that share no n-gram with it: corpora of this config (their held-out splits), "
        "or files (.txt, .jsonl, .jsonl.gz, .parquet)",
    )
    decontamination_ngram: int = Field(default=13, ge=3, description="Words of an n-gram of decontaminate")
    rehydrate: Annotated[bool, Bears.ON_NO_DOCUMENT] = Field(
        default=False, description="Repeat train documents by the size of their cluster of copies, as FineWeb2 does"
    )
    licence: Annotated[str | None, Bears.ON_NO_DOCUMENT] = Field(
        default=None, min_length=1, description="What the data card says of the text's licence"
    )
    split_by: Annotated[Literal["host", "url_path", "document"], Bears.ON_HELD_OUT] = Field(
        default="host",
        description="What is held out whole: a host, a path in all its languages, or a document; in a config, "
        "document for a corpus of one text source without url_field",
    )
    held_out_share: Annotated[float, Bears.ON_HELD_OUT] = Field(
        default=0.05, gt=0, lt=1, description="Share of hosts, paths or documents held out"
    )
    held_out_min_documents: Annotated[int, Bears.ON_HELD_OUT] = Field(
        default=20, ge=1, description="At least this many documents are held out"
    )

    @field_validator("line_dedup", mode="before")
    @classmethod
    def _line_dedup_was_a_switch(cls, value: object) -> object:
        if isinstance(value, bool):  # YAML's off and no are booleans too
            raise ValueError(f"write `{'lines' if value else 'none'}` where `{str(value).lower()}` stands")
        return value

    @field_validator("hosts")
    @classmethod
    def _hosts_alone(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            if re.search(r"[/@#\s]|^[^:]*:\d*$", host.strip()) or not host.strip():
                raise ValueError(
                    f"{host!r} is no host: write it without scheme, port, path and spaces, like *.example.org"
                )
        return hosts

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
        """Return the threshold by rule, in the order of the filter."""
        return thresholds(self.profile, self.language, self.rules)


def _language_score(fields: Mapping[str, Any]) -> float:
    # dactory's own, for every language (github.com/kyutai-labs/dactory).
    return 0.8 if fields.get("profile") == "kyutai" else threshold(fields.get("language", ""))
