"""Rules about the weights of a base that is finetuned: a pull to where it began, a moving average, columns left alone,
interpolation with the base.

l2_to_base: L2-SP, (β / 2) · ‖θ − θ_base‖² in the loss (Li, Grandvalet, Davoine, https://arxiv.org/abs/1802.01483), in
place of weight decay. ema: what is saved is θ̄ ← decay · θ̄ + (1 − decay) · θ after each step, with θ̄ = θ_base at first
(Morales-Brotons, Vogels, Hendrikx, https://arxiv.org/abs/2411.18704).

Source-shielded updates leave the columns alone which matter most on the original language. A column of a linear layer's
weights takes one input feature j. Its importance is Wanda's, summed over the column: Σ_i |W_ij| · ‖x_j‖₂, with x_j what
the feature was over a calibration text. Half of the columns of each layer, the more important ones, keep the base's
values. After Yamaguchi et al., https://arxiv.org/abs/2512.04844 (500 samples, 50 %); Wanda: Sun et al.,
https://arxiv.org/abs/2306.11695.

Interpolation between base and finetuned model, weights base + λ · (finetuned − base), takes no training (WiSE-FT:
Wortsman et al., "Robust fine-tuning of zero-shot models", https://arxiv.org/abs/2109.01903).
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from nr_core.base.head import Head
from nr_core.base.language_model import decoder_layers
from nr_core.base.load_base import load_base
from nr_core.errors import ModelError
from nr_core.files import write_json, writing
from nr_core.runs.build_on_earlier import MODEL_FOLDER
from nr_core.runs.load_run import load_run
from nr_core.runs.model_card import model_card
from nr_core.settings import MethodSettings
from nr_core.specs import TrainSpec
from nr_core.tokenization.tokenizer import load_tokenizer
from nr_core.training.batches import Batches
from nr_core.training.distributed import fill
from nr_core.training.step_figures import write_steps

Weights = dict[str, nn.Parameter]


class WeightRule:
    """Acts on the trained parameters around each step of the optimiser."""

    def before_step(self) -> None:
        """Do what the rule does once gradients are taken: it may change them."""

    def after_step(self) -> None:
        """Do what the rule does once the optimiser has stepped: it may change weights."""

    def finish(self) -> None:
        """Do what the rule does after the last step, before the model is saved."""

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
    """Return a copy of what is trained, taken while it is the base's still; empty where no rule asks for it."""
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


SHARE = 0.5  # of the columns, as the paper's
MOST_SAMPLES, MOST_TOKENS = 500, 1 << 16  # of calibration: the paper's samples, and what a CPU takes in minutes


class SourceShield(WeightRule):
    """Columns that keep their values, whatever gradient, decay and momentum would make of them."""

    def __init__(self, columns: list[tuple[Tensor, Tensor]]) -> None:
        """Keep the values that columns have now. columns: weights (d_out, d_in), and which of each are kept."""
        self._kept = [(weight, index, weight.detach()[..., index].clone()) for weight, index in columns]

    @torch.no_grad()
    def before_step(self) -> None:
        """Clear these gradients: what is kept has no say in the gradient's norm either."""
        for weight, index, _ in self._kept:
            if weight.grad is not None:
                weight.grad[..., index] = 0

    @torch.no_grad()
    def after_step(self) -> None:
        for weight, index, values in self._kept:
            weight[..., index] = values


def source_shield(head: Head, batches: Batches, cut: bool) -> SourceShield:
    """Choose the columns on the first original-language sequences of a run, by the weights as they are now.

    Raises ModelError where the model is cut over several devices: none has a whole column then.
    """
    if cut:
        raise ModelError(
            "freeze: source_shielded needs whole columns of weights, and FSDP2 has cut them over the devices; raise "
            "fsdp_from so that each device holds the whole model, or choose freeze: random_half."
        )
    norms = feature_norms(head, calibration(batches))
    return SourceShield([(layer.weight, most_important(layer.weight, norm)) for layer, norm in norms.items()])


def calibration(batches: Batches) -> Tensor:
    """Return original-language sequences (n, T), the first of the run."""
    wanted = max(1, min(MOST_SAMPLES, MOST_TOKENS // batches.sequence_length))
    found: list[Tensor] = []
    for step in range(wanted * 1000):
        tokens, original = batches.batch(step)
        found += tokens[original, :-1].unbind()
        if len(found) >= wanted:
            break
    return torch.stack(found[:wanted])


@torch.no_grad()
def feature_norms(head: Head, sequences: Tensor) -> dict[nn.Linear, Tensor]:
    """Return ‖x_j‖₂ of each input feature (d_in,) of the decoder's linear layers, over all tokens of sequences
    (n, T).
    """
    squares: dict[nn.Linear, Tensor] = {}

    def add(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, nn.Linear)
        squares[layer] = squares.get(layer, 0) + inputs[0].flatten(0, -2).float().square().sum(0)

    modules = list(decoder_layers(head.model).modules())
    layers = [module for module in modules if isinstance(module, nn.Linear)]
    if not layers or any(isinstance(module, Conv1D) for module in modules):
        raise ModelError(
            "freeze: source_shielded goes by the columns of nn.Linear, and this model's layers are of another kind; "
            "choose freeze: random_half."
        )
    hooks = [layer.register_forward_pre_hook(add) for layer in layers]
    training = head.model.training
    head.model.eval()
    try:
        for sequence in sequences.to(next(head.model.parameters()).device).split(1):
            head.hidden(sequence)
    finally:
        head.model.train(training)
        for hook in hooks:
            hook.remove()
    return {layer: squares[layer].sqrt() for layer in layers if layer in squares}


def most_important(weight: Tensor, norms: Tensor) -> Tensor:
    """Return the indices of the columns of a weight (d_out, d_in) that are kept, in order."""
    scores = weight.detach().float().abs().sum(0) * norms
    return scores.topk(round(SHARE * len(scores))).indices.sort().values


INTERPOLATION = "interpolation"  # what run.json and the table of runs call the method


@torch.no_grad()
def interpolate(spec: TrainSpec, finetuned: Path, share: float) -> None:
    """Write model/, steps.parquet (no steps) and run.json: the finetuned run's figures, since its tokens and seconds
    are what the model took, with the share.

    Raises ModelError where the finetuned run's weights are not of the base's shapes.
    """
    model, other = load_base(spec.base), load_run(spec.base, finetuned)
    theirs = dict(other.named_parameters())
    ours = dict(model.named_parameters())
    if {name: p.shape for name, p in ours.items()} != {name: p.shape for name, p in theirs.items()}:
        raise ModelError(
            f"{finetuned} holds weights of other shapes than {spec.base.model}'s; give a run of this base."
        )
    for name, parameter in ours.items():
        parameter.lerp_(theirs[name].to(parameter.dtype), share)
    report = {**json.loads((finetuned / "run.json").read_text()), "method": INTERPOLATION, "share": share}
    with writing(spec.out / MODEL_FOLDER) as partial:
        model.save_pretrained(partial)
        load_tokenizer(spec.base).save_pretrained(partial)
        (partial / "README.md").write_text(model_card(spec.base, report["languages"], report))
    write_steps([], spec.out / "steps.parquet")
    write_json(spec.out / "run.json", report)
