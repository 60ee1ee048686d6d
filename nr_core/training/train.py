"""Extending a base: base, method, batches, loop, and what is left on the disk."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from nr_core.base.head import Head
from nr_core.base.precision import Choice, choose_once, hold_frozen_in_bf16
from nr_core.errors import ModelError
from nr_core.files import write_json, writing
from nr_core.methods.interpolation import interpolate
from nr_core.methods.kl_to_base import copy_of_base, kl_to_base
from nr_core.methods.source_shield import source_shield
from nr_core.methods.table import Extension, extend
from nr_core.methods.weight_rules import base_weights, weight_rules
from nr_core.models import check_vocabulary, device, load_base, window_length
from nr_core.progress import Progress
from nr_core.runs.earlier import (
    ADAPTER_FOLDER,
    MODEL_FOLDER,
    NEWEST,
    adapter_folders,
    check_run,
    copy_earlier,
    saved_new_rows,
    start_from,
)
from nr_core.runs.model_card import model_card
from nr_core.settings import LoopSettings, TrainingSettings
from nr_core.settings.method_table import METHODS
from nr_core.specs import TrainSpec
from nr_core.tokens import TokenStream, load_tokenizer
from nr_core.training.batches import Batches, Input
from nr_core.training.checkpoints import LoopState
from nr_core.training.cost import peak_tokens
from nr_core.training.distributed import Ranks, is_cut, shard, whole
from nr_core.training.distributed import ranks as joined_ranks
from nr_core.training.forgetting import ForgettingBudget, reserve
from nr_core.training.layer_passes import decoder_layers, set_layer_passes
from nr_core.training.loop import Loop
from nr_core.training.step_figures import write_steps
from nr_core.training.vocabulary import Vocabulary, tables_of
from nr_core.tuner.embedding import unused_tokens, used_tokens

RUN_FILE = "run.json"  # written last: a run whose run.json stands is finished


def train(spec: TrainSpec, progress: Progress) -> None:
    """Write adapter/ (a PEFT folder) or, for finetune, model/; steps.parquet; run.json.

    Goes on from the last checkpoint in out/checkpoints. Raises ModelError for what the user can mend.
    """
    ranks = joined_ranks()
    if spec.interpolate_from is not None and spec.method.interpolate:
        if ranks.is_main:
            interpolate(spec, spec.interpolate_from, spec.method.interpolate[0])
        return
    refuse_uneven(spec.training, ranks)
    inputs = [Input(TokenStream.open(source.tokens), source.share, source.role) for source in spec.inputs]
    base = load_base(spec.base, torch.device("cpu"))  # its file's pages, until it is known who holds what
    length = window_length(base, spec.training.sequence_length, "training")
    training = _settled(spec, length)
    for source in inputs:
        check_vocabulary(base, source.stream.vocabulary_size, source.stream.folder)
    torch.manual_seed(spec.seed)
    tables, earlier = tables_of(base), _earlier(spec)
    frozen = copy_of_base(base) if spec.method.kl_to_base and METHODS[spec.method.method].trains_base else None
    extension = extend(base, spec.method, _new_rows(spec, inputs), earlier)
    model = extension.model
    started_at = base_weights(model, spec.method)
    if spec.start_from is not None:
        start_from(model, spec.start_from)
    vocabulary = None
    if spec.base.vocabulary == "trimmed":
        vocabulary = _vocabulary(spec, inputs, model, tables)
        inputs = _trimmed(spec, vocabulary, inputs, model, base, tables, frozen, started_at)
        Progress.log(f"{progress.label}: trains on {vocabulary.says}")
    cut = is_cut(model, spec.training.fsdp_from, ranks)
    if not cut and not getattr(model, "is_quantized", False):
        model.to(device())
    precision = ranks.agree(choose_once(spec.training.precision, model, spec.out, device()) if ranks.is_main else None)
    Progress.log(f"{progress.label}: products in {precision.precision}, since {precision.reason}")
    head = Head(model, precision)
    peak = peak_tokens(model, length, ranks.count)
    set_layer_passes(model, spec.training.compile_layers, spec.training.recompute_layers)
    if cut:
        shard(model, decoder_layers(model))
    # FSDP2 wants one type of parameters, and a model that is saved whole keeps its own.
    if precision.precision == "bf16" and not cut and not extension.method.trains_base:
        hold_frozen_in_bf16(model)
    forgetting = None
    if spec.method.max_forgetting is not None:
        inputs, steering, measuring = reserve(inputs, length, window_length(base, None, "training"))
        forgetting = ForgettingBudget(head, steering, measuring, spec.method.max_forgetting, training)
    kl = None
    if spec.method.kl_to_base is not None:
        kl = kl_to_base(spec.method.kl_to_base, spec.method.kl_direction or "base_to_model", head, frozen, cut)
    batches = Batches(inputs, length, training.batch_size, spec.seed)
    shields = [source_shield(head, batches, cut)] if spec.method.freeze == "source_shielded" else []
    loop = Loop(
        head=head,
        batches=batches,
        settings=training,
        peak_rate=extension.learning_rate,
        seed=spec.seed,
        folder=spec.out,
        progress=progress,
        taps=extension.taps,
        local_loss=extension.local_loss,
        alpha=extension.alpha,
        kl=kl,
        # Only a ReLU gate has no gradient where it is shut.
        dead_gate_share=spec.training.dead_gate_share if spec.method.variant("gate") == "relu" else 0.0,
        forgetting=forgetting,
        rules=[*shields, *weight_rules(model, spec.method, started_at)],
        ranks=ranks,
        peak_tokens=peak,
        watched=extension.method.watched,
    )
    state = loop.run()

    # Every process takes part in what is measured and gathered; the first one writes.
    measured = {} if forgetting is None else _measured(forgetting)
    widened = vocabulary is not None and extension.method.trains_base
    weights = _gathered(model, extension) if cut or widened else None
    if not ranks.is_main:
        return
    if vocabulary is not None and weights is not None and widened:
        vocabulary.widen(weights, spec.base)
    report = _report(spec, extension, loop.alpha, state, ranks, precision) | measured
    _write_model(spec, extension, weights, report)
    copy_earlier(earlier, spec.out)
    write_steps(state.rows, spec.out / "steps.parquet")
    write_json(spec.out / RUN_FILE, report)
    shutil.rmtree(spec.out / "checkpoints", ignore_errors=True)


def _settled(spec: TrainSpec, length: int) -> TrainingSettings:
    """Fill in what depends on base and method: the window, and no decay towards zero beside one towards the base."""
    settled: dict[str, Any] = {"sequence_length": length}
    if spec.method.l2_to_base is not None:
        settled["weight_decay"] = 0.0
    return spec.training.model_copy(update=settled)


def _trimmed(
    spec: TrainSpec,
    vocabulary: Vocabulary,
    inputs: list[Input],
    model: Any,
    base: Any,
    tables: list[Any],
    frozen: Any,
    started_at: dict[str, torch.Tensor],
) -> list[Input]:
    """Leave a vocabulary's rows in a model and in what is kept of its base, in place; returns the inputs renumbered."""
    vocabulary.trim(model, tables)
    if frozen is not None:
        vocabulary.trim(frozen, tables_of(frozen))
    vocabulary.trim_copies(started_at, base)
    return [replace(source, stream=vocabulary.renumber(source.stream, spec.out)) for source in inputs]


def _vocabulary(spec: TrainSpec, inputs: list[Input], model: Any, tables: list[Any]) -> Vocabulary:
    streams = [source.stream for source in inputs]
    return Vocabulary.of(streams, load_tokenizer(spec.base), model, tables[0].weight.shape[0])


def _new_rows(spec: TrainSpec, inputs: list[Input]) -> list[int] | None:
    """The tokens whose rows of the embedding are extended, where the method does that."""
    if spec.method.embeddings not in ("new_rows", "gated_rows"):
        return None
    if spec.start_from is not None:
        return saved_new_rows(spec.start_from)
    return unused_tokens(inputs) if spec.method.embeddings == "new_rows" else used_tokens(inputs)


def _measured(forgetting: ForgettingBudget) -> dict[str, Any]:
    value, error = forgetting.measured()
    return {"forgetting": value, "forgetting_stderr": error, "forgetting_record": forgetting.record}


def _gathered(model: Any, extension: Extension) -> dict[str, torch.Tensor]:
    """The weights that are saved, whole again of a model that is cut over several processes."""
    full = extension.method.trains_base
    return {name: whole(p.detach()) for name, p in model.named_parameters() if full or p.requires_grad}


def _report(
    spec: TrainSpec, extension: Extension, alpha: float, state: LoopState, ranks: Ranks, precision: Choice
) -> dict[str, Any]:
    return {
        "method": spec.method.method,
        "languages": sorted({source.language for source in spec.inputs if source.role == "new"}),
        "base": spec.base.model_dump(mode="json"),
        "extra_parameters": extension.extra_parameters,
        "trainable_parameters": extension.trainable_parameters,
        **extension.shares(),
        "learning_rate": extension.learning_rate,
        "alpha": alpha,
        "seconds": state.seconds,
        "peak_memory": state.peak_memory,
        "tokens": state.tokens,
        "steps": state.step,
        "skipped_steps": state.skipped,
        "devices": ranks.count,
        "precision": precision.precision,
        "precision_reason": precision.reason,
    }


def _write_model(
    spec: TrainSpec, extension: Extension, weights: dict[str, torch.Tensor] | None, report: dict[str, Any]
) -> None:
    """The PEFT folder or the full model, with its card. `weights` are those of a model that is cut, else None."""
    model, full = extension.model, extension.method.trains_base
    with writing(spec.out / (MODEL_FOLDER if full else ADAPTER_FOLDER)) as partial:
        if full:
            model.save_pretrained(partial, state_dict=weights)
            load_tokenizer(spec.base).save_pretrained(partial)
        else:
            model.peft_config[NEWEST].revision = spec.base.revision
            if spec.base.gguf_file:  # a folder with such a file alone is no model to anybody
                model.peft_config[NEWEST].base_model_name_or_path = f"{spec.base.model}/{spec.base.gguf_file}"
            model.save_pretrained(partial, selected_adapters=[NEWEST], state_dict=weights)
        card = model_card(spec.base, report["languages"], report, earlier=len(_earlier(spec)))
        (partial / "README.md").write_text(card)


def _earlier(spec: TrainSpec) -> list[Path]:
    """The adapters that stay active beside the new one. Raises ModelError where a run does not fit this one."""
    if spec.start_from is not None:
        check_run(spec.start_from, spec.base, spec.method)
        return adapter_folders(spec.start_from)[:-1]
    if spec.add_to is not None:
        check_run(spec.add_to, spec.base)
        return adapter_folders(spec.add_to)
    return []


def refuse_uneven(settings: LoopSettings, ranks: Ranks) -> None:
    """Every process runs as many forward passes as the others: with FSDP2 one that had more would wait for ever."""
    micro = settings.micro_batch_size or 1
    if settings.batch_size % (ranks.count * micro):
        raise ModelError(
            f"batch_size {settings.batch_size} cannot be shared evenly by {ranks.count} devices in micro-batches of "
            f"{micro}; choose a multiple of {ranks.count * micro}."
        )
