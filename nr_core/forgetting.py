"""The forgetting budget: α is adapted in training so that what is lost on the original language stays within a bound.

    maximise learning   subject to   forgetting ≤ max_forgetting

α is the constraint's dual variable. It is raised while the forgetting that is measured exceeds the bound and lowered
while it does not, in its logarithm, since the α that is right spans orders of magnitude from one width to the next
(the paper's 0.01 at d = 2048, about 1 at d = 128). A proportional term damps the oscillation of plain dual ascent:
Stooke, Achiam, Abbeel, "Responsive safety in reinforcement learning by PID Lagrangian methods", ICML 2020,
https://arxiv.org/abs/2007.03964.

Forgetting is bits per byte of the extended model minus those of the backbone (the same model, adapters switched off) on
windows of original-language text that is kept out of training: half of them steer α, the other half only measure what
came out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nr_core.batches import Input
from nr_core.earlier_runs import NEWEST
from nr_core.errors import ModelError
from nr_core.settings import LoopSettings

FIRST_ALPHA = 0.1  # between the paper's, for d = 2048, and what small models need
ALPHA_RANGE = (1e-4, 1e3)  # far above, every gate shuts for good
UPDATES = 64  # of α in a run, however long it is
INTEGRAL_GAIN, PROPORTIONAL_GAIN = 0.25, 0.5  # of log α, per relative excess of the forgetting
LARGEST_EXCESS = 2.0  # in units of the bound: one bad measurement does not shut the gates
TARGET_SHARE = 0.9  # of the bound that is aimed at, so that noise stays within it
RESERVED_SHARE, RESERVED_TOKENS = 0.05, 262_144  # of the original text, kept out of training: a share, at most so many
WINDOWS_PER_UPDATE = 2  # in batches of the training: keeps the measurement at a few per cent of its time


@dataclass(frozen=True)
class Slice:
    """Original-language text that no step trains on: windows (n, sequence_length + 1), and its bytes per token."""

    windows: Tensor
    bytes_per_token: float


def reserve(inputs: Sequence[Input], sequence_length: int) -> tuple[list[Input], Slice, Slice]:
    """Cut the last documents off the original-language inputs: the inputs without them, and two slices of their text.

    The first slice is to steer α, the second to measure with. Raises ModelError where there is no such text.
    """
    kept: list[Input] = []
    windows: list[np.ndarray[Any, Any]] = []
    tokens = size = 0
    for source in inputs:
        stream = source.stream
        if source.role != "original":
            kept.append(source)
            continue
        wanted = min(RESERVED_SHARE * len(stream), RESERVED_TOKENS)
        first = max(1, int(np.searchsorted(stream.offsets, len(stream) - wanted, side="right")) - 1)
        start = int(stream.offsets[min(first, stream.documents - 1)])
        text = stream.stream[start:]
        count = (len(text) - 1) // sequence_length
        windows += [text[i * sequence_length : (i + 1) * sequence_length + 1] for i in range(count)]
        tokens += len(text)
        size += int(stream.byte_lengths[first:].sum())
        cut = replace(
            stream,
            stream=stream.stream[:start],
            offsets=stream.offsets[: first + 1],
            byte_lengths=stream.byte_lengths[:first],
        )
        kept.append(replace(source, stream=cut))
    if len(windows) < 4:
        raise ModelError(
            f"max_forgetting: {RESERVED_SHARE:.0%} of the original-language text is kept out of training to measure "
            f"on, and that gives {len(windows)} windows of {sequence_length} tokens; give more original-language text, "
            "or a fixed alpha instead."
        )
    stacked = torch.from_numpy(np.stack(windows).astype(np.int64))
    return kept, Slice(stacked[::2], size / tokens), Slice(stacked[1::2], size / tokens)


@torch.no_grad()
def window_nats(model: Any, windows: Tensor, batch_size: int) -> Tensor:
    """Nats of each window: (n, sequence_length + 1) -> (n,), on the CPU, in double."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    sums = []
    for rows in windows.split(batch_size):
        rows = rows.to(device)
        logits = model(input_ids=rows[:, :-1], use_cache=False).logits
        nats = F.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten(), reduction="none")
        sums.append(nats.view(len(rows), -1).double().sum(1).cpu())
    model.train(training)
    return torch.cat(sums)


@contextmanager
def without_the_new_adapter(model: Any) -> Iterator[None]:
    """The backbone, with the adapters of earlier runs where there are any.

    PEFT makes every active adapter trainable when it switches them on again: undone here.
    """
    trainable = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    active = list(model.active_adapters)
    if len(active) == 1:
        with model.disable_adapter():
            yield
    else:
        model.base_model.set_adapter([name for name in active if name != NEWEST])
        yield
        model.base_model.set_adapter(active)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trainable[name])


class ForgettingBudget:
    """Steers α. What it did is in `record`, which is all the state it has."""

    def __init__(
        self,
        model: Any,
        steering: Slice,
        measuring: Slice,
        bound: float,
        settings: LoopSettings,
        record: list[dict[str, float]] | None = None,
    ) -> None:
        self.model, self.steering, self.measuring, self.bound = model, steering, measuring, bound
        self.every = max(1, settings.steps // UPDATES)
        self.batch_size = settings.micro_batch_size or settings.batch_size
        self.windows = min(len(steering.windows), WINDOWS_PER_UPDATE * settings.batch_size)
        self.record: list[dict[str, float]] = record if record is not None else []
        self._base: dict[int, float] = {}  # nats of the backbone, by window

    @property
    def alpha(self) -> float:
        return self.record[-1]["alpha"] if self.record else FIRST_ALPHA

    def after_step(self, step: int) -> float:
        """Measure where it is due, and return the α of the next step. step: steps done."""
        if step % self.every == 0:
            forgetting = self._forgetting(len(self.record))
            excess = (forgetting - TARGET_SHARE * self.bound) / self.bound
            excess = max(-LARGEST_EXCESS, min(LARGEST_EXCESS, excess))
            low, high = map(math.log, ALPHA_RANGE)
            integral = self.record[-1]["integral"] if self.record else math.log(FIRST_ALPHA)
            integral = max(low, min(high, integral + INTEGRAL_GAIN * excess))
            alpha = math.exp(max(low, min(high, integral + PROPORTIONAL_GAIN * excess)))
            self.record.append({"step": step, "forgetting": forgetting, "integral": integral, "alpha": alpha})
        return self.alpha

    def _forgetting(self, update: int) -> float:
        """Of the windows whose turn it is, in bits per byte."""
        count = len(self.steering.windows)
        chosen = [(update * self.windows + i) % count for i in range(self.windows)]
        self._know_base([index for index in chosen if index not in self._base])
        now = window_nats(self.model, self.steering.windows[chosen], self.batch_size)
        before = torch.tensor([self._base[index] for index in chosen], dtype=torch.double)
        return self._bits_per_byte(now - before, self.steering)[0]

    def _know_base(self, indices: list[int]) -> None:
        if indices:
            with without_the_new_adapter(self.model):
                nats = window_nats(self.model, self.steering.windows[indices], self.batch_size)
            self._base.update(zip(indices, nats.tolist(), strict=True))

    def measured(self) -> tuple[float, float]:
        """Forgetting on the slice that steered nothing, in bits per byte, and its standard error over windows."""
        windows = self.measuring.windows
        with without_the_new_adapter(self.model):
            before = window_nats(self.model, windows, self.batch_size)
        return self._bits_per_byte(window_nats(self.model, windows, self.batch_size) - before, self.measuring)

    def _bits_per_byte(self, nats: Tensor, text: Slice) -> tuple[float, float]:
        bits = nats / (math.log(2) * (text.windows.shape[1] - 1) * text.bytes_per_token)
        return float(bits.mean()), float(bits.std() / math.sqrt(len(bits)))
