"""A base's vocabulary cut down to what a training needs, for `base.vocabulary: trimmed`.

With 262,144 entries most of a small model's step is its output head. A trimmed training holds the rows of the tokens
that its inputs use, and of bytes, special tokens and the chat template's; its softmax is over these. Their logits are
those of the whole base, to the last bit where the kernels sum alike.

Only the training process knows: it calls a token by its place among the kept ones, and its streams are renumbered as
they are opened. Methods are put on the whole base before it is trimmed, so what they save names tokens by the
tokenizer's own ids; a model that is saved whole gets the rows that took no part from the base again.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft.tuners.trainable_tokens import TrainableTokensLayer
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn

from nr_core.base.load_base import load_base, named
from nr_core.errors import ModelError
from nr_core.generation.generate import chat_prompt
from nr_core.settings import BaseSpec
from nr_core.tokenization.tokenizer import TokenStream
from nr_core.tuner.embedding import Rows

BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # what SentencePiece calls them
PROBE = 8  # tokens of the forward pass that shows whether the trimmed model says what the whole one does
SAME = 1e-4  # of the largest logit: matrix products of other sizes sum in another order
AT_ONCE = 1 << 24  # tokens of a stream


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that are kept, in order: (k,) ids. place (rows of the base,): of each id, -1 where it is not kept."""

    tokens: np.ndarray[Any, Any]
    place: np.ndarray[Any, Any]
    tokenizer: Any

    @classmethod
    def of(cls, streams: Sequence[TokenStream], tokenizer: Any, model: nn.Module, rows: int) -> Vocabulary:
        """Return what some streams use, what no text may lack, and the tokens that a method on the model names.

        rows: of the whole base's embedding.
        """
        kept = np.zeros(rows, dtype=bool)
        for stream in streams:
            kept[np.flatnonzero(stream.used())] = True
            kept[[stream.context_token, stream.end_of_text_token]] = True
        for extended in _rows(model):
            kept[extended.index.cpu().numpy()] = True
        for indices in _indices(model):
            kept[[token for trained in indices.values() for token in trained]] = True
        kept[[token for token in _always(tokenizer) if token < rows]] = True  # it may know more than its model
        tokens = np.flatnonzero(kept)
        place = np.full(rows, -1, dtype=np.int64)
        place[tokens] = np.arange(len(tokens))
        return cls(tokens, place, tokenizer)

    @property
    def says(self) -> str:
        return f"{len(self.tokens):,} of the {len(self.place):,} tokens of the vocabulary"

    def renumber(self, stream: TokenStream, folder: Path) -> TokenStream:
        """Return the stream with each token called by its place, in a file without a name in the folder: it goes with
        the process. Raises ModelError where the text needs a token that is not kept."""
        dtype = np.uint16 if len(self.tokens) <= 1 << 16 else np.uint32
        with tempfile.TemporaryFile(dir=folder) as file:
            renumbered = np.memmap(file, dtype=dtype, mode="w+", shape=(len(stream),))
        for start in range(0, len(stream), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            places = self.place[stream.stream[part]]
            if (places < 0).any():
                self._refuse(stream, start + int(np.flatnonzero(places < 0)[0]))
            renumbered[part] = places
        opening = stream.opening_token
        return replace(
            stream,
            stream=renumbered,
            vocabulary_size=len(self.tokens),
            opening_token=None if opening is None else int(self.place[opening]),
            end_of_text_token=int(self.place[stream.end_of_text_token]),
            context_token=int(self.place[stream.context_token]),
        )

    def _refuse(self, stream: TokenStream, at: int) -> None:
        token = int(stream.stream[at])
        document = int(np.searchsorted(stream.offsets, at, side="right")) - 1
        raise ModelError(
            f"{stream.folder} needs the token {token} ({self.tokenizer.convert_ids_to_tokens(token)!r}, the "
            f"{at - int(stream.offsets[document]) + 1}th of its document {document}), which is not among the "
            f"{len(self.tokens)} of the trimmed vocabulary; use base.vocabulary: full."
        )

    @torch.no_grad()
    def trim(self, model: Any, tables: Sequence[nn.Module]) -> None:
        """Leave the kept rows in a model's tables, in place. tables: tables_of its base, taken before a method wrapped
        them.

        Raises ModelError where the model then says something else: it looks tokens up in a further table.
        """
        tokens = torch.from_numpy(self.tokens).to(next(model.parameters()).device)
        probe = torch.linspace(0, len(tokens) - 1, PROBE, device=tokens.device).long()
        before = _logits(model, tokens[probe]).index_select(-1, tokens)
        cut: dict[int, nn.Parameter] = {}  # by what it was: a tied head shares the embedding's
        for table in tables:
            for part in _parts(table):
                whole = getattr(table, part)
                if id(whole) not in cut:
                    cut[id(whole)] = nn.Parameter(whole[tokens], requires_grad=whole.requires_grad)
                setattr(table, part, cut[id(whole)])
            if isinstance(table, nn.Embedding):
                table.num_embeddings = len(tokens)
                padding = -1 if table.padding_idx is None else int(self.place[table.padding_idx])
                table.padding_idx = None if padding < 0 else padding
            else:
                table.out_features = len(tokens)  # type: ignore[assignment]
        for rows in _rows(model):
            rows.name_tokens(self.place[rows.index.cpu().numpy()].tolist(), len(tokens))
        for indices in _indices(model):
            indices.update({name: self.place[named].tolist() for name, named in indices.items()})
        after = _logits(model, probe)
        scale = max(SAME, 4 * torch.finfo(before.dtype).eps) * float(before.abs().max())
        if after.shape != before.shape or float((after - before).abs().max()) > scale:
            raise ModelError(
                f"base.vocabulary: {named(model)} looks its tokens up in more tables than its embedding and its output "
                "head, so it cannot be trimmed; leave base.vocabulary out."
            )

    def trim_copies(self, copies: dict[str, Tensor], base: nn.Module) -> None:
        """Leave the kept rows in copies of a base's weights, by their names, in place."""
        for name in _names(base).intersection(copies):
            copies[name] = copies[name][torch.from_numpy(self.tokens).to(copies[name].device)]

    @torch.no_grad()
    def widen(self, weights: dict[str, Tensor], spec: BaseSpec) -> None:
        """Put the rows of a model's trained tables among those of the whole base, in place."""
        base = load_base(spec)
        for name in _names(base).intersection(weights):
            rows = weights[name]
            weights[name] = base.get_parameter(name).to(rows, copy=True)
            weights[name][torch.from_numpy(self.tokens).to(rows.device)] = rows


def tables_of(base: Any) -> list[nn.Module]:
    """Return what a base looks tokens up in and scores them with; a tied pair are two modules of one weight."""
    return [table for table in (base.get_input_embeddings(), base.get_output_embeddings()) if table is not None]


def _parts(table: nn.Module) -> list[str]:
    return [name for name, _ in table.named_parameters(recurse=False)]


def _names(base: nn.Module) -> set[str]:
    """Return the names of the parameters of its tables."""
    tables = tables_of(base)
    named_tables = [(name, module) for name, module in base.named_modules() if any(module is one for one in tables)]
    return {f"{name}.{part}" for name, table in named_tables for part in _parts(table)}


def _rows(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, Rows)]


def _indices(model: nn.Module) -> list[dict[str, list[int]]]:
    """Return the rows that PEFT trains, by adapter; a tied head shares the embedding's."""
    found = [module.token_indices for module in model.modules() if isinstance(module, TrainableTokensLayer)]
    return list({id(indices): indices for indices in found}.values())


def _always(tokenizer: Any) -> Iterator[int]:
    """Yield special tokens by their roles, bytes (by SentencePiece's names or byte-level BPE's letters), and what the
    chat template writes.
    """
    yield from tokenizer.all_special_ids
    letters = set(ByteLevel.alphabet())
    yield from (number for token, number in tokenizer.get_vocab().items() if token in letters or BYTE.fullmatch(token))
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "a"}]
    with suppress(ModelError):  # a template that takes no such conversation writes none
        yield from tokenizer(chat_prompt(tokenizer, turns))["input_ids"]


def _logits(model: Any, tokens: Tensor) -> Tensor:
    training = model.training
    model.eval()
    logits: Tensor = model(input_ids=tokens[None], use_cache=False).logits
    model.train(training)
    return logits
