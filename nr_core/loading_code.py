"""The Python that loads what a run left, as its card shows it: a test runs it and compares the logits."""

from __future__ import annotations

import json

from nr_core.settings import BaseSpec, Quantization

# As nr_core.quantized.quantization_config: what is imported, and what from_pretrained is given.
QUANTIZED: dict[Quantization, tuple[list[str], str]] = {
    "torchao-int8": (
        ["from torchao.quantization import Int8WeightOnlyConfig", "from transformers import TorchAoConfig"],
        "TorchAoConfig(Int8WeightOnlyConfig())",
    ),
    "bitsandbytes-int8": (["from transformers import BitsAndBytesConfig"], "BitsAndBytesConfig(load_in_8bit=True)"),
    "bitsandbytes-nf4": (
        ["from transformers import BitsAndBytesConfig"],
        'BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype="float32")',
    ),
}
AUTO = "from transformers import AutoModelForCausalLM, AutoTokenizer"


def full_model_code(address: str, trust_remote_code: bool) -> str:
    """Of finetune and llama_pro, which leave a whole model."""
    options = ", trust_remote_code=True" if trust_remote_code else ""
    return "\n".join(
        [
            AUTO,
            "",
            f'model = AutoModelForCausalLM.from_pretrained({json.dumps(address)}, dtype="float32"{options})',
            f"tokenizer = AutoTokenizer.from_pretrained({json.dumps(address)}{options})",
        ]
    )


def adapter_code(base: BaseSpec, method: str, address: str, earlier: list[str]) -> str:
    """earlier: further arguments of load_adapter, of each adapter that is active beside the newest, oldest first."""
    imports, quantized = QUANTIZED[base.quantize] if base.quantize else ([], "")
    own = method in ("adapter", "neutral_residues")
    registered = ["import nr_core.peft  # registers the method with PEFT"] if own else []
    where = _arguments(base)
    options = f', quantization_config={quantized}, device_map="auto"' if quantized else ""
    lines = [
        *registered,
        "from peft import PeftModel",
        *imports,
        AUTO,
        "",
        f'base = AutoModelForCausalLM.from_pretrained({where}, dtype="float32"{options})',
        f"tokenizer = AutoTokenizer.from_pretrained({where})",
        f"model = PeftModel.from_pretrained(base, {json.dumps(address)})",
    ]
    names = [f"earlier_{i}" for i in range(len(earlier))]
    for name, arguments in zip(names, earlier, strict=True):
        lines.append(f'model.load_adapter({arguments}, adapter_name="{name}")')
    if earlier:
        lines.append(f"model.base_model.set_adapter({json.dumps(['default', *names])})  # their residues are summed")
    return "\n".join(lines)


def _arguments(base: BaseSpec) -> str:
    """What from_pretrained is told of a base, for the model and for its tokenizer."""
    given = {"revision": base.revision, "gguf_file": base.gguf_file}
    parts = [json.dumps(base.model), *(f"{name}={json.dumps(value)}" for name, value in given.items() if value)]
    return ", ".join([*parts, *(["trust_remote_code=True"] if base.trust_remote_code else [])])
