"""Where adapters go for `placement: attention`, the paper's ablation: beside the attention of every layer.

As beside the FFN (nr_core.sites), the adapter reads what the attention reads and its residue is added to what the
attention puts out, after the norm that Gemma 2 and 3, OLMo 2 and 3, GLM 4 and EXAONE 4 apply to it.
"""

from __future__ import annotations

from torch import nn

from nr_core.errors import ModelError
from nr_core.sites import POST_NORM_NAMES, Site, find_sites

# What transformers' decoder layers call their attention (transformers 5.23).
ATTENTION_NAMES = ("self_attn", "attention", "attn", "self_attention")
# In most models post_attention_layernorm stands before the FFN; where the FFN has a norm behind it, so has attention.
POST_ATTENTION_NORM_NAMES = ("post_self_attn_layernorm", "post_attention_layernorm")


def find_attention_sites(model: nn.Module) -> list[Site]:
    """The attention site of every layer, in order.

    Raises ModelError where a layer has no attention of its own (a recurrent or a hybrid model, say).
    """
    return [_site_of(model, site) for site in find_sites(model)]


def _site_of(model: nn.Module, ffn: Site) -> Site:
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
