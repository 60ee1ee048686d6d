"""Arithmetic of a training: FLOPs of a token and of a whole run, peaks of GPUs.

It is that of the frozen-backbone formula: a weight costs 2 FLOPs a token on the way forward, 2 more where its input
needs a gradient, and 2 more where it is trained itself. So a frozen weight above the first adapter costs 4, below it 2,
and a finetuned one 6; with 6 for all, the MFU of an adapter would read some 20 % too high. What recomputation adds is
not counted. MFU is the share of what a GPU could do.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nr_core.base.load_base import device, load_shape
from nr_core.base.precision import TIMED_TOKENS, cpu_knows_bf16, product_seconds
from nr_core.settings import DEFAULT_LENGTH, BaseSpec, MethodSettings, TrainingSettings

TIMED_WIDTHS = 576, 1536  # of a product that is timed: those of a model of 135 M parameters
PROBE = 4  # tokens of the forward pass that shows where gradients flow

# Dense bf16 FLOPs a second by what the device calls itself, from NVIDIA's data sheets.
PEAK = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


def peak_flops(place: torch.device) -> float | None:
    """Return the peak of one device in bf16; None on the CPU and on a GPU that the table does not know."""
    if place.type != "cuda":
        return None
    name = torch.cuda.get_device_name(place)
    return next((peak for known, peak in PEAK.items() if known in name), None)


def product_flops(threads: int) -> float | None:
    """Return the FLOPs a second of a large matrix product here: timed on a CPU, a GPU's peak by the table above."""
    if device().type == "cuda":
        return peak_flops(device())
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        dtypes = (torch.float32, torch.bfloat16) if cpu_knows_bf16() else (torch.float32,)
        fastest = min(product_seconds(*TIMED_WIDTHS, dtypes).values())
    finally:
        torch.set_num_threads(before)
    return 2.0 * TIMED_TOKENS * TIMED_WIDTHS[0] * TIMED_WIDTHS[1] / fastest


def peak_tokens(model: Any, sequence_length: int, devices: int) -> float | None:
    """Return tokens a second that some devices could train at their peak; None where that peak is not known."""
    peak = peak_flops(device())
    flops = training_flops(model, sequence_length) if peak else None
    return devices * peak / flops if peak and flops else None


def planned_flops(base: BaseSpec, method: MethodSettings, training: TrainingSettings) -> float | None:
    """Return the FLOPs of a whole training, before there is one: by the base's config.json, without its weights.

    What `embeddings` adds and `freeze` spares, and the base's own pass for `kl_to_base`, are left out. None for a
    mixture of experts. Raises ModelError where the base has no config that can be read, or no place for the method.
    """
    from nr_core.methods.extend import extend

    length = training.sequence_length or DEFAULT_LENGTH
    plain = method.trained.model_copy(update={"embeddings": None, "freeze": None})
    with torch.device("meta"):
        a_token = training_flops(extend(load_shape(base), plain).model, length)
    return None if a_token is None else a_token * training.steps * training.batch_size * length


def training_flops(model: Any, sequence_length: int) -> float | None:
    """Return the FLOPs of one trained token, forward and backward; None for a mixture of experts.

    A linear layer by the rule above; attention 4·T·(heads · head size) forward and twice that backward where gradients
    pass it, the masked half counted too. One pass over a few tokens shows which inputs need gradients. The optimiser
    is left out.
    """
    from transformers.pytorch_utils import Conv1D

    if any(parameter.ndim > 2 for parameter in model.parameters()):
        return None  # the experts of a mixture are one tensor, of which each token sees a part
    linear: dict[nn.Module, float] = {}
    attentions: dict[nn.Module, bool] = {}

    def count(module: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
        gradients = args[0].requires_grad + module.weight.requires_grad
        linear[module] = linear.get(module, 0.0) + 2.0 * (1 + gradients) * module.weight.numel()

    def pass_gradients(attention: nn.Module) -> Any:
        def note(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            attentions[attention] = attentions.get(attention, False) or args[0].requires_grad

        return note

    hooks = []
    for module in model.modules():
        if isinstance(module, nn.Linear | Conv1D):
            hooks.append(module.register_forward_hook(count))
    for attention in _attentions(model):
        attentions[attention] = False
        hooks += [
            module.register_forward_hook(pass_gradients(attention))
            for module in attention.modules()
            if isinstance(module, nn.Linear | Conv1D)
        ]
    try:
        _pass_probe(model)
    finally:
        for hook in hooks:
            hook.remove()
    config = model.config.get_text_config()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    scores = 4.0 * sequence_length * config.num_attention_heads * size
    return sum(linear.values()) + sum(scores * (3 if backward else 1) for backward in attentions.values())


def _pass_probe(model: Any) -> None:
    """Give the model a few tokens, with gradients and without dropout."""
    training = model.training
    try:
        model.eval()
        with torch.enable_grad():
            probe = torch.zeros(1, PROBE, dtype=torch.long, device=model.device)
            # On the meta device transformers cannot look whether a mask is needed: it is told.
            mask = torch.ones(1, 1, PROBE, PROBE, device=probe.device) if probe.is_meta else None
            model(input_ids=probe, attention_mask=mask, use_cache=False)
    finally:
        model.train(training)


def _attentions(model: Any) -> list[nn.Module]:
    from nr_core.errors import ModelError
    from nr_core.tuner.adapter_sites import find_attention_sites

    try:
        return [model.get_submodule(site.source) for site in find_attention_sites(model)]
    except ModelError:
        return []
