"""The one tree of settings: filled from YAML, passed as the flows' parameter, refused with a sentence where wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from flows.config.errors import first_sentence, refuse_odd_numbers, refuse_secrets, refuse_unknown, refuse_untold
from flows.config.extends import refuse_too_deep, resolve_extends, substitute
from flows.config.nulls import without_nulls
from flows.config.resources import Resources
from flows.config.run_form import run_form
from flows.config.runs import (
    AfterRefresh,
    AnyInput,
    Base,
    CorpusName,
    EvaluationPlan,
    OwnText,
    PretrainedHere,
    Sweep,
    refuse_other_than_one,
    refuse_repeated,
    refuse_wrong_teachers,
)
from flows.steps.checks import Checks
from nr_core.settings import BaseSpec, MethodSettings, Seed, Settings, Tracker, TrainingSettings
from pipelines.settings import CorpusSettings, DocumentSettings, FetchSettings, Language, Source
from pipelines.settings.corpora import names_a_file
from pipelines.sources.urls import Address, redacted
from pipelines.text.rules import QUALITY
from storage.errors import InputError
from storage.locations import at_home, with_scheme_in_small_letters


class Config(Settings):
    """Everything that a flow does. Only the language, the sources and the corpora have no default."""

    extends: str | None = Field(
        None, description="a config file that this one completes or overrides (null takes a key away)"
    )
    name: str = Field("extension", pattern=r"^[a-z0-9][a-z0-9-]{0,99}$", description="what the report and logs call it")
    language: Language = Field(description="the language to learn, as ISO 639-3")
    more_languages: list[Language] = Field(
        default_factory=list, description="further new languages, learned jointly with the first in one adapter"
    )
    data_root: Address = Field(".", description="what ${data_root} in paths stands for; set it on the command line")
    workspace: str = Field("workspace", min_length=1, description="the folder that takes all results")
    bucket: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9]+://.",
        description="fsspec URL, like s3://bucket/folder, that takes the Parquet parts (documents, corpora) too",
    )
    sources: dict[str, Source] = Field(min_length=1, description="where text comes from, by a name of your choice")
    fetch: FetchSettings = Field(FetchSettings(), description="how remote files are fetched")
    documents: DocumentSettings = Field(DocumentSettings(), description="how pages are read and scored")
    corpora: dict[CorpusName, CorpusSettings] = Field(
        min_length=1, description="what the documents are sifted into, by name"
    )
    checks: Checks = Field(Checks(), description="what a corpus must be like before it is trained on")
    base: Base | None = Field(None, description="the model to extend: `model: id or folder`, or `pretrain: {...}`")
    inputs: list[AnyInput] = Field(
        default_factory=list,
        description="what the runs are trained on: corpora, and `from: base` for text that the base writes itself",
    )
    methods: list[MethodSettings] = Field(
        [MethodSettings(method="neutral_residues")], min_length=1, description="one run a method and seed"
    )
    seeds: list[Seed] = Field([0], min_length=1, description="one run a method and seed")
    sweep: Sweep | None = Field(None, description="what `nr sweep` varies")
    add_to: str | None = Field(
        None, description="id of a run whose adapters stay active, frozen, beside the new ones: one more language"
    )
    start_from: str | None = Field(
        None, description="id of a run whose weights the training starts from: the same method, after a data refresh"
    )
    secret_blocks: dict[str, str] = Field(
        default_factory=dict, description="environment variables that Prefect's Secret blocks of these names fill"
    )
    after_refresh: AfterRefresh = Field(AfterRefresh(), description="when and how a refresh leads to new runs")
    training: TrainingSettings = Field(TrainingSettings(), description="how the runs are trained")
    evaluation: EvaluationPlan = Field(EvaluationPlan(), description="how models are scored")
    tracking: Tracker = Field(
        "none", description="experiment tracker that gets a training's figures as they come: trackio, wandb or mlflow"
    )
    resources: Resources = Field(Resources(), description="processes and threads")

    @field_validator("bucket")
    @classmethod
    def _no_secret_in_the_address(cls, bucket: str | None) -> str | None:
        address = urlsplit(bucket or "")
        if redacted(bucket or "") != (bucket or ""):  # a user's name before the host may be a key's
            raise ValueError(
                "the address has a user, a password or a token in it, and would be kept and logged: give it without, "
                f"and what opens it in the environment, as FSSPEC_{address.scheme.upper()}_PASSWORD"
            )
        return bucket and with_scheme_in_small_letters(bucket)

    @field_validator("workspace")
    @classmethod
    def _a_folder(cls, workspace: str) -> str:
        if not workspace.strip() or re.search(r"\$[A-Za-z_{]", workspace):
            raise ValueError(f"{workspace!r} names no folder: write its path; ~ is your home, no variable is put in")
        if not workspace.isprintable() or "://" in workspace:
            raise ValueError(
                f"{workspace!r} names no folder of this machine: write its path; `bucket` takes an address"
            )
        return str(at_home(workspace))

    @model_validator(mode="wrap")
    @classmethod
    def _complete(cls, values: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(values, Mapping):
            return validate(values)
        refuse_too_deep(values)
        complete = without_nulls(resolve_extends(values), cls)
        complete = substitute(complete, str(complete.get("data_root", ".")))
        complete = _with_wanted_languages(_with_splits(complete))
        config = validate(complete)
        refuse_odd_numbers(complete, config)
        refuse_secrets(config.model_dump(mode="json", exclude={"bucket"}))
        return config

    @model_validator(mode="after")
    def _languages_can_be_told(self) -> Config:
        """Refuse languages that lid.176 does not tell: what another model knows is seen when it is loaded."""
        if self.documents.language_model is None and self.documents.identifier == "fasttext":
            for name, corpus in self.corpora.items():
                refuse_untold(f"corpora.{name}.language", corpus.language)
            for language in self.new_languages():
                refuse_untold("language", language)
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> Config:
        for name, corpus in self.corpora.items():
            refuse_unknown(f"corpora.{name}.sources", corpus.sources, "source", self.sources)
            sets = [item for item in corpus.decontaminate if not names_a_file(item)]
            refuse_unknown(f"corpora.{name}.decontaminate", sets, "corpus", self.corpora)
            needed = corpus.dedup.bands * corpus.dedup.rows
            if needed > self.documents.num_perm:
                raise ValueError(
                    f"corpora.{name}.dedup: bands x rows is {needed}, more than documents.num_perm "
                    f"{self.documents.num_perm}; raise the one or lower the others"
                )
            if QUALITY in corpus.thresholds() and self.documents.quality_model is None:
                raise ValueError(
                    f"corpora.{name}.rules.{QUALITY} needs a model: set documents.quality_model to one that "
                    "`nr train-quality` made"
                )
        self.in_order()
        of_corpora = [item.corpus for item in self.inputs if item.corpus is not None]
        refuse_unknown("inputs", of_corpora, "corpus", self.corpora)
        refuse_unknown("evaluation.sets", self.evaluation.sets or [], "corpus", self.corpora)
        if isinstance(self.base, PretrainedHere):
            refuse_unknown("base.corpora", list(self.base.corpora), "corpus", self.corpora)
        refuse_repeated("inputs", of_corpora, "give each corpus once")
        refuse_repeated("seeds", self.seeds, "give each seed once")
        refuse_repeated("methods", [method.label for method in self.methods], "give each a `name` of its own")
        if self.inputs:
            refuse_other_than_one("inputs", [item.share for item in self.inputs])
        for item in self.inputs:
            if item.corpus is None:
                continue
            is_new = self.corpora[item.corpus].language in self.new_languages()
            if is_new != (item.role == "new"):
                raise ValueError(
                    f"inputs: {item.corpus} is in {self.corpora[item.corpus].language} and has role {item.role}, "
                    f"while the language to learn is {' and '.join(self.new_languages())}; correct the role, the "
                    "corpus or `language`"
                )
        if self.inputs and not any(item.role == "new" and item.share > 0 for item in self.inputs):
            raise ValueError("inputs: none has the role new, so there is nothing to learn; add a corpus in `language`")
        return self

    @model_validator(mode="after")
    def _teachers_are_known(self) -> Config:
        if self.sweep is None:  # whose points have other names
            refuse_wrong_teachers(self.methods, self.add_to or self.start_from)
        distilled = any(method.distil_from for method in self.methods)
        if distilled and isinstance(self.base, BaseSpec) and self.base.vocabulary == "trimmed":
            raise ValueError(
                "base.vocabulary: distil_from learns distributions over the whole vocabulary; leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _own_text_has_a_base_and_a_language(self) -> Config:
        own = [item for item in self.inputs if isinstance(item, OwnText)]
        if len(own) > 1:
            raise ValueError("inputs: `from: base` stands there twice; give it once, with more `tokens`")
        if own and self.language_of(own[0]) in self.new_languages():
            raise ValueError(
                f"inputs: `from: base` writes in {own[0].language}, which is the language to learn; give the language "
                "to keep"
            )
        return self

    @model_validator(mode="after")
    def _sequences_fit_the_base(self) -> Config:
        """Check sequences against a base that is made here; the context of another is known when it is loaded."""
        if isinstance(self.base, PretrainedHere):
            context = self.base.pretrain.sequence_length
            for name, length in (
                ("training", self.training.sequence_length),
                ("evaluation", self.evaluation.sequence_length),
            ):
                if length is not None and length > context:
                    raise ValueError(
                        f"{name}.sequence_length: {length} tokens do not fit into the context of the base, which is "
                        f"base.pretrain.sequence_length, {context}; lower the one, raise the other, or leave it out"
                    )
            stride = self.evaluation.stride
            if stride is not None and stride > context:
                raise ValueError(
                    f"evaluation.stride: {stride} leaves tokens unscored between windows of the base's context, which "
                    f"is base.pretrain.sequence_length, {context}; lower it"
                )
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema of a run's parameter, which Prefect checks before `extends` is resolved."""
        return run_form(handler(core_schema), handler.resolve_ref_schema)

    def in_order(self) -> list[str]:
        """Return the corpora, each after those whose held-out splits it is decontaminated of."""
        needs = {
            name: {item for item in corpus.decontaminate if item in self.corpora}
            for name, corpus in self.corpora.items()
        }
        try:
            return list(TopologicalSorter(needs).static_order())
        except CycleError as error:
            circle = " needs ".join(reversed(error.args[1]))
            raise ValueError(f"corpora: `decontaminate` goes in a circle, {circle}; break it") from error

    def language_of(self, item: AnyInput) -> str:
        """Raise ValueError where nothing says in which language a base writes."""
        if item.corpus is not None:
            return self.corpora[item.corpus].language
        old = sorted({corpus.language for corpus in self.corpora.values()} - set(self.new_languages()))
        language = item.language or (old[0] if len(old) == 1 else None)
        if language is None:
            raise ValueError(
                "inputs: say with `language` in what the base writes: the corpora are in "
                f"{' and '.join(old) if old else 'no old language'}"
            )
        return language

    def new_languages(self) -> list[str]:
        return [self.language, *self.more_languages]

    def evaluation_sets(self) -> list[str]:
        return self.evaluation.sets if self.evaluation.sets is not None else list(self.corpora)


def _with_wanted_languages(values: dict[str, Any]) -> dict[str, Any]:
    """Take the languages of the corpora as those whose pages are extracted, unless the config says which."""
    documents, corpora = values.get("documents", {}), values.get("corpora")
    if not isinstance(documents, Mapping) or not isinstance(corpora, Mapping) or "languages" in documents:
        return values
    languages = {corpus.get("language") for corpus in corpora.values() if isinstance(corpus, Mapping)}
    wanted = sorted(language for language in languages if isinstance(language, str))
    return {**values, "documents": {**documents, "languages": wanted}} if wanted else values


def _with_splits(values: dict[str, Any]) -> dict[str, Any]:
    """Split a corpus of one text source by document, unless the config says how: it may well be of one host."""
    sources, corpora = values.get("sources"), values.get("corpora")
    if not isinstance(sources, Mapping) or not isinstance(corpora, Mapping):
        return values
    split = {name: corpus for name, corpus in corpora.items() if _is_one_text(corpus, sources)}
    return {**values, "corpora": {**corpora, **{name: {**one, "split_by": "document"} for name, one in split.items()}}}


def _is_one_text(corpus: Any, sources: Mapping[str, Any]) -> bool:
    if not isinstance(corpus, Mapping) or "split_by" in corpus or not isinstance(corpus.get("sources"), list):
        return False
    named = [sources.get(name) for name in corpus["sources"] if isinstance(name, str)]
    source = named[0] if len(named) == 1 and isinstance(named[0], Mapping) else {}
    return source.get("kind") == "text" and not source.get("url_field")


def load_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a YAML file with overrides (nested mappings) on top.

    Raises:
        InputError: a missing file, an unknown key or a wrong value, in one sentence that names the field and the fix.
    """
    return parse_config(resolve_extends({"extends": str(path), **(overrides or {})}), str(path))


def parse_config(values: Mapping[str, Any], where: str) -> Config:
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{where}: {first_sentence(error, Config)}") from error
