"""Chooses the sequences of a step: a pure function of (seed, step), the same after resuming and for any number of
processes.

Sequences are numbered 0, 1, 2, ... over the whole run; step s holds numbers s·B .. s·B + B − 1. The number decides the
input by an exact schedule, and the window within it by a permutation that is drawn anew each epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from nr_core.errors import ModelError
from nr_core.tokenization.tokenizer import TokenStream

Role = Literal["new", "original"]


def exact_shares(shares: Sequence[float]) -> list[Fraction]:
    """Return the shares as the decimal numbers that the user wrote (0.29 is 29/100, which the float is not), summing
    to 1.

    Raises ModelError where they do not sum to 1.
    """
    exact = [Fraction(repr(float(share))).limit_denominator(1_000_000) for share in shares]
    if any(share < 0 for share in exact) or abs(sum(exact, Fraction(0)) - 1) > Fraction(1, 100_000):
        raise ModelError(f"The shares of the inputs, {', '.join(map(str, shares))}, must be 0 or more and sum to 1.")
    return [share / sum(exact) for share in exact]


def choose(shares: Sequence[Fraction], k: int) -> tuple[int, int]:
    """Tell which of some shares (summing to 1) number k falls to, and how many before it did.

    The first share p gets floor((k+1)·p) − floor(k·p) of number k; what it leaves is numbered anew and divided among
    the rest in the same way. So after n numbers, wherever n times each share is whole, each has had exactly that many.
    """
    remaining = Fraction(1)
    last = max(i for i, share in enumerate(shares) if share > 0)
    for i, share in enumerate(shares):
        if i == last:
            return i, k
        p = share / remaining
        before = k * p.numerator // p.denominator
        if (k + 1) * p.numerator // p.denominator > before:
            return i, before
        k -= before
        remaining -= share
    raise AssertionError("unreachable: the last positive share takes what is left")


@dataclass(frozen=True)
class Input:
    """A token stream with its share of all sequences; role None in pretraining."""

    stream: TokenStream
    share: float
    role: Role | None = None


class Batches:
    """The training sequences of a run: sequence_length + 1 tokens each, the last of which is only a target."""

    def __init__(self, inputs: Sequence[Input], sequence_length: int, batch_size: int, seed: int) -> None:
        self.inputs = [source for source in inputs if source.share > 0]
        self.sequence_length, self.batch_size, self.seed = sequence_length, batch_size, seed
        shares = exact_shares([source.share for source in inputs])
        by_input = self._by_input = [share for share in shares if share > 0]
        for source in self.inputs:
            if len(source.stream) <= sequence_length:
                raise ModelError(
                    f"{source.stream.folder} holds {len(source.stream)} tokens, fewer than a sequence of "
                    f"{sequence_length} and its next token; lower sequence_length or give more text."
                )
        # The role is decided first, so that p, the share of the original language, is exact whatever its inputs are.
        groups = [[i for i, source in enumerate(self.inputs) if (source.role == "original") is original]
                  for original in (True, False)]  # fmt: skip
        self._groups = [group for group in groups if group]
        self._group_shares = [sum((by_input[i] for i in group), Fraction(0)) for group in self._groups]
        self._within = [
            [by_input[i] / total for i in group] for group, total in zip(self._groups, self._group_shares, strict=True)
        ]

    def _place(self, number: int) -> tuple[int, int]:
        """Return the input that a sequence number falls to, and how many sequences it gave before."""
        group, rest = choose(self._group_shares, number)
        member, ordinal = choose(self._within[group], rest)
        return self._groups[group][member], ordinal

    @property
    def original_share(self) -> float:
        """Return p, the share of all sequences that are of the original role."""
        originals = [source.role == "original" for source in self.inputs]
        return float(sum((share for share, original in zip(self._by_input, originals, strict=True) if original), 0))

    def originals(self, step: int) -> int:
        """Tell how many sequences of a step's global batch are of the original role."""
        first = step * self.batch_size
        places = (self._place(number)[0] for number in range(first, first + self.batch_size))
        return sum(self.inputs[index].role == "original" for index in places)

    def sequence(self, number: int) -> tuple[int, np.ndarray[Any, Any]]:
        """Return the input that a sequence number falls to, and its tokens (sequence_length + 1,).

        A model that needs to see an opening token sees one at the begin of every sequence, as in evaluation: it takes
        the place of the first token, which is never a target.
        """
        index, ordinal = self._place(number)
        source = self.inputs[index].stream
        stream = source.stream
        windows = (len(stream) - 1) // self.sequence_length
        epoch, position = divmod(ordinal, windows)
        slack = len(stream) - 1 - windows * self.sequence_length
        shift, order = _epoch_order(self.seed, index, epoch, windows, slack)
        start = shift + int(order[position]) * self.sequence_length
        tokens = stream[start : start + self.sequence_length + 1]
        if source.opening_token is None:
            return index, tokens
        # Where a document opens with the first target, the sequence begins with it, not with two opening tokens.
        if tokens[1] == source.opening_token and start + len(tokens) < len(stream):
            tokens = stream[start + 1 : start + 1 + len(tokens)]
        return index, np.concatenate([[source.opening_token], tokens[1:]])

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> tuple[Tensor, Tensor]:
        """Return rows rank::ranks of a step: tokens (rows, sequence_length + 1), and which rows are original
        (rows,).
        """
        first = step * self.batch_size
        rows = [self.sequence(number) for number in range(first, first + self.batch_size)[rank::ranks]]
        tokens = torch.from_numpy(np.stack([tokens.astype(np.int64) for _, tokens in rows]))
        return tokens, torch.tensor([self.inputs[index].role == "original" for index, _ in rows])


@lru_cache(maxsize=16)
def _epoch_order(seed: int, index: int, epoch: int, windows: int, slack: int) -> tuple[int, np.ndarray[Any, Any]]:
    """Return where an epoch's windows begin, and the order in which they come."""
    random = np.random.default_rng([seed, index, epoch])
    return int(random.integers(slack + 1)), random.permutation(windows)


# Several documents in one training sequence that do not see each other (intra-document causal masking, as in Llama 3,
# https://arxiv.org/abs/2407.21783, section 3.2).
#
# Positions begin anew with each document, and that is all: from them, the models of transformers make the mask
# themselves, block-diagonal for SDPA and eager attention, lengths of documents for flash attention. Architectures that
# take no positions (ALiBi) or carry a state from token to token do not; they are tried before training and refused.


PROBE = 6  # tokens of each of the two documents that show whether the mask holds
SAME_SHAPE = 1e-6  # of the largest logit: what is masked has a weight of exactly zero
OTHER_SHAPE = 1e-3  # rounding of other kernels; a wrong position moves logits by far more


def document_positions(tokens: Tensor, end_of_text: int) -> Tensor:
    """Return for tokens (B, T) the position of each token within its document, counted from 0 at the sequence's begin
    (B, T).
    """
    index = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    begins = torch.zeros_like(tokens, dtype=torch.bool)
    begins[:, 1:] = tokens[:, :-1] == end_of_text
    return index - torch.where(begins, index, 0).cummax(dim=1).values


@torch.no_grad()
def require_document_mask(model: Any) -> None:
    """Raise ModelError where a document's logits depend on the document before it in its sequence."""
    rows = model.get_input_embeddings().weight.shape[0]
    first, other, last = torch.arange(3 * PROBE, device=model.device).remainder(rows).view(3, 1, PROBE)
    positions = torch.arange(PROBE, device=model.device).repeat(2).unsqueeze(0)
    training = model.training
    model.eval()
    try:
        packed, disturbed = (
            model(input_ids=torch.cat([before, last], 1), position_ids=positions, use_cache=False).logits[:, PROBE:]
            for before in (first, other)
        )
        alone = model(input_ids=last, use_cache=False).logits
    except TypeError:  # position_ids is no argument of it
        packed = disturbed = alone = None
    finally:
        model.train(training)
    if packed is not None:
        size = float(alone.abs().max())
        leak = float((packed - disturbed).abs().max())
        if leak <= SAME_SHAPE * size and float((packed - alone).abs().max()) <= OTHER_SHAPE * size:
            return
    kind = getattr(model.config, "model_type", type(model).__name__)
    raise ModelError(
        f"document_mask: the model ({kind}) does not keep documents of one sequence apart by their positions; leave "
        "document_mask out, or take another base."
    )
