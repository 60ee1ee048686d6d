"""Every causal language model of transformers 5.23 as a tiny random model, or the reason why it is not among them."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

# Every name that some architecture gives the same few sizes; each config takes those it knows.
SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "embedding_size", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "num_key_value_heads", "n_head", "n_heads", "num_heads"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("head_dim", "attention_head_size", "d_kv", "v_head_dim", "qk_head_dim"), 16),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "n_inner", "ffn_hidden_size"), 48),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 48),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "vocab_size"), 64),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "time_step_rank", "conv_kernel"), 2),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "sliding_window"), 16),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "rotary_dim"), 8),
    **dict.fromkeys(("n_group", "topk_group", "bos_token_id"), 1),
    "state_size": 4,
    "pad_token_id": 0,
    "eos_token_id": 2,
}  # fmt: skip

# What an architecture needs besides.
LATENT = {"head_dim": 8}  # heads of latent attention rotate qk_rope_head_dim dimensions
HYBRID = {
    "num_hidden_layers": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}  # three layers of linear attention, then one of attention
MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8}
ROTARY = {"rope_type": "default", "rope_theta": 10_000.0}
OVERRIDES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("axk1", "deepseek_v3", "youtu"), LATENT),
    **dict.fromkeys(("lfm3", "qwen3_5_text", "qwen3_5_moe_text", "qwen3_next"), HYBRID),
    "bamba": {**MAMBA, "attn_layer_indices": [1]},
    "codegen": {"n_head": 4},
    "cohere_compass_text": {"rope_parameters": {"full_attention": ROTARY, "sliding_attention": ROTARY}},
    "dots1": {"n_shared_experts": 1},
    "gemma3n_text": {
        "num_kv_shared_layers": 0,
        "layer_types": ["sliding_attention", "full_attention"],
        "activation_sparsity_pattern": [0.0, 0.0],
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": 64,
        "laurel_rank": 4,
    },
    "gemma4_text": {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 64},
    "falcon_h1": {**MAMBA, "mamba_d_ssm": 64, "mamba_chunk_size": 16},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 16},
    "granitemoehybrid": {**MAMBA, "layer_types": ["mamba", "attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "recurrent_gemma": {"num_hidden_layers": 3, "lru_width": 32},
    "reformer": {"is_decoder": True, "axial_pos_embds": False},
    "zaya": {"num_experts_per_tok": 1},
}

# The 31 of the reference, where the method must work in every respect.
REFERENCE = [
    "llama",
    "gemma",
    "gemma2",
    "gemma3_text",
    "qwen2",
    "qwen3",
    "mistral",
    "gpt2",
    "gpt_neox",
    "olmo",
    "olmo2",
    "olmo3",
    "phi",
    "phi3",
    "falcon",
    "bloom",
    "mpt",
    "opt",
    "gptj",
    "cohere",
    "cohere2",
    "starcoder2",
    "stablelm",
    "granite",
    "glm4",
    "smollm3",
    "mixtral",
    "qwen3_moe",
    "nemotron",
    "exaone4",
    "apertus",
]

ENCODER = "an encoder with a causal head; its FFN is two modules, the second of which holds a norm"
NO_FFN = "no feed-forward block in each layer: refused with a sentence"
SLOW = "a composite config, or one whose size these names do not reach: not built in 5 s"
NOT_SHRUNK = "these sizes contradict its config, or the model they give does not run"
EXCLUDED: dict[str, str] = {
    **dict.fromkeys(
        [
            "bert",
            "bert-generation",
            "big_bird",
            "camembert",
            "data2vec-text",
            "electra",
            "ernie",
            "megatron-bert",
            "rembert",
            "roberta",
            "roberta-prelayernorm",
            "roc_bert",
            "roformer",
            "xlm-roberta",
            "xlm-roberta-xl",
            "xmod",
        ],
        ENCODER,
    ),
    **dict.fromkeys(["mamba", "mamba2", "falcon_mamba", "nemotron_h"], NO_FFN),
    **dict.fromkeys(
        [
            "blt",
            "dots3_note",
            "emu3",
            "fuyu",
            "gemma3",
            "gemma4",
            "gemma4_unified",
            "got_ocr2",
            "llama4",
            "mllama",
            "moss_transcribe_diarize",
            "phi4_multimodal",
            "qwen3_5",
            "qwen3_5_moe",
        ],
        SLOW,
    ),
    **dict.fromkeys(
        [
            "bailing_hybrid",
            "dbrx",
            "gemma4_assistant",
            "gemma4_unified_assistant",
            "mimo_v2_flash",
            "musicgen",
            "musicgen_melody",
            "qwen4_exp",
            "qwen4_exp_text",
            "xlstm",
            "zamba",
            "zamba2",
        ],
        NOT_SHRUNK,
    ),
    "gemma3n": "its image tower needs Pillow, which is no dependency; gemma3n_text is tried",
    "git": "reads images; its layers are those of the encoders above",
    "hrm_text": "no stack of as many layers as its config counts",
    "kimi_linear": "built, but without flash-linear-attention's kernels slow (86 s), and its cache fails in generate",
    "longcat_flash": "two feed-forward blocks a layer beside a mixture of experts: give `sites`",
    "prophetnet": "runs three streams of hidden states a token, which the taps do not tell apart",
    "rwkv": "reaches for the weights of its FFN by name, so that the FFN cannot be wrapped",
    "xlm": "its FFNs are in a list of their own and not in layers",
}


def tiny(architecture: str) -> Any:
    """A random model of some ten thousand parameters, in evaluation mode."""
    kind = type(AutoConfig.for_model(architecture))
    known = kind().to_dict()
    sizes = {name: size for name, size in SIZES.items() if name in known}
    sizes |= OVERRIDES.get(architecture, {})
    torch.manual_seed(0)
    config = kind(**{name: size for name, size in sizes.items() if size is not None})
    return AutoModelForCausalLM.from_config(config).eval()
