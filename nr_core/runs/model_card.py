"""README.md of what a run leaves: what it is, the code that loads it, and the run's figures."""

from __future__ import annotations

import json
import re
from typing import Any

from nr_core.settings import BaseSpec, MethodName, Quantization
from nr_core.settings.method_table import METHODS

# The Python that loads what a run left, as its card shows it: a test runs it and compares the logits.


# As nr_core.base.precision.quantization_config: what is imported, and what from_pretrained is given.
QUANTIZED: dict[Quantization, tuple[list[str], str]] = {
    "torchao-int8": (
        ["from torchao.quantization import Int8WeightOnlyConfig", "from transformers import TorchAoConfig"],
        "TorchAoConfig(Int8WeightOnlyConfig())",
    ),
    "bitsandbytes-int8": (["from transformers import BitsAndBytesConfig"], "BitsAndBytesConfig(load_in_8bit=True)"),
    "bitsandbytes-nf4": (
        ["import torch", "from transformers import BitsAndBytesConfig"],
        'BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", '
        'bnb_4bit_compute_dtype="bfloat16" if torch.cuda.is_available() else "float32")',
    ),
}
AUTO = "from transformers import AutoModelForCausalLM, AutoTokenizer"


def full_model_code(address: str, trust_remote_code: bool) -> str:
    """Return the code that loads what finetune and llama_pro leave, a whole model."""
    options = ", trust_remote_code=True" if trust_remote_code else ""
    return "\n".join(
        [
            AUTO,
            "",
            f'model = AutoModelForCausalLM.from_pretrained({_quoted(address)}, dtype="float32"{options})',
            f"tokenizer = AutoTokenizer.from_pretrained({_quoted(address)}{options})",
        ]
    )


def adapter_code(base: BaseSpec, method: MethodName, address: str, earlier: list[str]) -> str:
    """Return the code that loads an adapter. earlier: further arguments of load_adapter, of each adapter that is
    active beside the newest, oldest first."""
    imports, quantized = QUANTIZED[base.quantize] if base.quantize else ([], "")
    own = METHODS[method].leaves_residues
    registered = ["import nr_core.peft  # registers the method with PEFT"] if own else []
    where = _arguments(base)
    options = f', quantization_config={quantized}, device_map="auto"' if quantized else ""
    lines = [
        *registered,
        "from peft import PeftModel",
        *imports,
        AUTO,
        "",
        f'base = AutoModelForCausalLM.from_pretrained({where}, dtype="{base.dtype}"{options})',
        f"tokenizer = AutoTokenizer.from_pretrained({where})",
        f"model = PeftModel.from_pretrained(base, {_quoted(address)})",
    ]
    names = [f"earlier_{i}" for i in range(len(earlier))]
    for name, arguments in zip(names, earlier, strict=True):
        lines.append(f'model.load_adapter({arguments}, adapter_name="{name}")')
    if earlier:
        lines.append(f"model.base_model.set_adapter({json.dumps(['default', *names])})  # their residues are summed")
    return "\n".join(lines)


def _arguments(base: BaseSpec) -> str:
    """Return what from_pretrained is told of a base, for the model and for its tokenizer."""
    given = {"revision": base.revision, "gguf_file": base.gguf_file}
    parts = [_quoted(base.model), *(f"{name}={_quoted(value)}" for name, value in given.items() if value)]
    return ", ".join([*parts, *(["trust_remote_code=True"] if base.trust_remote_code else [])])


def _quoted(text: str) -> str:
    """Return a text as a literal of Python. JSON's own escapes make two characters of one beyond 16 bits."""
    return json.dumps(text, ensure_ascii=False)


def _in_yaml(name: str) -> str:
    """Return a name as YAML's text: a folder may have any letters, a hub id stands as it is."""
    return name if re.fullmatch(r"[\w.-]*/[\w./-]+", name) else _quoted(name)


def model_card(
    base: BaseSpec, languages: list[str], report: dict[str, Any], hub_id: str | None = None, earlier: int = 0
) -> str:
    """Return the card of a run. languages: ISO 639-3 of the new ones; report: what run.json holds; hub_id: where it is
    loaded from, if not from the run's own folder; earlier: how many adapters are active beside the newest."""
    method = report["method"]
    record = METHODS.get(method)
    full = record is None or record.trains_base  # no method: made of a full model
    name = base.called
    rows = [
        ("method", method),
        ("new languages", ", ".join(languages)),
        ("base", name + (f" at {base.revision}" if base.revision else "")),
        ("held in", base.quantize),
        ("tokenizer", base.model),
        ("new parameters", f"{report['extra_parameters']:,}"),
        ("share of the base without embeddings", f"{report['share_non_embedding']:.2%}"),
        ("share of the whole base", f"{report['share_total']:.2%}"),
        ("learning rate", f"{report['learning_rate']:g}"),
        ("weight of the local loss", f"{report['alpha']:g}" if record and record.is_gated else None),
        ("steps", f"{report['steps']:,}"),
        ("tokens", f"{report['tokens']:,}"),
        ("of these, of the finetuned teacher", _count(report.get("teacher_tokens"))),
        ("seconds", f"{report['seconds']:,.0f}"),
        ("earlier adapters, active beside this one", earlier or None),
    ]
    front = [
        "---",
        f"library_name: {'transformers' if full else 'peft'}",
        f"base_model: {_in_yaml(base.model)}",
        "language:",
    ]
    front += [f"- {language}" for language in languages] + ["---"]
    table = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows if value is not None)]
    title = f"# {method.replace('_', ' ').capitalize()}: {', '.join(languages)}"
    notes = (
        ["The base runs code of its own: it was loaded with `trust_remote_code`.", ""] if base.trust_remote_code else []
    )
    if base.gguf_file and not full:
        notes += ["PEFT's `AutoPeftModelForCausalLM` reads no GGUF file: load the base as below.", ""]
    address = hub_id or "this folder"
    if full:
        code = full_model_code(address, base.trust_remote_code)
    else:
        code = adapter_code(base, method, address, [_earlier(i, hub_id) for i in range(earlier)])
    return "\n".join([*front, "", title, "", *table, "", *notes, "```python", code, "```", ""])


def _count(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _earlier(number: int, hub_id: str | None) -> str:
    """Return the place of an earlier adapter: in a run's folder earlier/ lies beside adapter/, on the hub inside what
    is uploaded."""
    if hub_id is None:
        return _quoted(f"this folder/../earlier/{number}")
    return f'{_quoted(hub_id)}, subfolder="earlier/{number}"'
