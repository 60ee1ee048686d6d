"""A base under its method, ready to be put on devices: inputs, base, method, vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from nr_core.base.load_base import check_vocabulary, load_base, window_length
from nr_core.methods.extend import Extension, extend
from nr_core.methods.kl_to_base import copy_of_base
from nr_core.methods.weight_rules import base_weights
from nr_core.progress import Progress
from nr_core.runs.build_on_earlier import (
    adapter_folders,
    check_run,
    saved_new_rows,
    start_from,
)
from nr_core.settings import TrainingSettings
from nr_core.settings.method_table import METHODS
from nr_core.specs import TrainSpec
from nr_core.tokenization.tokenizer import TokenStream, load_tokenizer
from nr_core.training.batches import Input
from nr_core.training.trimmed_vocabulary import Vocabulary, tables_of
from nr_core.tuner.embedding import unused_tokens, used_tokens


@dataclass
class Extended:
    """A base under its method, before it is put on devices, with what is kept of the base beside it."""

    extension: Extension
    inputs: list[Input]
    training: TrainingSettings  # settled: with the window that the base allows
    base: Any
    tables: list[Any]  # of the base's embeddings, as they were
    earlier: list[Path]
    frozen: Any | None  # a copy of a base that is itself trained, for kl_to_base
    started_at: dict[str, torch.Tensor]
    vocabulary: Vocabulary | None = None

    @property
    def model(self) -> Any:
        return self.extension.model

    @property
    def length(self) -> int:
        """Return the tokens of a sequence."""
        assert self.training.sequence_length is not None
        return self.training.sequence_length


def extend_base(spec: TrainSpec) -> Extended:
    """Load inputs and base, and put the method on it, with the weights of the run that it goes on from."""
    inputs = [Input(TokenStream.open(source.tokens), source.share, source.role) for source in spec.inputs]
    base = load_base(spec.base, torch.device("cpu"))  # its file's pages, until it is known who holds what
    training = _settled(spec, window_length(base, spec.training.sequence_length, "training"))
    for source in inputs:
        check_vocabulary(base, source.stream.vocabulary_size, source.stream.folder)
    torch.manual_seed(spec.seed)
    tables, earlier = tables_of(base), _earlier(spec)
    frozen = copy_of_base(base) if spec.method.kl_to_base and METHODS[spec.method.method].trains_base else None
    extension = extend(base, spec.method, _new_rows(spec, inputs), earlier)
    started_at = base_weights(extension.model, spec.method)
    if spec.start_from is not None:
        start_from(extension.model, spec.start_from, spec.base.trust_remote_code)
    return Extended(extension, inputs, training, base, tables, earlier, frozen, started_at)


def _settled(spec: TrainSpec, length: int) -> TrainingSettings:
    """Fill in what depends on base and method: the window, and no decay towards zero beside one towards the base."""
    settled: dict[str, Any] = {"sequence_length": length}
    if spec.method.l2_to_base is not None:
        settled["weight_decay"] = 0.0
    return spec.training.model_copy(update=settled)


def _new_rows(spec: TrainSpec, inputs: list[Input]) -> list[int] | None:
    """Return the tokens whose rows of the embedding are extended, where the method does that."""
    if spec.method.embeddings not in ("new_rows", "gated_rows"):
        return None
    if spec.start_from is not None:
        return saved_new_rows(spec.start_from)
    return unused_tokens(inputs) if spec.method.embeddings == "new_rows" else used_tokens(inputs)


def trim_vocabulary(extended: Extended, spec: TrainSpec, progress: Progress) -> None:
    """Leave in the model, and in what is kept of its base, the rows of the vocabulary that the inputs need."""
    streams = [source.stream for source in extended.inputs]
    rows = extended.tables[0].weight.shape[0]
    vocabulary = Vocabulary.of(streams, load_tokenizer(spec.base), extended.model, rows)
    vocabulary.trim(extended.model, extended.tables)
    if extended.frozen is not None:
        vocabulary.trim(extended.frozen, tables_of(extended.frozen))
    vocabulary.trim_copies(extended.started_at, extended.base)
    extended.inputs = [
        replace(source, stream=vocabulary.renumber(source.stream, spec.out)) for source in extended.inputs
    ]
    extended.vocabulary = vocabulary
    Progress.log(f"{progress.label}: trains on {vocabulary.says}")


def _earlier(spec: TrainSpec) -> list[Path]:
    """Return the adapters that stay active beside the new one. Raises ModelError where a run does not fit this one."""
    if spec.start_from is not None:
        check_run(spec.start_from, spec.base, spec.method)
        return adapter_folders(spec.start_from)[:-1]
    if spec.add_to is not None:
        check_run(spec.add_to, spec.base)
        return adapter_folders(spec.add_to)
    return []
