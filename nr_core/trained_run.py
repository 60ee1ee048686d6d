"""Loading the model of a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nr_core.earlier_runs import activate
from nr_core.errors import ModelError
from nr_core.foreign_files import foreign_files
from nr_core.models import device, load_base
from nr_core.run_folder import ADAPTER_FOLDER, MODEL_FOLDER, adapter_folders, require_safetensors
from nr_core.settings import BaseSpec


def load_run(base: BaseSpec, run: Path | None) -> Any:
    """The model of a run's folder; the base itself where run is None."""
    if run is None:
        return load_base(base)
    if (run / MODEL_FOLDER).is_dir():
        return load_base(BaseSpec(model=str(run / MODEL_FOLDER), trust_remote_code=base.trust_remote_code))
    if not (run / ADAPTER_FOLDER).is_dir():
        raise ModelError(f"{run} holds no trained run: neither {MODEL_FOLDER}/ nor {ADAPTER_FOLDER}/; train it first.")
    return with_adapters(load_base(base), adapter_folders(run))


def with_adapters(base: Any, folders: list[Path]) -> Any:
    """A base with some adapters, oldest first, all active; the last is `default`."""
    from peft import PeftModel

    import nr_core.peft  # noqa: F401  (registers the tuner that from_pretrained looks up)

    *earlier, newest = [require_safetensors(folder) for folder in folders]
    sentence = "The adapter in {} could not be put on its base: {}; get its folder anew, or give the base it is for."
    with foreign_files(lambda reason: sentence.format(newest, reason)):
        model: Any = PeftModel.from_pretrained(base, newest)
        for i, folder in enumerate(earlier):
            model.load_adapter(folder, adapter_name=f"earlier_{i}")
            activate(model)
    return model if getattr(model, "is_quantized", False) else model.to(device())
