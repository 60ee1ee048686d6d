"""README.md of what a run leaves: what it is, the code that loads it, and the run's figures."""

from __future__ import annotations

import json
from typing import Any

from nr_core.loading_code import adapter_code, full_model_code
from nr_core.methods import METHODS
from nr_core.settings import BaseSpec


def model_card(
    base: BaseSpec, languages: list[str], report: dict[str, Any], hub_id: str | None = None, earlier: int = 0
) -> str:
    """languages: ISO 639-3 of the new ones; report: what run.json holds; hub_id: where it is loaded from, if not from
    the run's own folder; earlier: how many adapters are active beside the newest."""
    method = report["method"]
    full = method not in METHODS or METHODS[method].saves_full_model  # no method: made of a full model
    name = f"{base.model}/{base.gguf_file}" if base.gguf_file else base.model
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
        ("weight of the local loss", f"{report['alpha']:g}" if method == "neutral_residues" else None),
        ("steps", f"{report['steps']:,}"),
        ("tokens", f"{report['tokens']:,}"),
        ("seconds", f"{report['seconds']:,.0f}"),
        ("earlier adapters, active beside this one", earlier or None),
    ]
    front = ["---", f"library_name: {'transformers' if full else 'peft'}", f"base_model: {base.model}", "language:"]
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


def _earlier(number: int, hub_id: str | None) -> str:
    """In a run's folder earlier/ lies beside adapter/, on the hub inside what is uploaded."""
    if hub_id is None:
        return json.dumps(f"this folder/../earlier/{number}")
    return f'{json.dumps(hub_id)}, subfolder="earlier/{number}"'
