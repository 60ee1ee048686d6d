"""Rules about the weights themselves for a base that is finetuned: a pull to where it began, and a moving average.

l2_to_base: L2-SP, (β / 2) · ‖θ − θ_base‖² in the loss (Li, Grandvalet, Davoine, https://arxiv.org/abs/1802.01483), in
place of weight decay. ema: what is saved is θ̄ ← decay · θ̄ + (1 − decay) · θ after each step, with θ̄ = θ_base at first
(Morales-Brotons, Vogels, Hendrikx, https://arxiv.org/abs/2411.18704).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nr_core.settings import MethodSettings
from nr_core.training.distributed import fill

Weights = dict[str, nn.Parameter]


class WeightRule:
    """Acts on the trained parameters around each step of the optimiser."""

    def before_step(self) -> None:
        """The gradients stand."""

    def after_step(self) -> None:
        """The weights are new."""

    def finish(self) -> None:
        """The last step is done."""

    def kept(self) -> Weights:
        """Return what a checkpoint must hold of it, by name."""
        return {}


class L2ToBase(WeightRule):
    def __init__(self, parameters: Weights, base: dict[str, Tensor], weight: float) -> None:
        self.weight = weight
        self.pairs = [(parameter, fill(parameter, base[name])) for name, parameter in parameters.items()]

    @torch.no_grad()
    def before_step(self) -> None:
        for parameter, start in self.pairs:
            if parameter.grad is not None:
                parameter.grad.add_(parameter - start, alpha=self.weight)


class MovingAverage(WeightRule):
    def __init__(self, parameters: Weights, decay: float) -> None:
        self.parameters, self.decay = parameters, decay
        self.average = {
            name: nn.Parameter(parameter.detach().clone(), requires_grad=False)
            for name, parameter in parameters.items()
        }

    @torch.no_grad()
    def after_step(self) -> None:
        for name, parameter in self.parameters.items():
            self.average[name].lerp_(parameter, 1 - self.decay)

    @torch.no_grad()
    def finish(self) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(self.average[name])

    def kept(self) -> Weights:
        return {f"ema.{name}": average for name, average in self.average.items()}


def base_weights(model: nn.Module, settings: MethodSettings) -> dict[str, Tensor]:
    """A copy of what is trained, taken while it is the base's still; empty where no rule asks for it."""
    if settings.l2_to_base is None:
        return {}
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def weight_rules(model: nn.Module, settings: MethodSettings, base: dict[str, Tensor]) -> list[WeightRule]:
    """Return the rules that a method asks for, on a model as it is trained, cut over devices or not."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    rules: list[WeightRule] = []
    if settings.l2_to_base is not None:
        rules.append(L2ToBase(parameters, base, settings.l2_to_base))
    if settings.ema is not None:
        rules.append(MovingAverage(parameters, settings.ema))
    return rules
