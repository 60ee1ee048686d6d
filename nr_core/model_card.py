"""README.md of an adapter's folder: what it is, how to load it, and the run's figures."""

from __future__ import annotations

from typing import Any

from nr_core.settings import BaseSpec

LOADING = """```python
import nr_core.peft  # registers the method with PEFT
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("{base}")
model = PeftModel.from_pretrained(base, "{folder}")
```"""


def model_card(base: BaseSpec, languages: list[str], report: dict[str, Any], address: str = "this folder") -> str:
    """languages: ISO 639-3 of the new ones; report: what run.json holds; address: where it is loaded from."""
    rows = [
        ("method", report["method"]),
        ("new languages", ", ".join(languages)),
        ("base", base.model + (f" at {base.revision}" if base.revision else "")),
        ("tokenizer", base.model),
        ("new parameters", f"{report['extra_parameters']:,}"),
        ("share of the base without embeddings", f"{report['share_non_embedding']:.2%}"),
        ("share of the whole base", f"{report['share_total']:.2%}"),
        ("learning rate", f"{report['learning_rate']:g}"),
        ("weight of the local loss", f"{report['alpha']:g}"),
        ("steps", f"{report['steps']:,}"),
        ("tokens", f"{report['tokens']:,}"),
        ("seconds", f"{report['seconds']:,.0f}"),
    ]
    front = ["---", "library_name: peft", f"base_model: {base.model}", "language:"]
    front += [f"- {language}" for language in languages] + ["---"]
    table = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    title = f"# {report['method'].replace('_', ' ').capitalize()}: {', '.join(languages)}"
    remote = (
        ["The base runs code of its own: it was loaded with `trust_remote_code`.", ""] if base.trust_remote_code else []
    )
    loading = LOADING.format(base=base.model, folder=address)
    return "\n".join([*front, "", title, "", *table, "", *remote, loading, ""])
