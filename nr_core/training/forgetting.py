"""The forgetting budget: α is adapted in training so that what is lost on the original language stays within a bound.

    maximise learning   subject to   forgetting ≤ max_forgetting

α is the constraint's dual variable. It is raised while the forgetting that is measured exceeds the bound and lowered
while it does not, in its logarithm, since the α that is right spans orders of magnitude from one width to the next
(the paper's 0.01 at d = 2048, about 1 at d = 128). A proportional term damps the oscillation of plain dual ascent:
Stooke, Achiam, Abbeel, "Responsive safety in reinforcement learning by PID Lagrangian methods", ICML 2020,
https://arxiv.org/abs/2007.03964.

Forgetting is bits per byte (nr_core.evaluation.bits_per_byte, as `nr evaluate` has them) of the extended model minus
those of the backbone (the same model, adapters switched off) on original-language text that is kept out of training:
half of its windows steer α, the other half only measure what came out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nr_core.base.head import Head
from nr_core.errors import ModelError
from nr_core.evaluation.bits_per_byte import bits_per_byte, cut, lost_share, padded, scored_places, window_nats
from nr_core.runs.build_on_earlier import NEWEST
from nr_core.settings import DEFAULT_LENGTH, LoopSettings
from nr_core.tokenization.tokenizer import TokenStream
from nr_core.training.batches import Input

FIRST_ALPHA = 0.1  # between the paper's, for d = 2048, and what small models need
ALPHA_RANGE = (1e-4, 1e3)  # far above, every gate shuts for good
UPDATES = 64  # of α in a run, however long it is
INTEGRAL_GAIN, PROPORTIONAL_GAIN = 0.25, 0.5  # of log α, per relative excess of the forgetting
LARGEST_EXCESS = 2.0  # in units of the bound: one bad measurement does not shut the gates
TARGET_SHARE = 0.9  # of the bound that is aimed at, so that noise stays within it
RESERVED_SHARE, RESERVED_TOKENS = 0.05, 262_144  # of the original text, kept out of training: a share, at most so many
BATCHES_PER_UPDATE = 2  # of the training: keeps the measurement at a few per cent of its time
FEWEST_WINDOWS, SHORTEN_BELOW = 4, 32  # for two halves that each have a standard error; for one that means something


Tokens = np.ndarray[Any, Any]
Look = Callable[[], None]


def _go_on() -> None:
    """Let a measurement go on to its end."""


@dataclass(frozen=True)
class Slice:
    """Original-language text that no step trains on: the tokens of each window, without special ones."""

    windows: list[Tokens]
    bytes: Tokens  # of the tokens that each window scores
    context_token: int
    known: Sequence[int] = ()  # how many of a window's first tokens the one before scores; default: none

    def nats(self, head: Head, chosen: Sequence[int], batch_tokens: int, look: Look = _go_on) -> Tokens:
        """Return nats of some of the windows, at most so many tokens a forward pass: (chosen,), in double.

        look() is called before each pass, and may raise.
        """
        training = head.model.training
        head.model.eval()
        nats = np.zeros(len(chosen))
        windows = [(i, self.windows[index], self.known[index] if self.known else 0) for i, index in enumerate(chosen)]
        rows = max(1, batch_tokens // max(map(len, self.windows)))
        for owners, inputs, known, lengths in padded(windows, rows, self.context_token):
            look()
            nats[owners] = window_nats(head, inputs, scored_places(inputs.shape[1] - 1, known, lengths))
        head.model.train(training)
        return nats


def reserve(
    inputs: Sequence[Input], sequence_length: int, window: int | None = None, stride: int | None = None
) -> tuple[list[Input], Slice, Slice]:
    """Cut the last tokens off the original-language inputs: the inputs without them, and two slices of their text.

    The first slice is to steer α, the second to measure with. window, stride: tokens a window and from one window to
    the next, as the study's evaluation has them for this model; text that gives few of these is cut into windows of
    sequence_length, which do not overlap. Raises ModelError where there is too little text, or where its tokens lose
    too much of it.
    """
    kept: list[Input] = []
    texts: list[Tokens] = []
    densities: list[float] = []
    context = 0
    for source in inputs:
        if source.role != "original":
            kept.append(source)
            continue
        stream = source.stream
        lost_share(stream)
        context = stream.context_token
        start = len(stream) - int(min(RESERVED_SHARE * len(stream), RESERVED_TOKENS))
        for text, density in _texts_from(stream, start):
            texts.append(text)
            densities.append(density)
        kept.append(replace(source, stream=_up_to(stream, start)))
    tokens = sum(map(len, texts))
    size = window or sequence_length
    if tokens < SHORTEN_BELOW * size:
        size, stride = min(size, sequence_length), None
    windows = cut(texts, size, stride)
    if len(windows) < FEWEST_WINDOWS:
        raise ModelError(
            f"max_forgetting: {RESERVED_SHARE:.0%} of the original-language text is kept out of training to measure "
            f"on, and that gives {len(windows)} windows of {size} tokens; give more original-language text, "
            "or a fixed alpha instead."
        )
    sizes = np.array([(len(text) - known) * densities[owner] for owner, text, known in windows])
    texts, known = [text for _, text, _ in windows], [known for _, _, known in windows]
    first, second = (Slice(texts[half::2], sizes[half::2], context, known[half::2]) for half in (0, 1))
    return kept, first, second


def _texts_from(stream: TokenStream, start: int) -> Iterator[tuple[Tokens, float]]:
    """Return what a stream holds from a token on: the text of each document, or of the rest of one, and its bytes a
    token.
    """
    first = int(np.searchsorted(stream.offsets, start, side="right")) - 1
    for document in range(first, stream.documents):
        whole = stream.content(document)
        begin = int(stream.offsets[document + 1]) - 1 - len(whole)
        text = whole[max(0, start - begin) :]
        if len(text):
            yield text, float(stream.byte_lengths[document]) / len(whole)


def _up_to(stream: TokenStream, end: int) -> TokenStream:
    """Return the stream without what stands from a token on; the document that it falls into is cut."""
    documents = int(np.searchsorted(stream.offsets, end, side="left"))
    ends = np.minimum(stream.offsets[: documents + 1], end)
    shares = np.diff(ends) / np.maximum(np.diff(stream.offsets[: documents + 1]), 1)

    def part(lengths: Tokens) -> Tokens:
        return (lengths[:documents] * shares).astype(np.int64)

    lost = None if stream.lost_bytes is None else part(stream.lost_bytes)
    sizes = part(stream.byte_lengths)
    return replace(stream, stream=stream.stream[:end], offsets=ends, byte_lengths=sizes, lost_bytes=lost)


@contextmanager
def without_the_new_adapter(model: Any) -> Iterator[None]:
    """Switch the new adapter off: what is left is the base, with the adapters of earlier runs where there are any.

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
        head: Head,
        steering: Slice,
        measuring: Slice,
        bound: float,
        settings: LoopSettings,
        record: list[dict[str, float]] | None = None,
    ) -> None:
        self.head, self.steering, self.measuring, self.bound = head, steering, measuring, bound
        self.every = max(1, settings.steps // UPDATES)
        length = settings.sequence_length or DEFAULT_LENGTH
        self.batch_tokens = (settings.micro_batch_size or settings.batch_size) * length
        mean = sum(map(len, steering.windows)) / len(steering.windows)
        tokens = BATCHES_PER_UPDATE * settings.batch_size * length
        self.windows = min(len(steering.windows), max(1, math.ceil(tokens / mean)))
        self.record: list[dict[str, float]] = record if record is not None else []
        self._base: dict[int, float] = {}  # nats of the backbone, by window

    @property
    def alpha(self) -> float:
        return self.record[-1]["alpha"] if self.record else FIRST_ALPHA

    def after_step(self, step: int, look: Look = _go_on) -> float:
        """Measure where it is due and has not been done, and return the α of the next step. step: steps done.

        look: as of Slice.nats; where it raises, the measurement is not recorded, and is done when this is called again.
        """
        measured = self.record[-1]["step"] if self.record else 0
        if step % self.every == 0 and step > measured:
            forgetting = self._forgetting(len(self.record), look)
            excess = (forgetting - TARGET_SHARE * self.bound) / self.bound
            excess = max(-LARGEST_EXCESS, min(LARGEST_EXCESS, excess))
            low, high = map(math.log, ALPHA_RANGE)
            integral = self.record[-1]["integral"] if self.record else math.log(FIRST_ALPHA)
            integral = max(low, min(high, integral + INTEGRAL_GAIN * excess))
            alpha = math.exp(max(low, min(high, integral + PROPORTIONAL_GAIN * excess)))
            self.record.append({"step": step, "forgetting": forgetting, "integral": integral, "alpha": alpha})
        return self.alpha

    def _forgetting(self, update: int, look: Look) -> float:
        """Return the forgetting on the windows whose turn it is, in bits per byte."""
        count = len(self.steering.windows)
        chosen = [(update * self.windows + i) % count for i in range(self.windows)]
        self._know_base([index for index in chosen if index not in self._base], look)
        now = self.steering.nats(self.head, chosen, self.batch_tokens, look)
        before = np.array([self._base[index] for index in chosen])
        return bits_per_byte(now - before, self.steering.bytes[chosen])[0]

    def _know_base(self, indices: list[int], look: Look) -> None:
        if indices:
            with without_the_new_adapter(self.head.model):
                nats = self.steering.nats(self.head, indices, self.batch_tokens, look)
            self._base.update(zip(indices, nats.tolist(), strict=True))

    def measured(self, look: Look = _go_on) -> tuple[float, float | None]:
        """Return forgetting on the slice that steered nothing: bits per byte, and the standard error over windows.

        look: as of Slice.nats.
        """
        every = range(len(self.measuring.windows))
        with without_the_new_adapter(self.head.model):
            before = self.measuring.nats(self.head, every, self.batch_tokens, look)
        after = self.measuring.nats(self.head, every, self.batch_tokens, look)
        return bits_per_byte(after - before, self.measuring.bytes)
