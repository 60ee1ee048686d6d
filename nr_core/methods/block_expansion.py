"""Block expansion, the peer that adds capacity by depth: copies of decoder layers that start as the identity.

Source: Wu et al., "LLaMA Pro: progressive LLaMA with block expansion", 2024, https://arxiv.org/abs/2401.02415. The L
layers are cut into n groups of (nearly) equal size, and a copy of each group's last layer follows it, whose attention
and FFN put out zero at the start. Only the copies are trained; the result is an ordinary, deeper model.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from transformers.initialization import no_init_weights

from nr_core.errors import ModelError
from nr_core.settings import MethodSettings
from nr_core.tuner.adapter_sites import find_attention_sites, find_sites
from nr_core.tuner.budget import BUDGET, Backbone

INDEX_NAMES = ("layer_idx", "layer_id")  # what transformers' attention calls its place in the key-value cache
# What transformers' blocks call the matrix that writes to the residual stream (transformers 5.23).
OUTPUT_NAMES = ("o_proj", "out_proj", "down_proj", "c_proj", "dense", "dense_4h_to_h", "fc2", "fc_out", "wo", "w2")


def expand_to_budget(model: Any, settings: MethodSettings, backbone: Backbone, new_rows: list[int] | None) -> Any:
    """Expand by as many parameters as the budget of a method allows."""
    return expand_blocks(model, backbone.allowance(settings.budget or BUDGET, settings.budget_of))


def expand_blocks(model: Any, allowance: float) -> Any:
    """Add the whole number of layers (at least one) that comes nearest to `allowance` parameters.

    Changes the model and returns it, only the new layers trainable. Raises ModelError where it has no such blocks, or
    where copies with zeroed outputs are not the identity, or where its config cannot say how the deeper model is built.
    """
    path = find_sites(model)[0].source.rpartition(".")[0].rpartition(".")[0]
    stack = model.get_submodule(path)
    layers = len(stack)
    parameters = sum(parameter.numel() for parameter in stack.parameters()) / layers
    added = min(layers, max(1, round(allowance / parameters)))
    after = {(group + 1) * layers // added - 1 for group in range(added)}
    order = [copied for layer in range(layers) for copied in ([layer, layer] if layer in after else [layer])]
    before = _logits(model)

    branches = [
        (ffn.source, attention.source)
        for ffn, attention in zip(find_sites(model), find_attention_sites(model), strict=True)
    ]
    model.requires_grad_(False)
    expanded: list[nn.Module] = []
    for position, layer in enumerate(order):
        block = stack[layer]
        if position and order[position - 1] == layer:
            block = copy.deepcopy(block).requires_grad_(True)
            for branch in branches[layer]:
                _silence(block, branch.removeprefix(f"{path}.{layer}."), model)
        expanded.append(block)
    for position, block in enumerate(expanded):
        for module in block.modules():  # the key-value cache is indexed by it
            for name in INDEX_NAMES:
                if hasattr(module, name):
                    setattr(module, name, position)
    setattr(model.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2], nn.ModuleList(expanded))
    _tell_config(model.config.get_text_config(), layers, order)
    _require_identity(model, before)
    _require_rebuilt(model)
    return model


def _silence(block: nn.Module, branch: str, model: Any) -> None:
    """Zero the last matrix of an attention or FFN; in a mixture of experts, of each expert."""
    module = block if branch == "fc1" else block.get_submodule(branch)  # OPT has its FFN in the layer itself
    outputs = [
        parameter for name, parameter in module.named_parameters() if not set(OUTPUT_NAMES).isdisjoint(name.split("."))
    ]
    if not outputs:
        kind = getattr(model.config, "model_type", type(model).__name__)
        raise ModelError(
            f"Block expansion knows no output matrix in {branch} of the model ({kind}); choose another method."
        )
    for parameter in outputs:
        nn.init.zeros_(parameter)


def _tell_config(config: Any, layers: int, order: list[int]) -> None:
    """Set the depth, and every list that says something of each layer (layer_types, no_rope_layers, ...)."""
    for name, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == layers:
            setattr(config, name, [value[layer] for layer in order])
    config.num_hidden_layers = len(order)


@torch.no_grad()
def _logits(model: Any) -> torch.Tensor | None:
    """Return the logits of a few tokens; None on the meta device, where only shapes are known."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    device = next(model.parameters()).device
    if device.type == "meta":
        return None
    tokens = torch.arange(4, device=device).unsqueeze(0) * 7 % vocabulary
    training = model.training
    logits: torch.Tensor = model.eval()(input_ids=tokens, use_cache=False).logits
    model.train(training)
    return logits


def _require_identity(model: Any, before: torch.Tensor | None) -> None:
    after = _logits(model)
    if before is not None and after is not None and not torch.allclose(after, before, rtol=1e-4, atol=1e-4):
        kind = getattr(model.config, "model_type", type(model).__name__)
        raise ModelError(
            f"Layers added to the model ({kind}) with zeroed outputs change what it computes, so block expansion does "
            "not start at the backbone; choose another method."
        )


@torch.no_grad()
def _require_rebuilt(model: Any) -> None:
    """Refuse a model that its own config would build otherwise, as whoever loads it does: some know by a layer's number
    whether it has experts (DeepSeek, Qwen2 MoE), or by what its attention is scaled (GPT-2)."""
    after = _logits(model)
    if after is None:
        return
    kind = getattr(model.config, "model_type", type(model).__name__)
    try:
        with no_init_weights(), next(model.parameters()).device:  # weights take no memory: they become the model's own
            rebuilt = type(model)(type(model.config).from_dict(model.config.to_dict()))
        rebuilt.load_state_dict(model.state_dict(), assign=True)
        found = _logits(rebuilt)
    except (ValueError, RuntimeError, LookupError, TypeError, AttributeError):
        found = None
    if found is None or not torch.allclose(found, after, rtol=1e-4, atol=1e-5):
        raise ModelError(
            f"A deeper model of this kind ({kind}) would not load as it is trained: its config tells layers apart by "
            "their numbers, which added layers change; choose another method."
        )
