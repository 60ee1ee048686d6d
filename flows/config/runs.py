"""Settings of a study's runs: the base, training texts, what is varied and what is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from nr_core.settings import BaseSpec, Bears, EvaluationSettings, MethodSettings, PretrainSettings, Seed, Settings
from pipelines.settings import Language
from storage.errors import InputError

Share = Annotated[float, Field(ge=0, le=1)]
CorpusName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class PretrainedHere(Settings):
    """A small base trained from scratch on the corpora, for whoever has no model at hand."""

    pretrain: PretrainSettings = Field(description="size and training of the base")
    corpora: dict[str, Share] = Field(description="share of all training sequences by corpus; the shares sum to 1")
    seed: Seed = Field(0, description="of initialisation and order")

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> PretrainedHere:
        refuse_other_than_one("base.corpora", list(self.corpora.values()))
        return self


class Input(Settings):
    """A corpus that a run is trained on."""

    corpus: str = Field(description="name of a corpus of this config")
    role: Literal["new", "original"] = Field(description="new: the language to learn; original: the one to keep")
    share: Share = Field(description="share of all training sequences; the shares of all inputs sum to 1")


class OwnText(Settings):
    """Text that the base itself writes, at temperature 1, in place of replay."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    from_: Literal["base"] = Field(alias="from", description="base: the base writes it, once, and it is kept")
    role: Literal["original"] = Field("original", description="original: what a base writes is what it knows already")
    share: Share = Field(description="share of all training sequences; the shares of all inputs sum to 1")
    language: Language | None = Field(
        None, description="what the base writes in, as ISO 639-3; default: the one old language of the corpora"
    )
    tokens: int = Field(500_000, ge=1, lt=2**40, description="how much it writes")
    document_tokens: int = Field(1024, ge=8, le=1 << 20, description="the longest document, or conversation")
    seed: Seed = Field(0, description="of what is drawn")

    @model_validator(mode="before")
    @classmethod
    def _of_no_corpus(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("corpus") is not None:
            raise ValueError("an input is text of a `corpus` or what the base writes, `from: base`; leave one out")
        return values

    @property
    def corpus(self) -> None:
        """Return None: it is of no corpus."""


def kind_of_input(given: Any) -> str:
    own = isinstance(given, OwnText) or (isinstance(given, Mapping) and bool({"from", "from_"} & given.keys()))
    return "of the base" if own else "of a corpus"


AnyInput = Annotated[
    Annotated[Input, Tag("of a corpus")] | Annotated[OwnText, Tag("of the base")], Discriminator(kind_of_input)
]


class EvaluationText(Settings):
    """A text that is scored and belongs to no corpus."""

    path: str = Field(min_length=1, description="a .txt file (one document), .jsonl, .jsonl.gz or .parquet")
    language: Language = Field(description="ISO 639-3")
    text_domain: str = Field(description="what it is about")
    text_field: str = Field("text", description="field of the text, in JSONL and Parquet")
    parallel_to: CorpusName | None = Field(
        None, description="another of `texts` that says the same in another language, row by row: view equal_content"
    )


class EvaluationPlan(EvaluationSettings):
    """Sets to score, and how. Only the how is in its identity: each set has an id of its own."""

    sets: Annotated[list[str] | None, Bears.NOTHING] = Field(
        None, description="corpora whose held-out split is scored; default: all of this config"
    )
    texts: Annotated[dict[CorpusName, EvaluationText], Bears.NOTHING] = Field(
        default_factory=dict, description="further texts that are scored, by name"
    )
    tasks: Annotated[list[str], Bears.NOTHING] = Field(
        default_factory=list, description="tasks: names out of configs/tasks, or YAML files of your own"
    )
    task_data: Annotated[str, Bears.NOTHING] = Field(
        "task-data", description="folder with data of tasks that the hub does not give"
    )
    task_items: Annotated[int | None, Bears.NOTHING] = Field(
        None, ge=1, description="at most so many items of a task; default: all"
    )

    @model_validator(mode="after")
    def _parallel_texts_are_there_and_whole(self) -> EvaluationPlan:
        for name, text in self.texts.items():
            other = text.parallel_to
            if other is None:
                continue
            if other == name or other not in self.texts:
                raise ValueError(
                    f"texts.{name}.parallel_to: {other} is no other of `texts`; add it, or correct the name"
                )
            if self.max_tokens is not None:
                raise ValueError(
                    f"max_tokens: texts.{name} is held against {other} row by row, and {self.max_tokens} tokens are "
                    "not the same rows in two languages; leave max_tokens out, or parallel_to"
                )
        return self

    def on_text(self) -> EvaluationSettings:
        """Return how text is scored, without what is scored."""
        return EvaluationSettings(**{name: getattr(self, name) for name in EvaluationSettings.model_fields})


class AfterRefresh(Settings):
    """Settings of the flow train-on-new-text, which follows a refresh."""

    new_characters: int = Field(
        1_000_000, ge=0, description="characters of the new languages that must have come since the last run"
    )
    start: Literal["last run", "afresh"] = Field(
        "last run", description="last run: go on from the weights of the last run of a method and seed; afresh: do not"
    )


class Sweep(Settings):
    """The grid of `nr sweep`: every method of the config, at every rate and alpha, with every seed."""

    learning_rates: list[Annotated[float, Field(gt=0)]] = Field(
        default_factory=list, description="peak learning rates; default: that of each method"
    )
    alphas: list[Annotated[float, Field(ge=0)]] = Field(
        default_factory=list, description="weights of the local loss, for the methods that have one; default: theirs"
    )
    seeds: list[Seed] = Field(default_factory=list, description="default: those of the config")

    @model_validator(mode="after")
    def _each_once(self) -> Sweep:
        for name, values in (("learning_rates", self.learning_rates), ("alphas", self.alphas), ("seeds", self.seeds)):
            refuse_repeated(f"sweep.{name}", values, "give each value once")
        if not (self.learning_rates or self.alphas or self.seeds):
            raise ValueError("sweep: it varies nothing; give learning_rates, alphas or seeds")
        return self


def kind_of_base(base: Any) -> str:
    return (
        "made here"
        if isinstance(base, PretrainedHere) or (isinstance(base, Mapping) and "pretrain" in base)
        else "given"
    )


Base = Annotated[
    Annotated[BaseSpec, Tag("given")] | Annotated[PretrainedHere, Tag("made here")], Discriminator(kind_of_base)
]


def refuse_other_than_one(field: str, shares: list[float]) -> None:
    if abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"{field}: the shares sum to {sum(shares):g}; make them sum to 1")


def refuse_repeated(field: str, values: Sequence[Any], fix: str) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{field}: {value!r} stands there {values.count(value)} times; {fix}")


def refuse_wrong_teachers(methods: Sequence[MethodSettings], builds_on: str | None = None) -> None:
    """Refuse `distil_from` that names no finetuning of the study. builds_on: the run that all of them go on from.

    Raises:
        InputError: the sentence names the entry and the fix.
    """
    finetunings = [method.label for method in methods if method.method == "finetune"]
    for method in methods:
        if method.distil_from is None:
            continue
        if builds_on is not None:
            raise InputError(
                f"methods: {method.label} has distil_from, and its teacher begins at the base, not at {builds_on}; "
                "leave out distil_from, or what the runs go on from"
            )
        if method.distil_from not in finetunings:
            raise InputError(
                f"methods: {method.label} has distil_from {method.distil_from!r}, and no finetune entry is called so; "
                f"known: {', '.join(finetunings) or 'none, so add one'} (in a sweep the name of a point, like "
                "`finetune lr 0.001`, where there are several)"
            )
