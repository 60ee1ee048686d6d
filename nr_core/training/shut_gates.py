"""Gates that are shut have no gradient and learn nothing: drawn so, they are turned; staying so, they stop a training.

Before the first step the first batch is asked for gates that were drawn shut; in the second and later ones it is
refused that tensors get no gradient, or that no gate is open.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from nr_core.base.head import Head
from nr_core.errors import ModelError
from nr_core.progress import Progress
from nr_core.settings.method_table import Watched
from nr_core.training.batches import Batches
from nr_core.training.distributed import Ranks, whole
from nr_core.training.loss import open_gates
from nr_core.tuner.activation_taps import Taps
from nr_core.tuner.layer import NeutralResidueLayer

SHUT = 0.05  # of the new language's tokens: a ReLU gate that opens on fewer is taken to be shut


def turn_shut_gates(head: Head, taps: Taps, batches: Batches, micro_batch: int, ranks: Ranks) -> list[int]:
    """Give ReLU gates that are shut on nearly all of the new language's tokens the other sign; return their layers.

    Hidden states of a layer share a direction, the more the deeper it lies, so that a drawn w may be shut on all
    tokens: of SmolLM2's last layer and head by one draw in five. Such a gate has no gradient, and stays shut. w and −w
    are equally likely draws. Asked of the first batch, before the first step.
    """
    device = next(head.model.parameters()).device
    tokens, original = batches.batch(0)
    opened, seen, gates = torch.zeros(()), 0, []
    for rows, is_original in zip(tokens.split(micro_batch), original.split(micro_batch), strict=True):
        new = ~is_original.repeat_interleave(batches.sequence_length).to(device)
        with torch.no_grad(), taps.collect():
            head.run(lambda hidden, to_logits: None, rows[:, :-1].to(device))
            gates = [place for place, tap in taps.slots.items() if tap.gate is not None]
            opened = opened + open_gates(taps, new).cpu()
        seen += int(new.sum())
    shut = [place for place, count in zip(gates, opened.tolist(), strict=True) if count < SHUT * seen]
    shut = ranks.agree(shut if ranks.is_main else None)
    held = [module for module in head.model.modules() if isinstance(module, NeutralResidueLayer)]
    for name, layer in shut:
        for gate in (of[layer] for module in held if layer in (of := module.gates_of(name))):
            with torch.no_grad():
                next(gate.parameters()).neg_()
    return [layer for _, layer in shut]


def require_gradients(watched: Watched, parameters: Mapping[str, nn.Parameter], step: int, label: str) -> None:
    """Refuse a tensor that would stay as it was drawn for ever. Asked in the second step that is taken, when what is
    zero at first no longer is.

    An adapter that is shut for all of a batch may learn from another: no fault while one of them is open. Raises
    ModelError with the first tensor's name.
    """
    adapters: dict[str, dict[str, nn.Parameter]] = {}
    for name, parameter in parameters.items():
        if watched.tensors in name and not any(part in name for part in watched.not_in_each_batch):
            adapters.setdefault(name.split(watched.tensors)[0], {})[name] = parameter
    tensors = sum(map(len, adapters.values()))
    without, shut = [], []
    for held in adapters.values():
        sizes = {name: None if p.grad is None else float(whole(p.grad.norm())) for name, p in held.items()}
        outer = [name for name in held if watched.zero_at_first and watched.zero_at_first in name]
        learns = [bool(sizes[name]) and bool(whole(held[name].detach().norm())) for name in outer]
        without += [name for name, size in sizes.items() if size is None or (size == 0 and all(learns))]
        shut += [name for name, size in sizes.items() if size == 0]
    if len(shut) == tensors:
        without = shut
    if without:
        raise ModelError(
            f"{label}: in step {step} {len(without)} of {tensors} tensors of the adapters got no gradient "
            f"({without[0]} is the first), so they would never learn; gates that are shut for the whole batch in all "
            "layers do that: raise batch_size, take another seed, or a base that was trained for longer."
        )


def require_open_gates(most_open: float | None, share: float, step: int, in_warmup: bool, label: str) -> None:
    """Refuse ReLU gates that are shut everywhere, which have no gradient: such a model forgets and learns nothing.

    most_open: share of the new language's tokens that open a gate in the layer where most do; None without gates.
    In warm-up a line in the log is all. Raises ModelError.
    """
    if most_open is None or most_open >= share:
        return
    if in_warmup:
        Progress.log(f"{label}: at step {step} the gates of all layers are nearly shut")
        return
    raise ModelError(
        f"{label}: at step {step}, after warm-up, fewer than {share:.0%} of the new language's tokens open a gate in "
        f"any layer (at most {most_open:.2%}), so nothing is learned; lower alpha, the rate, take another seed, or a "
        "base that was trained for longer."
    )
