"""The training loop of a base and of its extension: batches, loss, guards, optimiser, checkpoints, rows of figures."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from nr_core import stopping
from nr_core.base.head import Head
from nr_core.errors import ModelError
from nr_core.files import writing
from nr_core.methods.kl_to_base import KLToBase
from nr_core.methods.weight_rules import WeightRule
from nr_core.models import named
from nr_core.progress import Progress
from nr_core.settings import LocalLoss, LoopSettings
from nr_core.training import checkpoints, cost
from nr_core.training.batches import Batches, document_positions, require_document_mask
from nr_core.training.checkpoints import LoopState
from nr_core.training.distributed import Ranks, whole
from nr_core.training.forgetting import ForgettingBudget
from nr_core.training.loss import lm_loss, local_loss, open_gates
from nr_core.training.optimiser import adamw, learning_rate, warmup_steps
from nr_core.tuner.taps import Taps

MOST_SKIPPED = 10  # steps that are not finite in a row: by then the weights are lost, and skipping hides it
# Tensors of adapters, of which every one must get a gradient. Block expansion and finetuning train others, and a batch
# may well hold none of the tokens whose rows are trained.
ADAPTER_TENSORS = ("neutral_residues_", "lora_")
ROWS_OF_TOKENS = ("neutral_residues_rows", "neutral_residues_head_rows", "neutral_residues_gated_")
ZERO_AT_FIRST = ("neutral_residues_out", "lora_B")  # while it is zero, the others of its adapter have no gradient

STEP_COLUMNS = pa.schema(
    [
        ("step", pa.int64()),
        ("tokens", pa.int64()),
        ("lm_loss", pa.float64()),
        ("local_loss", pa.float64()),
        ("kl_loss", pa.float64()),
        ("alpha", pa.float64()),
        ("learning_rate", pa.float64()),
        ("tokens_per_second", pa.float64()),
        ("mfu", pa.float64()),
        ("grad_norm", pa.float64()),
        ("open_rate_new", pa.float64()),
        ("open_rate_original", pa.float64()),
    ]
)


@dataclass
class StepFigures:
    """What one step came to, over all its micro-batches. Of each role: open gates per layer, and tokens."""

    lm_loss: float = 0.0
    local_loss: float = 0.0
    kl_loss: float = 0.0
    open_new: Tensor | None = None
    open_original: Tensor | None = None
    tokens_new: int = 0
    tokens_original: int = 0

    def gather(self, ranks: Ranks, device: torch.device) -> None:
        """Sum what each process saw of its rows: all then log and judge alike."""
        if ranks.count == 1:
            return
        losses = [self.lm_loss, self.local_loss, self.kl_loss]
        sums = ranks.sum(torch.tensor(losses, dtype=torch.float64, device=device))
        self.lm_loss, self.local_loss, self.kl_loss = sums.tolist()
        for opened in (self.open_new, self.open_original):
            if opened is not None and len(opened):
                ranks.sum(opened)


@dataclass
class Loop:
    """Everything a step needs. taps: of gated adapters, else None; alpha 0 trains on the LM loss alone.

    peak_tokens: the tokens a second at which all devices would compute at their peak, where that is known.
    """

    head: Head
    batches: Batches
    settings: LoopSettings
    peak_rate: float
    seed: int
    folder: Path
    progress: Progress
    taps: Taps | None = None
    local_loss: LocalLoss = "l1"
    alpha: float = 0.0
    kl: KLToBase | None = None
    dead_gate_share: float = 0.0
    forgetting: ForgettingBudget | None = None  # adapts alpha
    rules: Sequence[WeightRule] = ()
    ranks: Ranks = field(default_factory=Ranks)
    peak_tokens: float | None = None

    @property
    def model(self) -> Any:
        return self.head.model

    def run(self) -> LoopState:
        """Train from the last checkpoint in folder/checkpoints, or from the start, to the last step.

        Raises ModelError where the loss is no longer finite, where a tensor of the adapters gets no gradient, where
        after warm-up no gate opens on the new language, or where the model knows no document mask; Stopped where the
        job was asked to stop, after a checkpoint.
        """
        settings, folder = self.settings, self.folder / "checkpoints"
        if settings.document_mask:
            with self.head.computing():
                require_document_mask(self.model)
        parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        optimiser = adamw(parameters.values(), settings)
        kept = parameters | {name: p for rule in self.rules for name, p in rule.kept().items()}
        state = checkpoints.restore(folder, kept, optimiser)
        if self.forgetting is not None:
            self.forgetting.record = state.forgetting
            self.alpha = self.forgetting.alpha
        cost.reset_peak()
        self.model.train()
        begun, tokens_begun, elapsed = time.monotonic(), state.tokens, state.seconds
        logged, tokens_logged = begun, state.tokens
        in_a_row = 0

        while state.step < settings.steps:
            step = state.step
            log = (step + 1) % settings.log_every == 0 or step == 0 or step + 1 == settings.steps
            rate = learning_rate(step, self.peak_rate, settings)
            for group in optimiser.param_groups:
                group["lr"] = rate
            figures = self.forward_backward(step, log)
            self.ranks.sum_gradients(list(parameters.values()))
            for rule in self.rules:
                rule.before_step()
            norm = float(whole(torch.nn.utils.clip_grad_norm_(parameters.values(), settings.clip)))
            finite = self._is_finite(step, figures, norm, rate, state)
            in_a_row = 0 if finite else in_a_row + 1
            if finite:
                self._require_gradients(state, parameters)
                optimiser.step()
                for rule in self.rules:
                    rule.after_step()
            elif in_a_row == MOST_SKIPPED:
                raise ModelError(
                    f"{self.progress.label}: the last {MOST_SKIPPED} steps, to step {step + 1}, were not finite and "
                    "have been skipped; lower learning_rate or raise warmup_share."
                )
            optimiser.zero_grad()

            state.step += 1
            state.tokens += settings.batch_size * self.batches.sequence_length
            state.skipped += not finite
            now = time.monotonic()
            state.seconds = elapsed + now - begun
            if log and finite:
                speed = (state.tokens - tokens_logged) / (now - logged)
                logged, tokens_logged = now, state.tokens
                state.rows.append(self._row(state, figures, rate, speed, norm))
                self._require_open_gates(step, figures)
            speed = (state.tokens - tokens_begun) / (now - begun)
            left = (settings.steps - state.step) * settings.batch_size * self.batches.sequence_length / speed
            if self.ranks.is_main:
                self.progress.report(state.step, settings.steps, speed, left, f"loss {figures.lm_loss:.3f}")
            state.peak_memory = max(state.peak_memory, cost.peak()) if log else state.peak_memory
            if self.forgetting is not None:
                self.alpha = self.forgetting.after_step(state.step)
            stop = self.ranks.any(stopping.requested.is_set()) and state.step < settings.steps
            if stop or (state.step % settings.checkpoint_every == 0 and state.step < settings.steps):
                checkpoints.save(folder, state, kept, optimiser, self.ranks)
            if stop:
                raise stopping.Stopped
        for rule in self.rules:
            rule.finish()
        return state

    def forward_backward(self, step: int, log: bool) -> StepFigures:
        """Accumulate the gradients of the whole batch. Dropout, if a base has it, is a function of (seed, step) too."""
        torch.manual_seed((self.seed * 1_000_003 + step) * self.ranks.count + self.ranks.rank)
        device = next(self.model.parameters()).device
        tokens, original = self.batches.batch(step, self.ranks.rank, self.ranks.count)
        length = self.batches.sequence_length
        targets, originals = self.settings.batch_size * length, self.batches.originals(step) * length
        expected = self.batches.original_share * targets
        figures = StepFigures(tokens_new=targets - originals, tokens_original=originals)
        size = self.settings.micro_batch_size or len(tokens)
        for rows, is_original in zip(tokens.split(size), original.split(size), strict=True):
            rows = rows.to(device)
            role = is_original.to(device).repeat_interleave(length)
            tapped = self.taps is not None and (self.alpha > 0 or log)
            options = self._positions(rows)
            kl = None if self.kl is None else self.kl.on(rows, is_original, expected, **options)
            with self.taps.collect() if self.taps is not None and tapped else nullcontext():
                loss = lm_loss(self.head, rows, targets, kl, **options)
                figures.lm_loss += loss.item()
                if self.kl is not None and kl is not None:
                    figures.kl_loss += kl.value
                    figures.lm_loss -= self.kl.weight * kl.value
                if self.taps is not None and self.alpha > 0:
                    local = local_loss(self.taps, role, expected, self.local_loss, targets)
                    figures.local_loss += local.item()
                    loss = loss + self.alpha * local
                if self.taps is not None and log:
                    counted = [open_gates(self.taps, mark) for mark in (~role, role)]
                    figures.open_new = counted[0] + (0 if figures.open_new is None else figures.open_new)
                    figures.open_original = counted[1] + (0 if figures.open_original is None else figures.open_original)
                loss.backward()
        figures.gather(self.ranks, device)
        return figures

    def _positions(self, rows: Tensor) -> dict[str, Tensor]:
        if not self.settings.document_mask:
            return {}
        end_of_text = self.batches.inputs[0].stream.end_of_text_token
        return {"position_ids": document_positions(rows[:, :-1], end_of_text)}

    def _row(self, state: LoopState, figures: StepFigures, rate: float, speed: float, norm: float) -> dict[str, Any]:
        def open_rate(opened: Tensor | None, tokens: int) -> float | None:
            return float(opened.float().mean()) / tokens if opened is not None and len(opened) and tokens else None

        return {
            "step": state.step,
            "tokens": state.tokens,
            "lm_loss": figures.lm_loss,
            "local_loss": figures.local_loss if self.alpha > 0 else None,
            "kl_loss": None if self.kl is None else figures.kl_loss,
            "alpha": self.alpha,
            "learning_rate": rate,
            "tokens_per_second": speed,
            "mfu": speed / self.peak_tokens if self.peak_tokens else None,
            "grad_norm": norm,
            "open_rate_new": open_rate(figures.open_new, figures.tokens_new),
            "open_rate_original": open_rate(figures.open_original, figures.tokens_original),
        }

    def _is_finite(self, step: int, figures: StepFigures, norm: float, rate: float, state: LoopState) -> bool:
        """Before the optimiser's step: what is not finite never reaches the weights, nor a checkpoint."""
        if math.isfinite(figures.lm_loss + figures.local_loss + figures.kl_loss + norm):
            return True
        if state.step == state.skipped and not math.isfinite(figures.lm_loss):
            raise ModelError(
                f"{self.progress.label}: before any weight was changed, {named(self.model)} puts out numbers that are "
                "not finite (NaN or infinite): its weights are damaged, or its activations overflow; give another base."
            )
        last = f" (it was {state.rows[-1]['lm_loss']:.3f} at step {state.rows[-1]['step']})" if state.rows else ""
        what = f"{self.progress.label}: at step {step + 1} the loss or its gradient is no longer finite{last}, "
        if self.settings.not_finite == "stop":
            raise ModelError(f"{what}at a learning rate of {rate:.2g}; lower learning_rate or raise warmup_share.")
        Progress.log(f"{what}and the step is skipped")
        return False

    def _require_gradients(self, state: LoopState, parameters: dict[str, torch.nn.Parameter]) -> None:
        """In the second step that is taken, when W_o is no longer zero: a tensor without a gradient would stay as it
        was drawn for ever.

        An adapter that is shut for all of a batch may learn from another: no fault while one of them is open.
        """
        if state.step - state.skipped != 1:
            return
        adapters: dict[str, dict[str, torch.nn.Parameter]] = {}
        for name, parameter in parameters.items():
            if any(part in name for part in ADAPTER_TENSORS) and not any(part in name for part in ROWS_OF_TOKENS):
                place = re.split("|".join(ADAPTER_TENSORS), name)[0]
                adapters.setdefault(place, {})[name] = parameter
        tensors = sum(map(len, adapters.values()))
        without, shut = [], []
        for held in adapters.values():
            sizes = {name: None if p.grad is None else float(whole(p.grad.norm())) for name, p in held.items()}
            outer = [name for name in held if any(part in name for part in ZERO_AT_FIRST)]
            learns = [bool(sizes[name]) and bool(whole(held[name].detach().norm())) for name in outer]
            without += [name for name, size in sizes.items() if size is None or (size == 0 and all(learns))]
            shut += [name for name, size in sizes.items() if size == 0]
        if len(shut) == tensors:
            without = shut
        if without:
            raise ModelError(
                f"{self.progress.label}: in step {state.step + 1} {len(without)} of {tensors} tensors of the adapters "
                f"got no gradient ({without[0]} is the first), so they would never learn; gates that are shut for the "
                "whole batch in all layers do that: raise batch_size, take another seed, or a base that was trained "
                "for longer."
            )

    def _require_open_gates(self, step: int, figures: StepFigures) -> None:
        """A ReLU gate that is shut everywhere has no gradient: such a model forgets nothing and learns nothing."""
        if figures.open_new is None or not len(figures.open_new) or not figures.tokens_new:
            return
        most = float(figures.open_new.max()) / figures.tokens_new
        share = self.dead_gate_share
        if most >= share:
            return
        if step < warmup_steps(self.settings):
            Progress.log(f"{self.progress.label}: at step {step + 1} the gates of all layers are nearly shut")
            return
        raise ModelError(
            f"{self.progress.label}: at step {step + 1}, after warm-up, fewer than {share:.0%} of the new language's "
            f"tokens open a gate in any layer (at most {most:.2%}), so nothing is learned; lower alpha, the rate, "
            "take another seed, or a base that was trained for longer."
        )


def write_steps(rows: list[dict[str, Any]], path: Path) -> None:
    with writing(path) as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=STEP_COLUMNS), partial)
