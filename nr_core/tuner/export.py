"""The vanilla adapter as a plain Llama (nr_core.tuner.wider_ffn): it runs wherever a Llama does (vLLM, llama.cpp) and
costs nothing more than its width. A gated adapter has no such form: serve it through transformers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nr_core.errors import ModelError
from nr_core.files import writing
from nr_core.tuner.layer import NeutralResidueLayer


def export_wider(model: Any, out: Path, tokenizer: Any = None) -> None:
    """Write a model folder whose outputs equal those of `model`, a PEFT model whose active adapters have no gate.

    The model itself is merged and unloaded. Raises ModelError where a wider FFN cannot say the same: a gate, another
    FFN, a quantized one, a norm after it, layers without an adapter.
    """
    if not any(isinstance(module, NeutralResidueLayer) for module in model.modules()):
        raise ModelError(f"{type(model).__name__} has no adapter of this kind; save it as it is.")
    wider = model.merge_and_unload()
    with writing(out) as partial:
        wider.save_pretrained(partial)
        if tokenizer is not None:
            tokenizer.save_pretrained(partial)
