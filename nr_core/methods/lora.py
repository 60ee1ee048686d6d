"""LoRA and DoRA of PEFT as the peers of the method: all linear layers but the head, at the adapters' own budget.

Sources: Hu et al., https://arxiv.org/abs/2106.09685; Liu et al. (DoRA), https://arxiv.org/abs/2402.09353; on all linear
layers, at ten times full finetuning's rate: Schulman et al., "LoRA without regret", Thinking Machines, 2025.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from nr_core.base.language_model import chosen_layers, language_model
from nr_core.base.precision import count
from nr_core.errors import ModelError
from nr_core.files import reason_of
from nr_core.settings import MethodSettings
from nr_core.tuner.budget import BUDGET, Backbone, embedding_tables

LORA_SCALE = 2  # of the small experiments: lora_alpha / r


def add_lora(
    model: Any, settings: MethodSettings, backbone: Backbone, new_rows: list[int] | None, use_dora: bool = False
) -> Any:
    """Put LoRA or DoRA on all linear layers but the output head, and on the experts of a mixture; with `layers` on
    those of these decoder layers alone.

    The rank is the one asked for, else the one whose parameters come nearest to the adapters'. new_rows: tokens whose
    rows of the embedding and of the head are trained beside. Raises ModelError where there is no such layer, for
    DoRA on a mixture, where most weights lie in what is neither, and where PEFT refuses.
    """
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    chosen = list(_chosen_modules(model, settings.layers))
    linear = {
        name: module
        for name, module in chosen
        if isinstance(module, nn.Linear | Conv1D) and module is not head and "Router" not in type(module).__name__
    }  # Llama 4's router is a linear layer that gives back two tensors
    experts = _experts(chosen)
    if use_dora and experts:
        raise ModelError(
            f"dora: the model is a mixture of experts ({next(iter(experts))}), which PEFT's DoRA does not cover; "
            "choose lora, adapter or neutral_residues."
        )
    transposed = any(isinstance(module, Conv1D) for module in linear.values())
    _refuse_the_rest(model, chosen, [*linear.values()], experts)
    rank = settings.rank or _matched_rank(settings, backbone, linear, experts, use_dora, transposed)
    config = LoraConfig(
        r=rank,
        lora_alpha=LORA_SCALE * rank,
        target_modules=sorted(linear),
        target_parameters=sorted(experts) or None,
        fan_in_fan_out=transposed,
        use_dora=use_dora,
        trainable_token_indices=None if new_rows is None else _rows_of_tokens(model, new_rows),
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:  # as for Mamba's out_proj, which its kernels pass by
        raise ModelError(
            f"PEFT puts no LoRA on this model ({reason_of(error)}); choose adapter, neutral_residues or finetune."
        ) from error


def add_dora(model: Any, settings: MethodSettings, backbone: Backbone, new_rows: list[int] | None) -> Any:
    """Put DoRA on a model, as add_lora does LoRA."""
    return add_lora(model, settings, backbone, new_rows, use_dora=True)


def _matched_rank(
    settings: MethodSettings,
    backbone: Backbone,
    linear: dict[str, Any],
    experts: dict[str, nn.Parameter],
    use_dora: bool,
    transposed: bool,
) -> int:
    width = backbone.adapter_width(settings.budget or BUDGET, settings.budget_of)
    wanted = backbone.adapter_parameters(width)
    if use_dora:  # a magnitude for each output
        wanted -= sum(module.weight.shape[1 if transposed else 0] for module in linear.values())
    of_rank_one = sum(sum(module.weight.shape) for module in linear.values())
    of_rank_one += sum(weight.shape[0] * sum(weight.shape[1:]) for weight in experts.values())
    return max(1, round(wanted / of_rank_one))


def _chosen_modules(model: Any, layers: list[int] | None) -> Iterator[tuple[str, nn.Module]]:
    """Return those of the language model, by their names in the whole model: no linear layer of an image tower."""
    homes = [language_model(model)] if layers is None else chosen_layers(model, layers)
    inside = {id(module) for home in homes for module in home.modules()}
    return ((name, module) for name, module in model.named_modules() if id(module) in inside)


def _experts(modules: list[tuple[str, nn.Module]]) -> dict[str, nn.Parameter]:
    """Return the weights that a mixture holds for all of its experts together: (experts, d, d'), no linear layers.

    Not what is (1, 1, d), as RWKV's mixing weights are.
    """
    return {
        f"{name}.{weight}".lstrip("."): parameter
        for name, module in modules
        if not isinstance(module, nn.Conv1d)
        for weight, parameter in module.named_parameters(recurse=False)
        if parameter.ndim == 3 and min(parameter.shape) > 1
    }


def _refuse_the_rest(
    model: Any, modules: list[tuple[str, nn.Module]], linear: list[Any], experts: dict[str, nn.Parameter]
) -> None:
    """Raise ModelError where LoRA would leave most of the layers' weights as they are: DBRX has all experts of a layer
    in one flat matrix, which is neither a linear layer nor (experts, d, d')."""
    tables = {id(parameter) for table in embedding_tables(model) for parameter in table.parameters()}
    reached = {id(layer.weight): count(layer.weight) for layer in linear}
    reached |= {id(weight): count(weight) for weight in experts.values()}
    others = {
        id(parameter): (count(parameter), name)
        for name, module in modules
        for parameter in module.parameters(recurse=False)
        if parameter.ndim > 1 and id(parameter) not in tables | reached.keys()
    }
    if sum(size for size, _ in others.values()) > sum(reached.values()):
        _, name = max(others.values())
        raise ModelError(
            f"LoRA would not reach most of the model's weights, which lie in {name} ({type(model).__name__}) and in no "
            "linear layer; choose adapter, neutral_residues or finetune."
        )


def _rows_of_tokens(model: Any, tokens: list[int]) -> dict[str, list[int]]:
    """Return PEFT's trainable_token_indices, of the embedding and of the head (where they are tied PEFT keeps them
    one).
    """
    tables = (model.get_input_embeddings(), model.get_output_embeddings())
    return {name: tokens for name, module in model.named_modules() if any(module is table for table in tables)}
