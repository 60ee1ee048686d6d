"""The one tree of settings: filled from YAML, passed as the flows' parameter, refused with a sentence where wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from flows.checks import Checks
from flows.config_errors import first_sentence
from nr_core.settings import BaseSpec, EvaluationSettings, MethodSettings, PretrainSettings, TrainingSettings
from pipelines.evaluation_sets import is_file
from pipelines.languages import NAME_OF_CODE
from pipelines.rules import QUALITY
from pipelines.settings import CorpusSettings, DocumentSettings, FetchSettings, Language, Source
from storage.errors import InputError

PROJECT = Path(__file__).parent.parent  # of a checkout; in an installed wheel, the folder that holds configs/


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Share = Annotated[float, Field(ge=0, le=1)]
CorpusName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class PretrainedHere(Settings):
    """A small base trained from scratch on the corpora, for whoever has no model at hand."""

    pretrain: PretrainSettings = Field(description="size and training of the base")
    corpora: dict[str, Share] = Field(description="share of all training sequences by corpus; the shares sum to 1")
    seed: int = Field(0, ge=0, description="of initialisation and order")

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> PretrainedHere:
        refuse_other_than_one("base.corpora", list(self.corpora.values()))
        return self


class Input(Settings):
    """A corpus that a run is trained on."""

    corpus: str = Field(description="name of a corpus of this config")
    role: Literal["new", "original"] = Field(description="new: the language to learn; original: the one to keep")
    share: Share = Field(description="share of all training sequences; the shares of all inputs sum to 1")


class EvaluationText(Settings):
    """A text that is scored and belongs to no corpus."""

    path: str = Field(min_length=1, description="a .txt file (one document), .jsonl, .jsonl.gz or .parquet")
    language: Language = Field(description="ISO 639-3")
    text_domain: str = Field(description="what it is about")
    text_field: str = Field("text", description="field of the text, in JSONL and Parquet")


class EvaluationPlan(EvaluationSettings):
    sets: list[str] | None = Field(
        None, description="corpora whose held-out side is scored; default: all of this config"
    )
    texts: dict[CorpusName, EvaluationText] = Field(
        default_factory=dict, description="further texts that are scored, by name"
    )
    tasks: list[str] = Field(
        default_factory=list, description="tasks: names out of configs/tasks, or YAML files of your own"
    )
    task_data: str = Field("task-data", description="folder with data of tasks that the hub does not give")
    task_items: int | None = Field(None, ge=1, description="at most so many items of a task; default: all")

    def scoring(self) -> dict[str, Any]:
        """What bears on a figure on text."""
        return self.model_dump(mode="json", exclude={"sets", "texts", "tasks", "task_data", "task_items", "batch_size"})

    def job_settings(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"sets", "texts", "tasks", "task_data", "task_items"})


class AfterRefresh(Settings):
    """What the flow train-on-new-text does when a refresh has ended."""

    new_characters: int = Field(
        1_000_000, ge=0, description="characters of the new languages that must have come since the last run"
    )
    start: Literal["last run", "afresh"] = Field(
        "last run", description="last run: go on from the weights of the last run of a method and seed; afresh: do not"
    )


class Sweep(Settings):
    """What `nr sweep` varies: every method of the config, at every rate and alpha, with every seed."""

    learning_rates: list[Annotated[float, Field(gt=0)]] = Field(
        default_factory=list, description="peak learning rates; default: that of each method"
    )
    alphas: list[Annotated[float, Field(ge=0)]] = Field(
        default_factory=list, description="weights of the local loss, for the methods that have one; default: theirs"
    )
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list, description="default: those of the config")

    @model_validator(mode="after")
    def _each_once(self) -> Sweep:
        for name, values in (("learning_rates", self.learning_rates), ("alphas", self.alphas), ("seeds", self.seeds)):
            _refuse_repeated(f"sweep.{name}", values, "give each value once")
        if not (self.learning_rates or self.alphas or self.seeds):
            raise ValueError("sweep: it varies nothing; give learning_rates, alphas or seeds")
        return self


class Resources(Settings):
    """What the machine gives. Never part of a key: results do not depend on it."""

    workers: int | None = Field(None, ge=1, description="processes that read crawl files; default: one a core")
    runner: Literal["processes", "dask", "ray"] = Field(
        "processes", description="what reads crawl files: processes of this machine, or a cluster's workers"
    )
    address: str | None = Field(
        None, description="of the cluster's scheduler, like tcp://host:8786 or ray://host:10001; default: one made here"
    )
    training_processes: int = Field(1, ge=1, description="trainings side by side")
    devices: int = Field(
        1,
        ge=1,
        description="devices of one training, started by torchrun: GPUs, or processes where there is none; with a "
        "`launcher` those of each machine",
    )
    launcher: str | None = Field(
        None,
        pattern=r"\S",
        description="command that starts a training on several machines, as `srun torchrun --nnodes=2 ...`; "
        "`-m nr_core train SPEC` follows it. Default: torchrun for the devices of this one",
    )
    threads: int | None = Field(
        None, ge=1, description="threads of each process of a training; default: the cores of a machine, shared evenly"
    )
    min_free_gb: float = Field(
        1.0, ge=0, description="GB free on the workspace's disk without which no long work begins"
    )

    @model_validator(mode="after")
    def _address_is_of_a_cluster(self) -> Resources:
        if self.address and self.runner == "processes":
            raise ValueError("`address` is that of a cluster: set `runner` to dask or ray, or leave it out")
        return self

    def reading_workers(self) -> int:
        return self.workers or _cores()

    def training_threads(self) -> int:
        return self.threads or max(1, _cores() // (self.training_processes * self.devices))


def _cores() -> int:
    """Cores that this process may use: of a shared node Slurm gives a job some."""
    return len(os.sched_getaffinity(0))


def _kind_of_base(base: Any) -> str:
    return (
        "made here"
        if isinstance(base, PretrainedHere) or (isinstance(base, Mapping) and "pretrain" in base)
        else "given"
    )


Base = Annotated[
    Annotated[BaseSpec, Tag("given")] | Annotated[PretrainedHere, Tag("made here")], Discriminator(_kind_of_base)
]


def _without_required(schema: dict[str, Any]) -> None:
    # Prefect checks a deployment's parameters against this schema before `extends` is resolved.
    schema.pop("required", None)


class Config(Settings):
    """Everything that a flow does. Only the language, the sources and the corpora have no default."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_without_required)

    extends: str | None = Field(
        None, description="a config file that this one completes or overrides (null takes a key away)"
    )
    name: str = Field("extension", pattern=r"^[a-z0-9][a-z0-9-]*$", description="what the report and logs call it")
    language: Language = Field(description="the language to learn, as ISO 639-3")
    more_languages: list[Language] = Field(
        default_factory=list, description="further new languages, learned jointly with the first in one adapter"
    )
    data_root: str = Field(".", description="what ${data_root} in paths stands for; set it on the command line")
    workspace: str = Field("workspace", min_length=1, description="the folder that takes all results")
    bucket: str | None = Field(
        None,
        pattern=r"^[a-z0-9]+://.",
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
    inputs: list[Input] = Field(default_factory=list, description="what the runs are trained on")
    methods: list[MethodSettings] = Field(
        [MethodSettings(method="neutral_residues")], min_length=1, description="one run a method and seed"
    )
    seeds: list[Annotated[int, Field(ge=0)]] = Field([0], min_length=1, description="one run a method and seed")
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
    resources: Resources = Field(Resources(), description="processes and threads")

    @field_validator("bucket")
    @classmethod
    def _no_secret_in_the_address(cls, bucket: str | None) -> str | None:
        if bucket and (address := urlsplit(bucket)).password:
            raise ValueError(
                "the address has a password in it, and would be kept and logged: give it without, and the password "
                f"in the environment, as FSSPEC_{address.scheme.upper()}_PASSWORD"
            )
        return bucket

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        complete = resolve_extends(values)
        return _with_wanted_languages(_substitute(complete, str(complete.get("data_root", "."))))

    @model_validator(mode="after")
    def _names_are_known(self) -> Config:
        for name, corpus in self.corpora.items():
            _refuse_unknown(f"corpora.{name}.sources", corpus.sources, "source", self.sources)
            sets = [item for item in corpus.decontaminate if not is_file(item)]
            _refuse_unknown(f"corpora.{name}.decontaminate", sets, "corpus", self.corpora)
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
        _refuse_unknown("inputs", [item.corpus for item in self.inputs], "corpus", self.corpora)
        _refuse_unknown("evaluation.sets", self.evaluation.sets or [], "corpus", self.corpora)
        if isinstance(self.base, PretrainedHere):
            _refuse_unknown("base.corpora", list(self.base.corpora), "corpus", self.corpora)
        _refuse_repeated("inputs", [item.corpus for item in self.inputs], "give each corpus once")
        _refuse_repeated("seeds", self.seeds, "give each seed once")
        _refuse_repeated("methods", [method.label for method in self.methods], "give each a `name` of its own")
        if self.inputs:
            refuse_other_than_one("inputs", [item.share for item in self.inputs])
        for item in self.inputs:
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

    def in_order(self) -> list[str]:
        """The corpora, each after those whose held-out sides it is decontaminated of."""
        needs = {
            name: {item for item in corpus.decontaminate if item in self.corpora}
            for name, corpus in self.corpora.items()
        }
        try:
            return list(TopologicalSorter(needs).static_order())
        except CycleError as error:
            circle = " needs ".join(reversed(error.args[1]))
            raise ValueError(f"corpora: `decontaminate` goes in a circle, {circle}; break it") from error

    def new_languages(self) -> list[str]:
        return [self.language, *self.more_languages]

    def evaluation_sets(self) -> list[str]:
        return self.evaluation.sets if self.evaluation.sets is not None else list(self.corpora)


def _with_wanted_languages(values: dict[str, Any]) -> dict[str, Any]:
    """Unless the config says which, the languages of its corpora are those whose pages are extracted."""
    documents, corpora = values.get("documents", {}), values.get("corpora")
    if not isinstance(documents, Mapping) or not isinstance(corpora, Mapping) or "languages" in documents:
        return values
    languages = {corpus.get("language") for corpus in corpora.values() if isinstance(corpus, Mapping)}
    known = sorted(language for language in languages if language in NAME_OF_CODE)  # others are refused by their corpus
    return {**values, "documents": {**documents, "languages": known}} if known else values


def refuse_other_than_one(field: str, shares: list[float]) -> None:
    if abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"{field}: the shares sum to {sum(shares):g}; make them sum to 1")


def _refuse_repeated(field: str, values: Sequence[Any], fix: str) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{field}: {value!r} stands there {values.count(value)} times; {fix}")


def _refuse_unknown(field: str, names: list[str], kind: str, known: Mapping[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{field}: there is no {kind} {name!r}; known: {', '.join(known) or 'none'}")


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


def resolve_extends(values: Mapping[str, Any], above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Put `values` on top of the file they extend, which may extend another."""
    if not values.get("extends"):
        return dict(values)
    path = _find_config(str(values["extends"])).resolve()
    if path in above:
        raise InputError(f"`extends` goes in a circle: {' extends '.join(map(str, [*above, path]))}; break it")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a mapping of settings at its top, like configs/demo.yaml does")
    below = resolve_extends(content, (*above, path))
    if _kind_of_base(below.get("base")) != _kind_of_base(values.get("base")) and values.get("base"):
        below.pop("base", None)  # a given model and a pretrained one have no field in common: the upper file's counts
    return _merge(below, {key: value for key, value in values.items() if key != "extends"})


def _find_config(name: str) -> Path:
    candidates = [Path(name), PROJECT / name]
    for path in candidates:
        if path.is_file():
            return path
    raise InputError(
        f"there is no config file {name} (looked in {Path.cwd()} and {PROJECT}); give the path of a YAML file"
    )


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge unless their `kind` differs, all else replaces; null takes a key away, back to its default."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if value is None:
            merged.pop(key, None)
            continue
        if (
            isinstance(old, Mapping)
            and isinstance(value, Mapping)
            and value.get("kind", old.get("kind")) == old.get("kind")
        ):
            value = _merge(old, value)
        merged[key] = value
    return merged


def _substitute(value: Any, data_root: str) -> Any:
    if isinstance(value, str):
        return value.replace("${data_root}", data_root)
    if isinstance(value, Mapping):
        return {key: _substitute(item, data_root) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, data_root) for item in value]
    return value
