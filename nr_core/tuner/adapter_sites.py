"""Finds where adapters go: the FFN of every layer of a Hugging Face decoder, by structure and not by model name.

A site is (source, sink): the adapter reads the input of `source` and adds to the output of `sink`. They are one module
in most models (`mlp`); OPT has fc1 and fc2; models with a norm after the FFN (Gemma 2 and 3, OLMo 2 and 3, GLM 4,
EXAONE 4) get the residue after that norm: before it, the frozen norm would rescale FFN and adapter together, and the
local loss would not measure what enters the residual stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from nr_core.base.language_model import decoder_stack
from nr_core.errors import ModelError

# What transformers' decoder layers call their FFN, and the norm that some apply to its output (transformers 5.23).
FFN_NAMES = ("mlp", "feed_forward", "ffn", "block_sparse_moe", "mlp_block", "ff")
ADVICE = (
    "Choose a Transformer decoder or the method finetune or lora, or, from Python, name the modules that adapters "
    "stand beside in NeutralResiduesConfig(sites=[...])."
)
POST_NORM_NAMES = ("post_feedforward_layernorm", "post_mlp_layernorm")


@dataclass(frozen=True)
class Site:
    """Module names relative to the model."""

    layer: int
    source: str
    sink: str


def find_sites(model: nn.Module, given: Sequence[str] | None = None) -> list[Site]:
    """Return the FFN site of every layer, in order.

    given: the sites of a model whose build is not known here, one a layer: the name of the module that is the FFN, as
    in `model.layers.0.mlp`, or SOURCE:SINK where the residue goes to another module's output. Raises ModelError where
    the model has no stack of layers with an FFN (a Mamba, say), or no module of a given name.
    """
    if given is not None:
        return _given_sites(model, given)
    try:
        stack = decoder_stack(model)
    except ModelError as error:
        raise ModelError(f"{error} {ADVICE}") from error
    sites = [_site_of(layer, i, f"{stack.name}.{i}") for i, layer in enumerate(stack.layers)]
    found = [site for site in sites if site is not None]
    if len(found) < len(sites):
        kind = getattr(model.config, "model_type", type(model).__name__)
        raise ModelError(
            f"The model ({kind}) has no feed-forward block known here in its layer {sites.index(None)}, and adapters "
            f"stand beside one. {ADVICE}"
        )
    return found


def _site_of(layer: nn.Module, index: int, path: str) -> Site | None:
    children = dict(layer.named_children())
    post_norm = next((name for name in POST_NORM_NAMES if name in children), None)
    for name in FFN_NAMES:
        if name in children:
            return Site(index, f"{path}.{name}", f"{path}.{post_norm or name}")
    if "fc1" in children and "fc2" in children:
        return Site(index, f"{path}.fc1", f"{path}.fc2")
    return None


def _given_sites(model: nn.Module, given: Sequence[str]) -> list[Site]:
    # What is inside a source that an earlier adapter wraps keeps its name.
    modules = {name.replace(".base_layer", "") for name, _ in model.named_modules()}
    sites = []
    for layer, text in enumerate(given):
        source, _, sink = text.partition(":")
        site = Site(layer, source, sink or source)
        for name in (site.source, site.sink):
            if name not in modules:
                raise ModelError(
                    f"sites: the model has no module {name!r}; give names of model.named_modules(), one a layer."
                )
        sites.append(site)
    if not sites:
        raise ModelError("sites: the list is empty; give one module a layer, or leave the field out.")
    return sites


# Where adapters go for `placement: attention`, the paper's ablation: beside the attention of every layer.
#
# As beside the FFN, the adapter reads what the attention reads and its residue is added to what the attention puts out,
# after the norm that Gemma 2 and 3, OLMo 2 and 3, GLM 4 and EXAONE 4 apply to it.


# What transformers' decoder layers call their attention (transformers 5.23).
ATTENTION_NAMES = ("self_attn", "attention", "attn", "self_attention")
# In most models post_attention_layernorm stands before the FFN; where the FFN has a norm behind it, so has attention.
POST_ATTENTION_NORM_NAMES = ("post_self_attn_layernorm", "post_attention_layernorm")


def find_attention_sites(model: nn.Module) -> list[Site]:
    """Return the attention site of every layer, in order.

    Raises ModelError where a layer has no attention of its own (a recurrent or a hybrid model, say).
    """
    return [_attention_site_of(model, site) for site in find_sites(model)]


def _attention_site_of(model: nn.Module, ffn: Site) -> Site:
    path = ffn.source.rpartition(".")[0]
    children = dict(model.get_submodule(path).named_children())
    name = next((name for name in ATTENTION_NAMES if name in children), None)
    if name is None:
        kind = getattr(model.config, "model_type", type(model).__name__)
        raise ModelError(
            f"The model ({kind}) has no attention in its layer {ffn.layer}, where placement: attention puts adapters; "
            "choose placement: ffn."
        )
    has_post_norms = any(norm in children for norm in POST_NORM_NAMES)
    norm = next((norm for norm in POST_ATTENTION_NORM_NAMES if has_post_norms and norm in children), None)
    return Site(ffn.layer, f"{path}.{name}", f"{path}.{norm or name}")
