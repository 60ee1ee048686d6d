"""Specs of the jobs of `python -m nr_core`: one JSON file each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from nr_core.evaluation.tasks.settings import Kind
from nr_core.settings import (
    BaseSpec,
    Bears,
    EvaluationSettings,
    MethodSettings,
    PretrainSettings,
    Seed,
    Settings,
    Tracker,
    TrainingSettings,
)
from nr_core.settings.method_table import METHODS


class JobSpec(Settings):
    """The part of a spec that every job has. A job goes on in a folder that was begun with the same identity.

    unit: of its progress; last_file: what it writes last, so that a job whose last file stands is finished.
    """

    unit: ClassVar[str]
    last_file: ClassVar[str]

    out: Annotated[Path, Bears.NOTHING] = Field(description="folder that the job writes to, and to no other")
    label: Annotated[str, Bears.NOTHING] = Field(
        default="", description="what progress and error lines call the job; default: the folder's name"
    )
    threads: Annotated[int, Bears.NOTHING] = Field(
        default=1, ge=1, le=4096, description="torch's threads; results are bitwise equal only at the same number"
    )


class PretrainInput(Settings):
    tokens: Path = Field(description="token stream of a corpus")
    share: float = Field(ge=0, le=1, description="share of all sequences")


class TrainInput(PretrainInput):
    role: Literal["new", "original"] = Field(description="the language to learn, or the one to keep")
    language: str = Field(description="ISO 639-3")


class PretrainSpec(JobSpec):
    unit, last_file = "steps", "model.json"

    tokenizer: Path = Field(description="folder of the tokenizer that the streams were made with")
    settings: PretrainSettings
    inputs: list[PretrainInput] = Field(min_length=1)
    seed: Seed = 0


class Windows(Settings):
    """The windows in which an evaluation scores text: fields of EvaluationSettings."""

    sequence_length: int | None = Field(default=None, ge=2, description="tokens a window")
    stride: int | None = Field(default=None, ge=1, description="tokens from one window to the next")


class TrainSpec(JobSpec):
    unit, last_file = "steps", "run.json"

    base: BaseSpec
    method: MethodSettings
    training: TrainingSettings
    inputs: list[TrainInput] = Field(min_length=1)
    seed: Seed = 0
    add_to: Annotated[Path | None, Bears.IF_SET] = Field(
        default=None, description="folder of a run whose adapters stay active, frozen, beside the new one"
    )
    start_from: Annotated[Path | None, Bears.IF_SET] = Field(
        default=None, description="folder of a run whose weights the training starts from"
    )

    interpolate_from: Annotated[Path | None, Bears.IF_SET] = Field(
        default=None, description="folder of a finetuned run: nothing is trained, method.interpolate holds one share"
    )
    distil_from: Annotated[Path | None, Bears.IF_SET] = Field(
        default=None, description="folder of the finetuned run that method.distil_from names"
    )
    forgetting_windows: Annotated[Windows | None, Bears.IF_SET] = Field(
        default=None,
        description="what method.max_forgetting is measured in; default: what an evaluation has without settings",
    )
    tracking: Annotated[Tracker, Bears.NOTHING] = Field(
        default="none", description="experiment tracker that gets the figures as they come"
    )
    tracking_project: Annotated[str, Bears.NOTHING] = Field(
        default="neutral-residues", description="what the tracker files the run under"
    )

    @model_validator(mode="after")
    def _interpolates_once(self) -> TrainSpec:
        shares = self.method.interpolate or []
        if (self.interpolate_from is None) != (not shares) or len(shares) > 1:
            raise ValueError(
                "interpolate_from: a job makes one model between base and a finetuned run; give it with one share in "
                "method.interpolate, or leave both out to train"
            )
        return self

    @model_validator(mode="after")
    def _has_the_teacher_that_it_names(self) -> TrainSpec:
        if (self.distil_from is None) != (self.method.distil_from is None):
            raise ValueError(
                "distil_from: a job learns from one finetuned run; give its folder here and its name in "
                "method.distil_from, or leave both out to learn from the text"
            )
        if self.distil_from is not None and (self.add_to is not None or self.start_from is not None):
            raise ValueError(
                "distil_from: the teacher is finetuned from the base alone, and add_to or start_from begins elsewhere; "
                "give one of them"
            )
        if self.distil_from is not None and self.base.vocabulary == "trimmed":
            raise ValueError(
                "distil_from: the teacher's distributions are over the whole vocabulary; leave base.vocabulary out"
            )
        return self

    @model_validator(mode="after")
    def _adds_an_adapter(self) -> TrainSpec:
        if self.add_to is not None and not METHODS[self.method.method].leaves_residues:
            raise ValueError(
                f"add_to: {self.method.method} leaves no adapter whose residues could be added to another's; choose "
                "the method adapter or neutral_residues"
            )
        if self.add_to is not None and self.start_from is not None:
            raise ValueError("add_to: a run goes on from another or is added to it; give add_to or start_from")
        return self

    @model_validator(mode="after")
    def _has_text_to_keep_what_is_known_by(self) -> TrainSpec:
        originals = any(source.role == "original" and source.share > 0 for source in self.inputs)
        if self.method.kl_to_base is not None and not originals:
            raise ValueError(
                "method.kl_to_base: the divergence is taken on original-language text, and no input has the role "
                "original and a share above 0; add one, or leave kl_to_base out"
            )
        if self.method.freeze == "source_shielded" and not originals:
            raise ValueError(
                "method.freeze: source_shielded chooses what to keep by original-language text, and no input has the "
                "role original and a share above 0; add one, or choose random_half"
            )
        return self

    @model_validator(mode="after")
    def _trains_in_float32(self) -> TrainSpec:
        if self.base.dtype != "float32" and METHODS[self.method.method].trains_base:
            raise ValueError(
                f"base.dtype: {self.method.method} trains the base's own weights, and {self.base.dtype} loses small "
                "updates; leave base.dtype out, or choose lora, adapter or neutral_residues"
            )
        return self

    @field_validator("inputs")
    @classmethod
    def _something_to_learn(cls, inputs: list[TrainInput]) -> list[TrainInput]:
        if not any(source.role == "new" and source.share > 0 for source in inputs):
            raise ValueError("inputs: none has the role new and a share above 0, so there is nothing to learn; add one")
        return inputs


class SampleSpec(JobSpec):
    unit, last_file = "tokens", "tokens.json"

    base: BaseSpec
    tokens: int = Field(ge=1, description="of all documents together")
    document_tokens: int = Field(ge=2, description="of the longest document")
    seed: Seed = 0


class HeldOutTokens(Settings):
    eval_id: str = Field(description="name that the figures carry")
    called: Annotated[str, Bears.NOTHING] = Field(default="", description="what progress lines call it")
    tokens: Path = Field(description="token stream of held-out documents")


class TaskItems(Settings):
    eval_id: str = Field(description="name that the figures carry")
    called: Annotated[str, Bears.NOTHING] = Field(default="", description="what progress lines call it")
    kind: Kind = Field(description="how its answers are scored")
    items: Path = Field(description="file of its items, as nr_core.evaluation.tasks.items writes them")


class HarnessTasks(Settings):
    tasks: list[str] = Field(min_length=1, description="names of lm_eval's tasks")
    limit: int | None = Field(default=None, ge=1, description="the first so many items of each; default: all")
    include_path: Path | None = Field(default=None, description="folder of task files, in place of lm_eval's own")


class EvaluateSpec(JobSpec):
    unit, last_file = "tokens", "evaluation.json"

    base: BaseSpec
    run: Path | None = Field(default=None, description="folder of a run trained on the base; default: the base itself")
    sets: list[HeldOutTokens] = Field(default_factory=list, description="held-out text")
    tasks: list[TaskItems] = Field(default_factory=list, description="tasks; with the base's own tokenizer")
    harness: HarnessTasks | None = Field(default=None, description="tasks of lm_eval")
    settings: EvaluationSettings = EvaluationSettings()

    @model_validator(mode="after")
    def _something_to_score(self) -> EvaluateSpec:
        if not self.sets and not self.tasks and not self.harness:
            raise ValueError("sets: there is neither a set nor a task to score; give one")
        return self


JOBS: dict[str, type[JobSpec]] = {
    "pretrain": PretrainSpec,
    "train": TrainSpec,
    "evaluate": EvaluateSpec,
    "sample": SampleSpec,
}


def first_problem(error: ValidationError) -> str:
    """Say what is wrong with a spec: the field, and the sentence of the first thing found."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    what = first["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what
