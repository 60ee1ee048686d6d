"""Head rows of new tokens that are silent on text of the old language from the start.

A row that is the mean of its pieces' has a logit that is the mean of theirs, so it takes probability where no new token
ever comes. All new rows get one more term in common: -u · h on their logits, h the last hidden state. With z the log
odds of the new tokens together, their probability is then σ(z - u · h), and the u that makes a text most likely is that
of a logistic regression of "the next token is a new one" on h, offset by z. It is fitted to text of both languages,
most of it by weight of the old one.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nr_core.base.head import Head, ToLogits
from nr_core.base.load_base import context_length, device, named
from nr_core.errors import ModelError

TOKENS = 1 << 15  # of each language: some 60 for each number of u at d = 576
WINDOW, ROWS = 128, 16
STRETCH = 2 * WINDOW  # of a document at most, from a random place: many documents are seen
# Of the weight: with .5, .9, .97 and .99 a base of 1.3 M parameters lost .0049, .0019, .0013 and .0006 bits per byte on
# novels, and gained .042, .034, .026 and .015 on the new language (the first with SHRINK 1e-4).
ORIGINAL_SHARE = 0.99
SHRINK = 1e-5  # of the mean square of h: where few tokens speak for a direction, u is small
STEPS = 200


@dataclass(frozen=True)
class Seen:
    """Last hidden states (n, d) of a text, log odds (n,) of all new tokens together, and whether one came (n,)."""

    hidden: Tensor
    odds: Tensor
    came: Tensor


def sample_windows(documents: Iterable[Sequence[int]], longest: int = WINDOW) -> Tensor:
    """Cut a text into windows (n, longest + 1) of TOKENS tokens in all, of documents that are drawn at random.

    Of a text with fewer tokens than one window there is one, shorter window.
    """
    drawn, draw = [], random.Random(0)
    for i, tokens in enumerate(documents):
        start = draw.randrange(max(1, len(tokens) - STRETCH))
        stretch = list(tokens[start : start + STRETCH])
        if i < TOKENS // STRETCH * 2:
            drawn.append(stretch)
        elif (place := draw.randrange(i + 1)) < len(drawn):
            drawn[place] = stretch
    draw.shuffle(drawn)
    flat = torch.tensor(list(islice((token for stretch in drawn for token in stretch), TOKENS)), dtype=torch.long)
    size = min(longest + 1, len(flat))
    return flat[: len(flat) // max(size, 1) * size].view(-1, size)


def window_of(model: Any) -> int:
    """Return how many tokens `silence` gives a model at once."""
    return min(WINDOW, context_length(model.config) or WINDOW)


def silence(model: Any, added: slice, new: Tensor, original: Tensor) -> None:
    """Lower the head's rows of the tokens `added` where a text is of the old language.

    new, original: windows of both languages (sample_windows). A head that shares the embedding's matrix gets one of its
    own: what is looked up stays the mean of the pieces. Raises ModelError where the model's output is not finite,
    or where its last hidden states are not known.
    """
    head, rows = Head(model.eval()), _own_head(model)
    with torch.no_grad():
        seen = [_seen(head, windows, added) for windows in (new, original)]
        if not all(found.isfinite().all() for one in seen for found in (one.hidden, one.odds)):
            raise ModelError(
                f"Tokens cannot be added: {named(model)} puts out numbers that are not finite (NaN or infinite), since "
                "its weights are damaged or its activations overflow; give another model."
            )
        if seen[0].hidden.shape[1] != rows.shape[1]:  # it gives its logits alone (nr_core.base.head)
            raise ModelError(
                f"Tokens cannot be added: {named(model)} does not tell its last hidden states from its logits; give a "
                "model whose code is transformers' own."
            )
        scale = _scale(head, new[:1])
    rows.data[added] -= (fitted(seen[0], seen[1]) / scale).to(rows)


def fitted(new: Seen, original: Seen) -> Tensor:
    """Return u (d,): by L-BFGS, since the loss is convex."""
    hidden, odds, came = (torch.cat(pair).double() for pair in zip(_parts(new), _parts(original), strict=True))
    shares = ((1 - ORIGINAL_SHARE, new), (ORIGINAL_SHARE, original))
    weights = torch.cat([torch.full_like(one.odds, share / len(one.odds)) for share, one in shares]).double()
    shrink = SHRINK * (hidden.square().mean(1) * weights).sum()
    u = torch.zeros(hidden.shape[1], dtype=torch.double, device=hidden.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([u], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        cost = F.binary_cross_entropy_with_logits(odds - hidden @ u, came, weight=weights, reduction="sum")
        cost = cost + shrink * u.square().sum() / 2
        cost.backward()
        return cost

    optimiser.step(loss)
    return u.detach()


def _parts(seen: Seen) -> Iterator[Tensor]:
    return iter((seen.hidden, seen.odds, seen.came))


def _seen(head: Head, windows: Tensor, added: slice) -> Seen:
    found: list[tuple[Tensor, Tensor]] = []

    def use(hidden: Tensor, to_logits: ToLogits) -> None:
        flat = hidden.flatten(0, 1)
        for states, _ in head.pieces(flat):
            logits = to_logits(states).float()
            known = torch.cat([logits[:, : added.start], logits[:, added.stop :]], -1)
            found.append((states.float(), logits[:, added].logsumexp(-1) - known.logsumexp(-1)))

    for batch in windows.to(device()).split(ROWS):
        head.run(use, batch[:, :-1])
    hidden, odds = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Seen(hidden, odds, (windows[:, 1:].flatten() >= added.start).to(odds))


def _own_head(model: Any) -> nn.Parameter:
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head.weight is embedding.weight:
        head.weight = nn.Parameter(embedding.weight.detach().clone(), requires_grad=False)
        for config in (model.config, model.config.get_text_config()):
            config.tie_word_embeddings = False
    weight: nn.Parameter = head.weight
    return weight


def _scale(head: Head, windows: Tensor) -> float:
    """Return what the model multiplies its head's products by (Granite, Cohere), 1 in most."""

    def use(hidden: Tensor, to_logits: ToLogits) -> float:
        states = hidden.flatten(0, 1)[:1]
        products = F.linear(states, head.model.get_output_embeddings().weight)
        return float((to_logits(states) * products).sum() / products.square().sum())

    return head.run(use, windows[:, :-1].to(device()))
