"""Asks the first batch, before the first step, for gates that were drawn shut and for the size of the head's inputs."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from nr_core.base.head import Head
from nr_core.training.batches import Batches
from nr_core.training.distributed import Ranks
from nr_core.training.loss import open_gates
from nr_core.tuner.activation_taps import Taps
from nr_core.tuner.embedding import EmbeddingResidueLayer
from nr_core.tuner.gated_rows import HEAD_GATE, HEAD_ROWS
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


def rate_shares(head: Head, batches: Batches, ranks: Ranks) -> dict[str, float]:
    """Return the share of the learning rate at which the head's gated rows and their gate are trained, by parameter.

    A step of AdamW moves each weight by about the rate, and so what a linear layer puts out by the rate times ‖x‖₁ of
    its input. The head's inputs are larger than an FFN's, 1.5 times for base S and 16 times for SmolLM2, where at one
    rate for both the logits leap, and the gate shuts for good. The share makes up for that: ‖x‖₁ of the first FFN's
    inputs over that of the last hidden states, at most 1. Asked of the first sequence.
    """
    layers = [module for module in head.model.modules() if isinstance(module, EmbeddingResidueLayer)]
    names = [
        name
        for name, parameter in head.model.named_parameters()
        if parameter.requires_grad and (HEAD_ROWS in name or HEAD_GATE in name)
    ]
    if not names:
        return {}
    sizes: dict[str, float] = {}
    places = layers[0].places()
    handles = [
        places.source.register_forward_pre_hook(partial(_note_input, sizes), with_kwargs=True),
        places.decoder.register_forward_hook(lambda module, args, output: sizes.update(last=_size(output[0]))),
    ]
    try:
        with torch.no_grad():
            rows = batches.batch(0)[0][:1, :-1]
            head.run(lambda hidden, to_logits: None, rows.to(next(head.model.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
    share = ranks.agree(min(1.0, sizes["first"] / sizes["last"]) if ranks.is_main else None)
    return dict.fromkeys(names, share)


def _note_input(sizes: dict[str, float], module: Any, args: Any, kwargs: Any) -> None:
    sizes["first"] = _size(args[0] if args else kwargs["hidden_states"])


def _size(states: Tensor) -> float:
    """Return the mean of ‖x‖₁ over the tokens of states (..., d)."""
    return float(states.float().abs().sum(-1).mean())
