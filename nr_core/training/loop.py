"""The training loop of a base and of its extension: batches, loss, guards, optimiser, checkpoints, rows of figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nr_core import stopping
from nr_core.base.head import Head
from nr_core.base.load_base import named
from nr_core.errors import ModelError
from nr_core.methods.distillation import Teacher
from nr_core.methods.kl_to_base import KLToBase
from nr_core.methods.weight_rules import WeightRule
from nr_core.progress import Progress
from nr_core.settings import LocalLoss, LoopSettings
from nr_core.settings.method_table import Watched
from nr_core.training import checkpoints
from nr_core.training.batches import Batches, document_positions, require_document_mask
from nr_core.training.checkpoints import LoopState
from nr_core.training.distributed import Ranks, whole
from nr_core.training.forgetting import ForgettingBudget
from nr_core.training.loss import gated_layers, lm_loss, local_loss, open_gates
from nr_core.training.optimiser import adamw, learning_rate, set_rate, warmup_steps
from nr_core.training.shut_gates import require_gradients, require_open_gates
from nr_core.training.step_figures import Pace, StepFigures, peak_memory, reset_peak_memory
from nr_core.training.tracking import Log, step_figures
from nr_core.tuner.activation_taps import Taps

MOST_SKIPPED = 10  # steps that are not finite in a row: by then the weights are lost, and skipping hides it


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
    teacher: Teacher | None = None  # whose distributions are learned in place of the next tokens
    dead_gate_share: float = 0.0
    forgetting: ForgettingBudget | None = None  # adapts alpha
    rules: Sequence[WeightRule] = ()
    ranks: Ranks = field(default_factory=Ranks)
    peak_tokens: float | None = None
    watched: Watched | None = None  # tensors of which each must get a gradient
    track: Log | None = None
    rate_shares: Mapping[str, float] = field(default_factory=dict)  # by parameter; 1 for all others
    _skipped_in_a_row: int = field(default=0, init=False)

    @property
    def model(self) -> Any:
        return self.head.model

    def run(self) -> LoopState:
        """Train from the last checkpoint in folder/checkpoints, or from the start, to the last step.

        Raises ModelError where the loss is no longer finite, where a tensor of the adapters gets no gradient, where
        after warm-up no gate opens on the new language, or where the model knows no document mask; Stopped where the
        job was asked to stop, after a checkpoint.
        """
        if self.settings.document_mask:
            with self.head.computing():
                require_document_mask(self.model)
        parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        shares = {parameters[name]: share for name, share in self.rate_shares.items()}
        optimiser = adamw(parameters.values(), self.settings, shares)
        kept = parameters | {name: p for rule in self.rules for name, p in rule.kept().items()}
        state = self._restore(kept, optimiser)
        try:
            self._go_on(state, parameters, kept, optimiser)
        except stopping.Stopped:  # a step that is not whole has changed nothing yet
            checkpoints.save(self._checkpoints, state, kept, optimiser, self.ranks)
            raise
        for rule in self.rules:
            rule.finish()
        return state

    def _go_on(
        self,
        state: LoopState,
        parameters: dict[str, nn.Parameter],
        kept: dict[str, nn.Parameter],
        optimiser: torch.optim.Optimizer,
    ) -> None:
        pace = Pace.at(state)
        while state.step < self.settings.steps:
            step, log = state.step, self._is_logged(state.step)
            rate = set_rate(optimiser, learning_rate(step, self.peak_rate, self.settings))
            figures = self.forward_backward(step, log)
            norm = self._finish_gradients(parameters)
            finite = self._is_finite(step, figures, norm, rate, state)
            if finite:
                self._update(state, parameters, optimiser)
            self._count(state, finite)
            optimiser.zero_grad()
            pace.count(state)
            if log and finite:
                state.rows.append(self._row(state, figures, rate, pace.since_log(state), norm))
                self._track(state.rows[-1], figures)
                in_warmup = step < warmup_steps(self.settings)
                require_open_gates(figures.most_open, self.dead_gate_share, step + 1, in_warmup, self.progress.label)
            self._report(state, pace, figures, log)
            if self.forgetting is not None:
                self.alpha = self.forgetting.after_step(state.step, self.ranks.stop_if_asked)
            self._save_where_due(state, kept, optimiser)

    def _restore(self, kept: dict[str, nn.Parameter], optimiser: torch.optim.Optimizer) -> LoopState:
        state = checkpoints.restore(self._checkpoints, kept, optimiser)
        if self.forgetting is not None:
            self.forgetting.record = state.forgetting
            self.alpha = self.forgetting.after_step(state.step, self.ranks.stop_if_asked)  # where that was cut off
        reset_peak_memory()
        self.model.train()
        return state

    @property
    def _checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def _is_logged(self, step: int) -> bool:
        return (step + 1) % self.settings.log_every == 0 or step == 0 or step + 1 == self.settings.steps

    def _finish_gradients(self, parameters: dict[str, nn.Parameter]) -> float:
        """Sum over processes, apply the rules and clip; returns the norm before it was clipped."""
        self.ranks.sum_gradients(list(parameters.values()))
        for rule in self.rules:
            rule.before_step()
        return float(whole(nn.utils.clip_grad_norm_(parameters.values(), self.settings.clip)))

    def _update(self, state: LoopState, parameters: dict[str, nn.Parameter], optimiser: torch.optim.Optimizer) -> None:
        if self.watched is not None and state.step - state.skipped == 1:
            require_gradients(self.watched, parameters, state.step + 1, self.progress.label)
        optimiser.step()
        for rule in self.rules:
            rule.after_step()

    def _count(self, state: LoopState, finite: bool) -> None:
        state.step += 1
        state.tokens += self.settings.batch_size * self.batches.sequence_length
        state.skipped += not finite
        self._skipped_in_a_row = 0 if finite else self._skipped_in_a_row + 1
        if self._skipped_in_a_row == MOST_SKIPPED:
            raise ModelError(
                f"the last {MOST_SKIPPED} steps, to step {state.step}, were not finite and have been skipped; lower "
                "learning_rate or raise warmup_share."
            )

    def _track(self, row: dict[str, Any], figures: StepFigures) -> None:
        if self.track is not None:
            measured = self.forgetting.record if self.forgetting is not None else []
            self.track(row["step"], step_figures(row, figures, measured[-1]["forgetting"] if measured else None))

    def _report(self, state: LoopState, pace: Pace, figures: StepFigures, log: bool) -> None:
        speed = pace.since_begin(state)
        left = (self.settings.steps - state.step) * self.settings.batch_size * self.batches.sequence_length / speed
        if self.ranks.is_main:
            self.progress.report(state.step, self.settings.steps, speed, left, f"loss {figures.lm_loss:.3f}")
        state.peak_memory = max(state.peak_memory, peak_memory()) if log else state.peak_memory

    def _save_where_due(
        self, state: LoopState, kept: dict[str, nn.Parameter], optimiser: torch.optim.Optimizer
    ) -> None:
        """Save a checkpoint, of the last step where forgetting is yet to be measured, which takes a while; raise
        Stopped where one of the processes was asked to stop."""
        is_last = state.step == self.settings.steps
        if self.forgetting is not None if is_last else state.step % self.settings.checkpoint_every == 0:
            checkpoints.save(self._checkpoints, state, kept, optimiser, self.ranks)
        if not is_last:
            self.ranks.stop_if_asked()

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
        for number, (rows, is_original) in enumerate(zip(tokens.split(size), original.split(size), strict=True)):
            if number:  # a step may take minutes
                self.ranks.stop_if_asked()
            rows = rows.to(device)
            role = is_original.to(device).repeat_interleave(length)
            tapped = self.taps is not None and (self.alpha > 0 or log)
            options = self._positions(rows)
            kl = None if self.kl is None else self.kl.on(rows, is_original, expected, **options)
            taught = None if self.teacher is None else self.teacher.on(rows, is_original, targets, **options)
            with self.taps.collect() if self.taps is not None and tapped else nullcontext():
                loss = lm_loss(self.head, rows, targets, kl, taught, **options)
                figures.lm_loss += loss.item()
                if self.kl is not None and kl is not None:
                    figures.kl_loss += kl.value
                    figures.lm_loss -= self.kl.weight * kl.value
                if self.taps is not None and self.alpha > 0:
                    local = local_loss(self.taps, role, expected, self.local_loss, targets)
                    figures.local_loss += local.item()
                    loss = loss + self.alpha * local
                if self.taps is not None and log:
                    figures.layers = gated_layers(self.taps)
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
            "open_rate_new": figures.open_rate_new,
            "open_rate_original": figures.open_rate_original,
        }

    def _is_finite(self, step: int, figures: StepFigures, norm: float, rate: float, state: LoopState) -> bool:
        """Tell before the optimiser's step whether all is finite: what is not never reaches weights or a checkpoint."""
        if math.isfinite(figures.lm_loss + figures.local_loss + figures.kl_loss + norm):
            return True
        if state.step == state.skipped and not math.isfinite(figures.lm_loss):
            raise ModelError(
                f"before any weight was changed, {named(self.model)} puts out numbers that are not finite (NaN or "
                "infinite): its weights are damaged, or its activations overflow; give another base."
            )
        last = f" (it was {state.rows[-1]['lm_loss']:.3f} at step {state.rows[-1]['step']})" if state.rows else ""
        what = f"at step {step + 1} the loss or its gradient is no longer finite{last}, "
        if self.settings.not_finite == "stop":
            raise ModelError(f"{what}at a learning rate of {rate:.2g}; lower learning_rate or raise warmup_share.")
        Progress.log(f"{self.progress.label}: {what}and the step is skipped")
        return False
