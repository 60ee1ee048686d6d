"""The local loss in other trainers: a mixin for transformers' Trainer and TRL's SFTTrainer (docs/library.md).

    class Trainer(LocalLossMixin, transformers.Trainer): ...
    Trainer(model, args, train_dataset=rows, alpha=0.01)

Each row of the data has a column `original`: True where its text is of what the base knows. The numbers are those of
nr_core/training/loss.py: next tokens over the target tokens of a whole step, residues over the original tokens that a
step holds in the mean, so that neither accumulation nor the number of processes nor what is no target (a prompt)
changes what alpha means.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from nr_core.errors import ModelError
from nr_core.settings import LocalLoss
from nr_core.training.loss import local_loss
from nr_core.tuner.layer import find_taps

COLUMN = "original"
LABELS = {"labels", "shift_labels"}  # by which a Trainer counts targets
Example = dict[str, Any]


def marked(examples: list[Example], batch: dict[str, Any]) -> Tensor:
    """Return which tokens of a collated batch are of the original language, as its input_ids: (B, T), or (1, sum of T)
    where a collator puts the rows one behind the other. Padding is of none.

    Raises ModelError where a row does not say what it is, or rows were packed, which mixes both.
    """
    if any(COLUMN not in example for example in examples):
        raise ModelError(
            f"A row has no column `{COLUMN}` (true: text of what the base knows, false: of the new language); add it, "
            "and turn packing off, which drops it."
        )
    ids = batch["input_ids"]
    rows = torch.tensor([bool(example[COLUMN]) for example in examples])
    if len(ids) == len(examples):
        own = torch.ones_like(ids) if batch.get("attention_mask") is None else batch["attention_mask"]
        return rows.unsqueeze(1) & own.bool()
    tokens = rows.repeat_interleave(torch.tensor([len(example["input_ids"]) for example in examples]))
    if len(ids) != 1 or tokens.numel() > ids.shape[1]:
        raise ModelError(
            f"The collator made {tuple(ids.shape)} of {len(examples)} rows, and their roles cannot be told any more; "
            "give one that pads, or flattens them in order."
        )
    padding = torch.zeros(ids.shape[1] - tokens.numel(), dtype=torch.bool)
    return torch.cat([tokens, padding]).unsqueeze(0)


class LocalLossMixin:
    """Adds alpha · local loss to what a Trainer minimises; put it before the Trainer's class.

    alpha: weight of the local loss (paper: .01). original_share: p, the share of the rows that are of the original
    language; None: counted in the train_dataset. local_loss: as in `local_loss`. Raises ModelError where the model has
    no gated adapter, or the data no row of the original language.
    """

    def __init__(
        self,
        *args: Any,
        alpha: float = 0.01,
        original_share: float | None = None,
        local_loss: LocalLoss = "l1",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        trainer: Any = self
        if find_taps(trainer.model) is None:
            raise ModelError("The model has no gated adapter; get_peft_model(base, NeutralResiduesConfig()) makes one.")
        self.alpha, self.local_loss = alpha, local_loss
        self.original_share = _counted(trainer.train_dataset) if original_share is None else original_share
        if not 0 < self.original_share < 1:
            raise ModelError(
                f"original_share is {self.original_share:g}: give rows of both kinds, by the column `{COLUMN}`, "
                "or say what share of them is of the original language."
            )
        trainer.data_collator = _with_marks(trainer.data_collator)

    def _set_signature_columns_if_needed(self) -> None:
        """Keep the column: a Trainer drops what the model's forward does not name."""
        super()._set_signature_columns_if_needed()  # type: ignore[misc]
        if COLUMN not in self._signature_columns:
            self._signature_columns: list[str] = [*self._signature_columns, COLUMN]

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[dict[str, Any]], Any]:
        """Count a step's tokens beside its targets: of answers alone, say, the prompts are no targets, but weigh."""
        batches, num_items = super().get_batch_samples(*args, **kwargs)  # type: ignore[misc]
        if num_items is not None:
            device = args[2] if len(args) > 2 else kwargs["device"]
            every = [dict.fromkeys(batch.keys() & LABELS, _all_targets(batch)) for batch in batches]
            self._step_tokens = self._get_num_items_in_batch(every, device)  # type: ignore[attr-defined]
        return batches, num_items

    _step_tokens: Tensor | int | None = None

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        inputs = dict(inputs)
        original = inputs.pop(COLUMN, None)
        taps = find_taps(model) if original is not None and model.training else None
        # The loss is taken inside; backward() may come after, and recompute what was measured (activation_taps).
        with taps.collect() if taps is not None else nullcontext():
            found = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[misc]
            if taps is None or original is None:
                return found
            loss, *outputs = found if return_outputs else (found,)
            loss = loss + self.alpha * self._local_loss(taps, original, inputs, num_items_in_batch)
        return (loss, *outputs) if return_outputs else loss

    def _local_loss(
        self, taps: Any, original: Tensor, inputs: dict[str, Any], num_items: Tensor | int | None
    ) -> Tensor:
        trainer: Any = self
        scaled = num_items is not None and (trainer.model_accepts_loss_kwargs or trainer.compute_loss_func)
        if scaled:  # over the whole step: all accumulated batches of all processes, whose gradients are averaged
            counted = num_items if self._step_tokens is None else self._step_tokens
            tokens = float(torch.as_tensor(counted).float().mean())
            processes = trainer.accelerator.num_processes if trainer.args.average_tokens_across_devices else 1
        else:  # over this batch: the Trainer divides by how many it accumulates
            mask = inputs.get("attention_mask")
            tokens, processes = float(original.numel() if mask is None else mask.sum()), 1
        mark, expected = original.flatten(), self.original_share * tokens
        return local_loss(taps, mark, expected, self.local_loss, max(1, round(tokens))) * processes


def _with_marks(collate: Callable[[list[Example]], dict[str, Any]]) -> Callable[[list[Example]], dict[str, Any]]:
    def with_marks(examples: list[Example]) -> dict[str, Any]:
        batch = collate([{name: value for name, value in row.items() if name != COLUMN} for row in examples])
        return {**batch, COLUMN: marked(examples, batch)}

    return with_marks


def _all_targets(batch: dict[str, Any]) -> Tensor:
    """Return labels by which every token of a batch is a target: but padding, and the first of each row where they
    stand one behind the other.
    """
    ids = batch["input_ids"]
    none = torch.zeros_like(ids, dtype=torch.bool)
    if batch.get("attention_mask") is not None and batch["attention_mask"].shape == ids.shape:
        none |= ~batch["attention_mask"].bool()
    if batch.get("position_ids") is not None:
        none |= batch["position_ids"] == 0
    return torch.zeros_like(ids).masked_fill(none, -100)


def _counted(rows: Any) -> float:
    try:
        column = rows[COLUMN]
        return sum(map(bool, column)) / len(column)
    except (KeyError, TypeError, IndexError, ValueError, ZeroDivisionError):
        raise ModelError(
            f"The train_dataset has no column `{COLUMN}` that can be counted; add it, or give original_share."
        ) from None
