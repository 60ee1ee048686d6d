"""Loading bases, and what identifies their weights."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nr_core.base.precision import quantization_config
from nr_core.errors import ModelError
from nr_core.files import foreign_files, reason_of
from nr_core.settings import DEFAULT_LENGTH, BaseSpec

ADAPTER_CONFIG = "adapter_config.json"  # PEFT's name of an adapter's config
# Language models of transformers 5.23 that may see what comes later, besides those with `is_decoder` (BERT's kin).
TWO_WAY = ("cpmant", "xlm", "xlnet")
SEES_LATER = 0.05  # of the logits' standard deviation; rounding in bf16 is below .01


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_base(spec: BaseSpec, place: torch.device | None = None) -> Any:
    """Return the backbone in `spec.dtype`, or quantized, on the GPU where there is one, or where `place` says.

    It is made on the meta device and filled from its file, tensor by tensor. On the CPU, weights that are held in the
    type that the file has are not even copied: they are the file's pages, which all processes share.

    Only safetensors and GGUF are read, never pickle. Raises ModelError where there is no such model.
    """
    from transformers import AutoModelForCausalLM

    _refuse_adapter(spec, (Path(spec.model) / ADAPTER_CONFIG).is_file())
    if spec.gguf_file:
        _require_gguf()
    options: dict[str, Any] = {"gguf_file": spec.gguf_file} if spec.gguf_file else {"use_safetensors": True}
    if spec.quantize:
        options |= {"quantization_config": quantization_config(spec.quantize), "device_map": {"": device()}}
    with foreign_files(lambda reason: _no_model(spec, reason)):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            spec.model,
            output_loading_info=True,
            revision=spec.revision,
            trust_remote_code=spec.trust_remote_code,
            dtype=getattr(torch, spec.dtype),
            **options,
        )
    model, loading = loaded
    _refuse_adapter(spec, getattr(model, "_hf_peft_config_loaded", False))
    layers = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    if isinstance(layers, int) and layers < 1:
        raise ModelError(_no_model(spec, f"its config.json says {layers} layers"))
    if missing := sorted(loading["missing_keys"]):  # transformers would fill them at random
        raise ModelError(
            f"{spec.model} lacks {len(missing)} of the model's weights, {missing[0]} among them; give a complete model."
        )
    if spec.gguf_file:
        _forget_quantization(model)
    _refuse_two_way(model)
    return model if getattr(model, "is_quantized", False) else model.to(place or device())


def load_shape(spec: BaseSpec) -> Any:
    """Return the backbone without its weights, on the meta device: of a model, its config.json alone is read.

    Raises ModelError where there is none, or none of a causal language model: a small one of its kind is tried.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    if spec.gguf_file:
        _require_gguf()
    options: dict[str, Any] = {"gguf_file": spec.gguf_file} if spec.gguf_file else {}
    trust: dict[str, Any] = {"trust_remote_code": spec.trust_remote_code}
    with foreign_files(lambda reason: _no_model(spec, reason)):
        config = AutoConfig.from_pretrained(spec.model, revision=spec.revision, **trust, **options)
        with torch.device("meta"):
            shape = AutoModelForCausalLM.from_config(config, **trust)
        if _may_see_later(config):
            with torch.device("cpu"):
                _refuse_two_way(_small_model(config, trust))
    return shape


def check_files(spec: BaseSpec) -> None:
    """Raise ModelError where a base on this machine has no file of weights, or one that is cut short, by its header, or
    where it is an adapter."""
    folder = Path(spec.model)
    if not folder.is_dir():
        return
    _refuse_adapter(spec, (folder / ADAPTER_CONFIG).is_file())
    files = [folder / spec.gguf_file] if spec.gguf_file else sorted(folder.glob("*.safetensors"))
    if not files or not all(file.is_file() for file in files):
        raise ModelError(_no_model(spec, f"{folder} has no such weights"))
    if spec.gguf_file:
        _require_gguf()
    for file in files:
        with foreign_files(partial(_cut_short, spec, file)):
            if spec.gguf_file:
                from gguf import GGUFReader

                GGUFReader(file)
            else:
                from safetensors import safe_open

                with safe_open(file, "pt"):
                    pass


def _refuse_adapter(spec: BaseSpec, found: bool) -> None:
    """Raise ModelError for a base with an adapter of PEFT beside it or in its place: transformers puts such an adapter
    into the model by itself, and then saves the adapter alone, so that what a finetuning learned would be lost."""
    if found:
        raise ModelError(
            f"{spec.model} holds an adapter of PEFT ({ADAPTER_CONFIG}), and a base is a whole model; merge the adapter "
            "into its base (PeftModel.merge_and_unload) and give the folder of what comes out, or take the adapter's "
            "files out of the folder."
        )


def _cut_short(spec: BaseSpec, file: Path, reason: str) -> str:
    return _no_model(spec, f"{file.name} is damaged or cut short: {reason}")


def _forget_quantization(model: Any) -> None:
    """Make a model out of a GGUF file an ordinary one: transformers read it into plain weights, and goes on calling it
    quantized, which keeps it from moving to a device and from being saved."""
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _refuse_two_way(model: Any) -> None:
    """Raise ModelError where a token changes what the model predicts before it, as in BERT without `is_decoder`: it has
    seen what it is asked for, and all its figures would be too good. Tried on a few tokens of models that may do so.
    """
    if not _may_see_later(model.config):
        return
    rows = model.get_input_embeddings().weight.shape[0]
    tokens = torch.arange(1, 9, device=model.device)[None] * (rows // 9)
    other = torch.cat([tokens[:, :-1], tokens[:, :1]], dim=1)
    try:
        with torch.inference_mode():
            before, after = (model(input_ids=ids).logits[0, :-1].float() for ids in (tokens, other))
    except (RuntimeError, ValueError, TypeError, IndexError):  # it wants more than tokens: told where it is used
        return
    if (before - after).abs().max() > SEES_LATER * before.std():
        raise ModelError(
            f"{named(model)} ({model.config.model_type}) predicts each token from those behind it too, so it is no "
            "causal language model; give a decoder (of BERT's kin, one with `is_decoder: true` in its config.json)."
        )


def _may_see_later(config: Any) -> bool:
    return getattr(config, "is_decoder", None) is False or config.model_type in TWO_WAY


def _small_model(config: Any, trust: dict[str, Any]) -> Any:
    """Return a model of the kind of `config`, of one layer and few tokens, filled at random but with large weights, by
    which each token bears clearly on all that see it."""
    from transformers import AutoModelForCausalLM

    small = deepcopy(config)
    for name, value in (("num_hidden_layers", 1), ("vocab_size", 64), ("pad_token_id", 0), ("initializer_range", 0.3)):
        setattr(small, name, value)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(small, dtype=torch.float32, **trust).eval()


def check_vocabulary(model: nn.Module, vocabulary_size: int, tokens: Path) -> None:
    """Raise ModelError where a token stream has ids that the model has no embedding for."""
    rows = model.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
    if vocabulary_size > rows:
        raise ModelError(
            f"{tokens} holds the token {vocabulary_size - 1}, the model has rows for {rows}, counted from 0; tokenise "
            "the corpus with the model's own tokenizer."
        )


def context_length(config: Any) -> int | None:
    """Return the most tokens a model was made for; None where its config does not say."""
    config = config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "max_seq_len"):
        value = getattr(config, name, None)
        if isinstance(value, int):
            return max(value, _scaled_context(config)) - _positions_without_token(config)
    return None


def _positions_without_token(config: Any) -> int:
    """Return how many learned positions no token can have: RoBERTa's family counts from behind its padding token's id,
    and max_position_embeddings counts those before it too (514 for 512 tokens; transformers 5.23)."""
    family = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm", "xmod", "data2vec-text")
    return (config.pad_token_id or 0) + 1 if config.model_type in family else 0


def _scaled_context(config: Any) -> int:
    """Return what rotary positions are scaled to, where that is set by hand beside the length of before; 0 where it is
    not.

    As model cards tell users to do for YaRN (https://arxiv.org/abs/2309.00071). The factor of `llama3` is no ratio of
    lengths.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    lengths = [0]
    for scaling in (rope, *rope.values()):  # one for all layers, or one for each kind of them
        if isinstance(scaling, dict) and scaling.get("rope_type") not in (None, "default", "llama3"):
            factor, original = scaling.get("factor"), scaling.get("original_max_position_embeddings")
            if isinstance(factor, (int, float)) and isinstance(original, int):
                lengths.append(int(factor * original))
    return max(lengths)


def chooses_tokens(config: Any, length: int) -> bool:
    """Tell whether a model chooses which tokens of so long a row are seen, as Doge does beyond `keep_window_size`:
    among equals others in a row that is padded, so that what it predicts depends on the padding."""
    kept = getattr(config.get_text_config(), "keep_window_size", None)
    return kept is not None and length > kept


def window_length(model: Any, asked: int | None, settings: str) -> int:
    """Tell how many tokens a model is given at once: what is asked for, else DEFAULT_LENGTH or its shorter context.

    settings: where `sequence_length` was asked for, for the message. Raises ModelError where the context is shorter:
    learned positions end there, and others were never trained beyond it.
    """
    longest = context_length(model.config)
    if asked is None:
        return min(DEFAULT_LENGTH, longest or DEFAULT_LENGTH)
    if longest is not None and asked > longest:
        raise ModelError(
            f"{settings}: sequence_length is {asked} tokens, and {named(model)} was made for a context of {longest}; "
            "lower it, or leave it out to have what fits."
        )
    return asked


def named(model: Any) -> str:
    """Return what messages call a model: where it was loaded from, else its kind."""
    config = model.config
    return f"the model {getattr(config, 'name_or_path', '') or getattr(config, 'model_type', type(model).__name__)}"


def weights_hash(model: str, revision: str | None = None, gguf_file: str | None = None) -> str:
    """Return what identifies a base's weights.

    A folder or .gguf file: sha256 hex over its safetensors files (or the GGUF file). A hub id: id@commit, the revision
    resolved. Raises ModelError where there is no such model, or where it has no safetensors.
    """
    spec = BaseSpec(model=model, revision=revision, gguf_file=gguf_file)
    folder = Path(spec.model)
    if not folder.is_dir():
        return f"{spec.model}@{_commit(spec)}"
    files = [folder / spec.gguf_file] if spec.gguf_file else sorted(folder.glob("*.safetensors"))
    if not files or not all(file.is_file() for file in files):
        raise ModelError(_no_model(spec, f"{folder} has no such weights"))
    digest = hashlib.sha256()
    for file in files:
        with open(file, "rb") as content:
            while block := content.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def _commit(spec: BaseSpec) -> str:
    """Return the commit of a model.

    Snapshots in the hub's cache are folders named by commit, so this works offline once the model was fetched.
    """
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(spec.model, spec.gguf_file or "config.json", revision=spec.revision)).parent.name
    except (OSError, ValueError) as error:
        raise ModelError(_no_model(spec, reason_of(error))) from error


def _no_model(spec: BaseSpec, reason: str) -> str:
    return (
        f"No causal language model could be loaded from {spec.called} ({reason}); give a folder with config.json and "
        "safetensors, a .gguf file, or the id of a model on the Hugging Face hub."
    )


def _require_gguf() -> None:
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise ModelError(
            "Reading a .gguf file needs the extra `gguf`: pip install 'neutral-residues[gguf]'."
        ) from error
