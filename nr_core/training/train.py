"""Extending a base: base, method, batches, loop, and what is left on the disk."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from nr_core.base.head import Head
from nr_core.base.language_model import decoder_layers, set_layer_passes
from nr_core.base.load_base import device, window_length
from nr_core.base.precision import Choice, choose_once, hold_frozen_in_bf16
from nr_core.errors import ModelError
from nr_core.files import write_json, writing
from nr_core.methods.distillation import load_teacher
from nr_core.methods.extend import Extension
from nr_core.methods.kl_to_base import kl_to_base
from nr_core.methods.weight_rules import interpolate, source_shield, weight_rules
from nr_core.progress import Progress
from nr_core.runs.build_on_earlier import (
    ADAPTER_FOLDER,
    MODEL_FOLDER,
    NEWEST,
    copy_earlier,
)
from nr_core.runs.load_run import write_base_type
from nr_core.runs.model_card import model_card
from nr_core.settings import LoopSettings
from nr_core.specs import TrainSpec, Windows
from nr_core.tokenization.tokenizer import load_tokenizer
from nr_core.training.batches import Batches
from nr_core.training.checkpoints import LoopState
from nr_core.training.distributed import Ranks, is_cut, shard, whole
from nr_core.training.distributed import ranks as joined_ranks
from nr_core.training.flops import peak_tokens
from nr_core.training.forgetting import ForgettingBudget, reserve
from nr_core.training.load_and_extend import Extended, extend_base, trim_vocabulary
from nr_core.training.loop import Loop
from nr_core.training.optimiser import rate_shares
from nr_core.training.shut_gates import turn_shut_gates
from nr_core.training.step_figures import write_steps
from nr_core.training.tracking import tracked


@dataclass(frozen=True)
class Placed:
    """A model on its device. cut: over several devices, by FSDP2."""

    head: Head
    precision: Choice
    cut: bool
    peak_tokens: float | None


def train(spec: TrainSpec, progress: Progress) -> None:
    """Write adapter/ (a PEFT folder) or, for finetune, model/; steps.parquet; run.json.

    Goes on from the last checkpoint in out/checkpoints. Raises ModelError for what the user can fix.
    """
    ranks = joined_ranks()
    if spec.interpolate_from is not None and spec.method.interpolate:
        if ranks.is_main:
            interpolate(spec, spec.interpolate_from, spec.method.interpolate[0])
        return
    refuse_uneven(spec.training, ranks)
    extended = extend_base(spec)
    if spec.base.vocabulary == "trimmed":
        trim_vocabulary(extended, spec, progress)
    placed = _place(extended, spec, progress, ranks)
    forgetting = _forgetting_budget(extended, spec, placed)
    loop = _loop(extended, spec, placed, forgetting, progress, ranks)
    if spec.start_from is None and loop.taps is not None and spec.method.variant("gate") == "relu":
        micro_batch = loop.settings.micro_batch_size or loop.settings.batch_size
        if turned := turn_shut_gates(placed.head, loop.taps, loop.batches, micro_batch, ranks):
            Progress.log(f"{progress.label}: gates drawn shut, and turned round, of layers {turned}")
    loop.rate_shares = rate_shares(placed.head, loop.batches, ranks)
    with tracked(spec) if ranks.is_main else nullcontext() as loop.track:
        state = loop.run()

    # Every process takes part in what is measured and gathered; the first one writes.
    measured = {} if forgetting is None else _measured(forgetting, ranks)
    weights = _gathered(extended, placed, spec)
    if ranks.is_main:
        report = _report(spec, extended.extension, loop, state, ranks, placed.precision) | measured
        _write_run(spec, extended, weights, report, state)


def _place(extended: Extended, spec: TrainSpec, progress: Progress, ranks: Ranks) -> Placed:
    """Bring the model to its device or cut it over several, and choose the precision of its products."""
    model, training = extended.model, spec.training
    cut = is_cut(model, training.fsdp_from, ranks)
    if not cut and not getattr(model, "is_quantized", False):
        model.to(device())
    precision = ranks.agree(choose_once(training.precision, model, spec.out, device()) if ranks.is_main else None)
    Progress.log(f"{progress.label}: products in {precision.precision}, since {precision.reason}")
    placed = Placed(Head(model, precision), precision, cut, peak_tokens(model, extended.length, ranks.count))
    set_layer_passes(model, training.compile_layers, training.recompute_layers)
    if cut:
        shard(model, decoder_layers(model))
    # FSDP2 wants one type of parameters, and a model that is saved whole keeps its own.
    if precision.precision == "bf16" and not cut and not extended.extension.method.trains_base:
        hold_frozen_in_bf16(model)
    return placed


def _forgetting_budget(extended: Extended, spec: TrainSpec, placed: Placed) -> ForgettingBudget | None:
    """Take the text on which forgetting is measured out of the inputs, where the method has a bound on it."""
    most = spec.method.max_forgetting
    if most is None:
        return None
    windows = spec.forgetting_windows or Windows()
    size = window_length(extended.base, windows.sequence_length, "evaluation")
    extended.inputs, steering, measuring = reserve(extended.inputs, extended.length, size, windows.stride)
    return ForgettingBudget(placed.head, steering, measuring, most, extended.training)


def _loop(
    extended: Extended,
    spec: TrainSpec,
    placed: Placed,
    forgetting: ForgettingBudget | None,
    progress: Progress,
    ranks: Ranks,
) -> Loop:
    method, extension, head = spec.method, extended.extension, placed.head
    kl = None
    if method.kl_to_base is not None:
        direction = method.kl_direction or "base_to_model"
        kl = kl_to_base(method.kl_to_base, direction, head, extended.frozen, placed.cut)
    run = spec.distil_from
    teacher = None if run is None else load_teacher(spec.base, run, head, placed.cut)
    batches = Batches(extended.inputs, extended.length, extended.training.batch_size, spec.seed)
    shields = [source_shield(head, batches, placed.cut)] if method.freeze == "source_shielded" else []
    return Loop(
        head=head,
        batches=batches,
        settings=extended.training,
        peak_rate=extension.learning_rate,
        seed=spec.seed,
        folder=spec.out,
        progress=progress,
        taps=extension.taps,
        local_loss=extension.local_loss,
        alpha=extension.alpha,
        kl=kl,
        teacher=teacher,
        # Only a ReLU gate has no gradient where it is shut.
        dead_gate_share=spec.training.dead_gate_share if method.variant("gate") == "relu" else 0.0,
        forgetting=forgetting,
        rules=[*shields, *weight_rules(extended.model, method, extended.started_at)],
        ranks=ranks,
        peak_tokens=placed.peak_tokens,
        watched=extension.method.watched,
    )


def _measured(forgetting: ForgettingBudget, ranks: Ranks) -> dict[str, Any]:
    value, error = forgetting.measured(ranks.stop_if_asked)
    return {"forgetting": value, "forgetting_stderr": error, "forgetting_record": forgetting.record}


def _gathered(extended: Extended, placed: Placed, spec: TrainSpec) -> dict[str, torch.Tensor] | None:
    """Return the weights that are saved, of a model that is cut over processes or has a part of the vocabulary.

    None of another: it saves its own.
    """
    full = extended.extension.method.trains_base
    widened = extended.vocabulary is not None and full
    if not placed.cut and not widened:
        return None
    return {name: whole(p.detach()) for name, p in extended.model.named_parameters() if full or p.requires_grad}


def _report(
    spec: TrainSpec, extension: Extension, loop: Loop, state: LoopState, ranks: Ranks, precision: Choice
) -> dict[str, Any]:
    """Return what run.json holds. tokens, seconds: with those of a teacher, which the model took too."""
    teacher = loop.teacher
    return {
        "method": spec.method.method,
        "languages": sorted({source.language for source in spec.inputs if source.role == "new"}),
        "base": spec.base.model_dump(mode="json"),
        "extra_parameters": extension.extra_parameters,
        "trainable_parameters": extension.trainable_parameters,
        **extension.shares(),
        "learning_rate": extension.learning_rate,
        "alpha": loop.alpha,
        "seconds": state.seconds + (teacher.seconds if teacher else 0),
        "peak_memory": state.peak_memory,
        "tokens": state.tokens + (teacher.tokens if teacher else 0),
        **(teacher.counted() if teacher else {}),
        "steps": state.step,
        "skipped_steps": state.skipped,
        "devices": ranks.count,
        "precision": precision.precision,
        "precision_reason": precision.reason,
    }


def _write_run(
    spec: TrainSpec,
    extended: Extended,
    weights: dict[str, torch.Tensor] | None,
    report: dict[str, Any],
    state: LoopState,
) -> None:
    """Write all of a run, its report last."""
    if extended.vocabulary is not None and weights is not None and extended.extension.method.trains_base:
        extended.vocabulary.widen(weights, spec.base)
    _write_model(spec, extended, weights, report)
    copy_earlier(extended.earlier, spec.out)
    write_steps(state.rows, spec.out / "steps.parquet")
    write_json(spec.out / spec.last_file, report)
    shutil.rmtree(spec.out / "checkpoints", ignore_errors=True)


def _write_model(
    spec: TrainSpec, extended: Extended, weights: dict[str, torch.Tensor] | None, report: dict[str, Any]
) -> None:
    """Write the PEFT folder or the full model, with its card. `weights`: see _gathered."""
    model, full = extended.model, extended.extension.method.trains_base
    with writing(spec.out / (MODEL_FOLDER if full else ADAPTER_FOLDER)) as partial:
        if full:
            model.save_pretrained(partial, state_dict=weights)
            load_tokenizer(spec.base).save_pretrained(partial)
        else:
            model.peft_config[NEWEST].revision = spec.base.revision
            if spec.base.gguf_file:  # a folder with such a file alone is no model to anybody
                model.peft_config[NEWEST].base_model_name_or_path = spec.base.called
            model.save_pretrained(partial, selected_adapters=[NEWEST], state_dict=weights)
            write_base_type(spec.base, partial)
        card = model_card(spec.base, report["languages"], report, earlier=len(extended.earlier))
        (partial / "README.md").write_text(card)


def refuse_uneven(settings: LoopSettings, ranks: Ranks) -> None:
    """Refuse batches that do not divide: with FSDP2 a process that had more forward passes would wait for ever."""
    micro = settings.micro_batch_size or 1
    if settings.batch_size % (ranks.count * micro):
        raise ModelError(
            f"batch_size {settings.batch_size} cannot be shared evenly by {ranks.count} devices in micro-batches of "
            f"{micro}; choose a multiple of {ranks.count * micro}."
        )
