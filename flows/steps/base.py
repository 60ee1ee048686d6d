"""The base of a study, given by the user or pretrained here on the corpora."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from pydantic import BaseModel

from flows.config.inputs import take_secrets
from flows.config.runs import PretrainedHere
from flows.config.study import Config
from flows.services.killed_runs import record_process
from flows.steps.jobs import Job, publish_job, refuse_failures, run_jobs
from flows.steps.last_failure import remembering_failure
from flows.steps.progress import Progress
from flows.steps.result_records import now, record_model, record_training_steps
from flows.steps.tokens import TOKENS_STAGE_VERSION, current_versions, ensure_tokens
from nr_core.settings import BaseSpec
from nr_core.specs import PretrainInput, PretrainSpec
from pipelines.corpus.shards import shard_files
from storage.catalog import refresh_catalog
from storage.errors import InputError
from storage.keys import file_sha256, hash_of
from storage.publish import Manifest, is_done, make_once, read_manifest, resumable_partial
from storage.workspace import Workspace

TOKENIZER_STAGE_VERSION = 1
PRETRAIN_STAGE_VERSION = 1


class PreparedBase(BaseModel):
    """A base that stands on disk or on the hub, by the name that all tables use."""

    model_id: str
    spec: BaseSpec


@flow(name="pretrain", on_running=[record_process])
@remembering_failure
def pretrain(config: Config, versions: dict[str, str] | None = None) -> PreparedBase:
    """Make the base ready: pretrain it, or find the given one."""
    return prepare_base(config, versions or current_versions(config))


@task(cache_policy=NO_CACHE)
def prepare_base(config: Config, versions: Mapping[str, str]) -> PreparedBase:
    workspace = Workspace(config.workspace)
    take_secrets(config)
    if config.base is None:
        raise InputError("`base` is missing: give `base: {model: ...}` or `base: {pretrain: ...}`")
    if isinstance(config.base, PretrainedHere):
        base = _pretrained(config, config.base, versions, workspace)
    else:
        base = find_given(config.base, workspace)
    refresh_catalog(workspace)
    return base


def find_given(spec: BaseSpec, workspace: Workspace) -> PreparedBase:
    """Identify a given model by its weights, its config and its tokenizer, and record it.

    Of a folder the whole path is kept, by which runs and their cards find it from anywhere.

    Raises:
        ModelError: there is no such model, a file of it is cut short, it is no causal language model, or its tokenizer
            has no end-of-text token.
    """
    from nr_core.base.load_base import check_files, load_shape, weights_hash
    from nr_core.tokenization.tokenizer import tokenizer_hash

    check_files(spec)
    weights = weights_hash(spec.model, spec.revision, spec.gguf_file)
    load_shape(spec)  # of what is no causal language model that is said, and not what its tokenizer lacks for one
    config = Path(spec.model) / "config.json"  # a hub id's hash holds its commit, a GGUF file its config
    facts = [weights, file_sha256(config) if config.is_file() else "", tokenizer_hash(spec)]
    model_id = hash_of(*facts, *([spec.quantize] if spec.quantize else []))
    if not (workspace.records("models") / f"{model_id}.parquet").exists():
        model = {"model_id": model_id, "source": spec.called, "weights_hash": weights, "parent_model_id": None}
        record_model(workspace, {**model, "created": now()})
    folder = Path(spec.model)
    spec = spec.model_copy(update={"model": str(folder.absolute())}) if folder.is_dir() else spec
    return PreparedBase(model_id=model_id, spec=spec)


def fitting_shape(base: BaseSpec, config: Config) -> Any:
    """Return a given model without its weights.

    Raises:
        ModelError: there is none, or its context is shorter than a `sequence_length` or the `stride` of the config.
    """
    from nr_core.base.load_base import load_shape, window_length
    from nr_core.evaluation.bits_per_byte import fitted

    shape = load_shape(base)
    window_length(shape, config.training.sequence_length, "training")
    fitted(config.evaluation, shape)
    return shape


def pretrained_id(base: PretrainedHere, versions: Mapping[str, str]) -> str:
    """Return the model_id of a base made here: the hash of all that bears on its weights."""
    made_of = (base.pretrain.identity(), _inputs(base, versions), base.seed, tokenizer_key(base, versions))
    return hash_of(*made_of, TOKENS_STAGE_VERSION, PRETRAIN_STAGE_VERSION)


def tokenizer_key(base: PretrainedHere, versions: Mapping[str, str]) -> str:
    """Return the key of the tokenizer that is made for a base."""
    return hash_of(_inputs(base, versions), base.pretrain.vocabulary_size, TOKENIZER_STAGE_VERSION)


def _shares(base: PretrainedHere) -> dict[str, float]:
    """Return the shares of the corpora that the base sees at all, by name."""
    return {name: share for name, share in base.corpora.items() if share > 0}


def _inputs(base: PretrainedHere, versions: Mapping[str, str]) -> dict[str, float]:
    """Return the same by corpus version."""
    return {versions[name]: share for name, share in _shares(base).items()}


def _pretrained(
    config: Config, base: PretrainedHere, versions: Mapping[str, str], workspace: Workspace
) -> PreparedBase:
    """Pretrain the base unless it stands, and record it."""
    logger, key = get_run_logger(), pretrained_id(base, versions)
    tokenizer = _ensure_tokenizer(base, versions, workspace)
    folder = workspace.model(key)
    with workspace.lock(f"model-{key}"):
        if is_done(folder):
            logger.info("base %s stands already", key)
        else:
            with Progress(logger.info) as progress:
                spec = _pretrain_spec(config, base, versions, tokenizer, resumable_partial(folder), progress)
                threads = config.resources.training_threads()
                job = Job("pretraining", spec)
                refuse_failures(run_jobs("pretrain", [job], workspace, progress, processes=1, threads=threads))
            inputs = _inputs(base, versions)
            publish_job(folder, step="pretrain", inputs=inputs, settings=base.pretrain.identity())
        _record_pretrained(workspace, key, folder)
    return PreparedBase(model_id=key, spec=BaseSpec(model=str(folder)))


def _pretrain_spec(
    config: Config, base: PretrainedHere, versions: Mapping[str, str], tokenizer: Path, out: Path, progress: Progress
) -> PretrainSpec:
    """Tokenise the corpora that the base sees, and say what is to be trained on them."""
    workspace, workers = Workspace(config.workspace), config.resources.reading_workers()
    reader = BaseSpec(model=str(tokenizer))
    streams = {
        name: ensure_tokens(workspace, name, versions[name], reader, progress, workers) for name in _shares(base)
    }
    inputs = [PretrainInput(tokens=streams[name] / "train", share=share) for name, share in _shares(base).items()]
    return PretrainSpec(out=out, tokenizer=tokenizer, settings=base.pretrain, inputs=inputs, seed=base.seed)


def _record_pretrained(workspace: Workspace, key: str, folder: Path) -> None:
    facts = json.loads((folder / "model.json").read_text())
    manifest = read_manifest(folder) or {}
    record_model(
        workspace,
        {
            "model_id": key,
            "source": "pretrained here",
            "weights_hash": manifest["files"]["model.safetensors"]["sha256"],
            "parent_model_id": None,
            "parameters": facts.get("parameters"),
            "created": manifest["created"],
        },
    )
    record_training_steps(workspace, key, folder / "steps.parquet")


def _ensure_tokenizer(base: PretrainedHere, versions: Mapping[str, str], workspace: Workspace) -> Path:
    from nr_core.tokenization.tokenizer import train_tokenizer

    shares = _shares(base)
    inputs, key = _inputs(base, versions), tokenizer_key(base, versions)
    folder = workspace.tokenizer(key)

    def write(partial: Path) -> Manifest:
        texts = [shard_files(workspace.corpus_version(name, versions[name]), "train", repeats=True) for name in shares]
        train_tokenizer(texts, list(shares.values()), base.pretrain.vocabulary_size, partial)
        return Manifest("tokenizer", key, inputs, {"vocabulary_size": base.pretrain.vocabulary_size})

    make_once(folder, write, workspace.lock(f"tokenizer-{key}"))
    return folder
