"""Log-likelihoods of continuations after their contexts, in batches of like length, what they share computed once.

Text becomes tokens as in lm-evaluation-harness: context and continuation are encoded together and cut behind the
context's own tokens, spaces at the end of a context go to the continuation, an empty context is the begin-of-text token
(else end-of-text), and what is longer than the model's context loses its beginning. What a tokenizer appends to a text
of its own accord (T5's end-of-text token) is neither in the context nor scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nr_core.base.head import Head, ToLogits
from nr_core.base.load_base import chooses_tokens, context_length, named
from nr_core.base.precision import FP32, Choice
from nr_core.errors import ModelError
from nr_core.evaluation.tasks.ratio import Scored
from nr_core.evaluation.tasks.token_tree import Tree, batches_of, trees_of
from nr_core.tokenization.tokenizer import closing_tokens

ENCODE_BATCH = 4096
AGREEMENT = 1e-3  # nats a token: by more no tree may differ from plain sequences, and no batch from its rows alone
ROUNDED_AGREEMENT = 0.05  # nats a token, in mean: in bf16, or with weights in few bits, each shape rounds another way
TRIED_TOKENS = 8  # of a sequence, whose predictions are compared
Pair = tuple[str, str]


class Scorer:
    """A model and its tokenizer. batch_tokens: tokens a forward pass, padding included."""

    def __init__(self, model: Any, tokenizer: Any, batch_tokens: int = 4096, precision: Choice = FP32) -> None:
        self.model, self.tokenizer, self.batch_tokens = model.eval(), tokenizer, batch_tokens
        self.device = next(model.parameters()).device
        core = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._head = Head(model, precision)
        self._config = core.config
        self._longest = context_length(core.config)
        self._reach = attention_reach(core.config)
        self._closing = closing_tokens(tokenizer) if callable(tokenizer) else 0
        self._sharing = False if mixes_beyond_masks(core) else None  # None: unknown until the first batch
        self._tried = 0  # tokens of the longest sequence that it was tried on
        self._batching, self._tried_beside = True, 0  # the same of sequences side by side
        exact = precision.precision == "fp32" and all(p.dtype == torch.float32 for p in model.parameters())
        self._agreement_beside = AGREEMENT if exact else ROUNDED_AGREEMENT

    @torch.inference_mode()
    def score(
        self,
        pairs: Sequence[Pair],
        expect: Callable[[int], None] = lambda tokens: None,
        advance: Callable[[int], None] = lambda tokens: None,
    ) -> list[Scored]:
        """Return the score of each pair. expect(tokens) is called once, with all that the model will read, padding
        included, and advance(tokens) after each batch, with those of the batch.

        Raises ModelError where the model has no row for a token, no context for a continuation, or where what it puts
        out is not finite.
        """
        sequences, begins = self.encode(pairs)
        self._refuse_unknown_tokens(sequences)
        inputs = [sequence[:-1] for sequence in sequences]
        found: dict[int, Scored] = {}
        batches = list(self._batches(inputs))
        costs = [len(batch) * len(batch[0].tokens) for batch in batches]
        expect(sum(costs))
        for batch, cost in zip(batches, costs, strict=True):
            found.update(self._score_batch(batch, sequences, begins))
            advance(cost)
        return [found[i] for i in range(len(pairs))]

    def encode(self, pairs: Sequence[Pair]) -> tuple[list[list[int]], list[int]]:
        """Return the tokens of each pair, and at which of them its continuation begins."""
        moved = [_with_spaces_moved(context, continuation) for context, continuation in pairs]
        contexts = sorted({context for context, _ in moved if context})
        lengths = {text: len(ids) for text, ids in zip(contexts, self._tokens(contexts), strict=True)}
        whole = iter(self._tokens([context + text for context, text in moved if context]))
        alone = iter(self._tokens([text for context, text in moved if not context], add_special_tokens=False))
        opening = self.tokenizer.bos_token_id
        opening = self.tokenizer.eos_token_id if opening is None else opening
        sequences, begins = [], []
        for context, text in moved:
            if context:
                ids, begin = next(whole), lengths[context]
            else:
                ids, begin = next(alone), 1
                ids = ids if ids[:1] == [opening] else [opening, *ids]
            if begin >= len(ids):
                if not text.strip():
                    raise ModelError("A task asks for an answer without text, which any model finds certain; give one.")
                # Context and continuation have no more tokens together than the context alone: both are in the last.
                ids = ids if len(ids) > 1 else [opening, *ids]
                begin = len(ids) - 1
            if self._longest and len(ids) - begin > self._longest:
                raise ModelError(
                    f"A task's answer has {len(ids) - begin} tokens, more than the context of {self._longest} that "
                    f"{named(self.model)} was made for; take another task, or a base with a longer context."
                )
            cut = max(0, len(ids) - 1 - self._longest) if self._longest else 0
            sequences.append(ids[cut:])
            begins.append(max(1, begin - cut))
        return sequences, begins

    def _tokens(self, texts: list[str], **options: Any) -> list[list[int]]:
        encoded: list[list[int]] = []
        for first in range(0, len(texts), ENCODE_BATCH):
            encoded += self.tokenizer(texts[first : first + ENCODE_BATCH], **options)["input_ids"]
        if self._closing and options.get("add_special_tokens", True):
            return [ids[: -self._closing] for ids in encoded]
        return encoded

    def _refuse_unknown_tokens(self, sequences: Sequence[list[int]]) -> None:
        largest = max((max(sequence) for sequence in sequences), default=-1)
        rows = self.model.get_input_embeddings().weight.shape[0]
        if largest >= rows:
            raise ModelError(
                f"A task's text holds the token {largest}, and {named(self.model)} has rows for {rows}, counted from "
                "0; its tokenizer is that of another model."
            )

    def _batches(self, inputs: Sequence[list[int]]) -> Iterator[list[Tree]]:
        if not self.stands_company(inputs):
            return batches_of(trees_of(inputs, sharing=False), batch_tokens=0)
        return batches_of(trees_of(inputs, self.shares(inputs), self._reach), self.batch_tokens)

    def stands_company(self, inputs: Sequence[list[int]]) -> bool:
        """Tell whether a sequence scores the same alone and beside a longer one, to whose length it is padded: tried on
        the longest and the shortest, again when longer ones come.

        """
        if chooses_tokens(self._config, max(map(len, inputs), default=0)):
            return False  # without a trial: it shows at some places only
        beside = sorted((tokens for tokens in inputs if 2 * len(tokens) <= self.batch_tokens), key=len)
        if self._batching and len(beside) > 1 and len(beside[-1]) > self._tried_beside:
            self._tried_beside = len(beside[-1])
            rows = [_plain(beside[-1]), _plain(beside[0])]
            for row, tree in enumerate(rows):
                last = len(tree.tokens) - 1
                nodes = sorted({last * part // TRIED_TOKENS for part in range(1, TRIED_TOKENS + 1)})
                gaps = _gaps(self._logits(rows, nodes, row), self._logits([tree], nodes))
                self._batching &= bool(gaps.mean() < self._agreement_beside)
        return self._batching

    def shares(self, inputs: Sequence[list[int]]) -> bool:
        """Tell whether the model may be given trees: tried on the longest sequences that part, against plain ones.

        Tried again when longer ones come: a mask of the model's own may only show beyond some length.
        """
        if self._sharing is not False:
            branching = [tree for tree in trees_of(inputs, reach=self._reach) if tree.branches]
            tree = max(branching, key=lambda tree: max(tree.depths), default=None)
            if tree is None:
                return False
            longest = max(tree.depths) + 1
            if self._sharing and longest <= self._tried:
                return True
            self._tried = longest
            numbers = sorted(tree.paths, key=lambda i: -len(tree.paths[i]))[:4]
            last = [tree.paths[i][-1] for i in numbers]
            try:
                together = self._logits([tree], last)
            except (RuntimeError, ValueError, TypeError, IndexError):  # such a mask is not for this architecture
                self._sharing = False
                return False
            apart = [self._logits([_plain(inputs[i])], [len(inputs[i]) - 1]) for i in numbers]
            self._sharing = bool(_gaps(together, torch.cat(apart)).max() < AGREEMENT)
        return bool(self._sharing)

    def _logits(self, batch: Sequence[Tree], nodes: list[int], row: int = 0) -> Tensor:
        """Return the logits (nodes, vocabulary) behind some nodes of a tree of the batch, in float32."""
        states, to_logits = self._states(batch)
        return to_logits(states[row, nodes]).float()

    def _states(self, batch: Sequence[Tree]) -> tuple[Tensor, ToLogits]:
        """Return the last hidden states (rows, nodes, d), and what makes logits of them."""
        size = len(batch[0].tokens)
        tokens = np.zeros((len(batch), size), dtype=np.int64)
        depths = np.zeros_like(tokens)
        for row, tree in enumerate(batch):
            tokens[row, : len(tree.tokens)] = tree.tokens
            depths[row, : len(tree.depths)] = tree.depths
        options: dict[str, Any] = {}
        if any(tree.branches for tree in batch):
            seen = torch.from_numpy(np.stack([tree.ancestors(size) for tree in batch]))[:, None].to(self.device)
            dtype = next(self.model.parameters()).dtype
            mask = torch.zeros(seen.shape, dtype=dtype, device=self.device).masked_fill(~seen, torch.finfo(dtype).min)
            options = {"attention_mask": mask, "position_ids": torch.from_numpy(depths).to(self.device)}
        # Without branches rows are padded on the right, and a causal model needs no mask.
        return self._head.hidden(torch.from_numpy(tokens).to(self.device), **options)

    def _normalised(
        self, batch: Sequence[Tree], places: Tensor, where: Tensor, wanted: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the log-probability of each asked token, and whether it is the likeliest.

        places: the nodes that are asked of, counted over all rows; where (asked,): which of them; wanted (asked,).
        """
        states, to_logits = self._states(batch)
        values, likeliest = torch.empty(len(wanted), device=self.device), torch.empty_like(wanted)
        for part, piece in self._head.pieces(states.flatten(0, 1)[places]):
            logits = to_logits(part).float()
            here = (where >= piece.start) & (where < piece.stop)
            row = where[here] - piece.start
            values[here] = logits[row, wanted[here]] - logits.logsumexp(-1)[row]
            likeliest[here] = logits.argmax(-1)[row]
        return values, likeliest == wanted

    def _score_batch(
        self, batch: Sequence[Tree], sequences: Sequence[list[int]], begins: Sequence[int]
    ) -> dict[int, Scored]:
        asked = [
            (row, number, path[position - 1], sequences[number][position])
            for row, tree in enumerate(batch)
            for number, path in tree.paths.items()
            for position in range(begins[number], len(sequences[number]))
        ]
        rows, numbers, nodes, targets = (list(column) for column in zip(*asked, strict=True)) if asked else [[]] * 4
        # Several continuations may be predicted at one node: each node's distribution is normalised once.
        of_rows = torch.tensor(rows, dtype=torch.long, device=self.device) * len(batch[0].tokens)
        places, where = torch.unique(
            of_rows + torch.tensor(nodes, dtype=torch.long, device=self.device), return_inverse=True
        )
        wanted = torch.tensor(targets, dtype=torch.long, device=self.device)
        found, best = self._normalised(batch, places, where, wanted)
        values, likeliest = found.double().cpu().numpy(), best.cpu().numpy()
        if not np.isfinite(values).all():
            raise ModelError(
                f"The task has no figures: {named(self.model)} puts out numbers that are not finite (NaN or infinite), "
                "since its weights are damaged or its activations overflow; give another model."
            )
        sums: dict[int, list[float]] = {number: [] for tree in batch for number in tree.paths}
        greedy = dict.fromkeys(sums, True)
        for number, value, is_best in zip(numbers, values, likeliest, strict=True):
            sums[number].append(float(value))
            greedy[number] &= bool(is_best)
        return {number: Scored(sum(parts), greedy[number], len(parts)) for number, parts in sums.items()}


def _plain(sequence: Sequence[int]) -> Tree:
    tree = Tree()
    tree.add(0, sequence, [])
    return tree


def _gaps(logits: Tensor, expected: Tensor) -> Tensor:
    """Return by how many nats predictions differ, as the model expects it: (nodes, vocabulary) twice -> (nodes,)."""
    gap = (logits.log_softmax(-1) - expected.log_softmax(-1)).abs()
    return (gap * expected.softmax(-1)).sum(-1)


def mixes_beyond_masks(model: Any) -> bool:
    """Tell whether layers mix tokens that no mask of attention keeps apart: convolutions and recurrences (Jamba, Falcon
    H1, LFM2, MiniMax). How much of it is seen in a trial depends on the weights."""
    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
    other = any("linear" in kind or not kind.endswith("attention") for kind in map(str, kinds))
    return other or any(isinstance(module, torch.nn.Conv1d) for module in model.modules())


def attention_reach(config: Any) -> int | None:
    """Tell how far back the layer that sees least can see, where a config bounds that; None where it does not.

    Names of transformers 5.23: sliding_window (Gemma, Mistral, Phi, Qwen), attention_chunk_size (Llama 4), window_size
    (GPT-Neo), attention_window_size (RecurrentGemma). It counts also where no layer uses it: long trees are then not
    used, though they would hold.
    """
    config = config.get_text_config()
    names = ("sliding_window", "attention_chunk_size", "window_size", "attention_window_size")
    return min(
        (size for name in names if isinstance(size := getattr(config, name, None), int) and size > 0), default=None
    )


def _with_spaces_moved(context: str, continuation: str) -> Pair:
    bare = context.rstrip()
    return (bare, context[len(bare) :] + continuation) if context else ("", continuation)
