"""Loading the model of a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nr_core.earlier_runs import activate
from nr_core.errors import ModelError
from nr_core.models import device, load_base
from nr_core.run_folder import ADAPTER_FOLDER, MODEL_FOLDER, adapter_folders, require_safetensors
from nr_core.settings import BaseSpec


def load_run(base: BaseSpec, run: Path | None) -> Any:
    """The model of a run's folder; the base itself where run is None."""
    if run is None:
        return load_base(base)
    if (run / MODEL_FOLDER).is_dir():
        return load_base(BaseSpec(model=str(run / MODEL_FOLDER)))
    if not (run / ADAPTER_FOLDER).is_dir():
        raise ModelError(f"{run} holds no trained run: neither {MODEL_FOLDER}/ nor {ADAPTER_FOLDER}/; train it first.")
    from peft import PeftModel

    import nr_core.peft  # noqa: F401  (registers the tuner that from_pretrained looks up)

    model = PeftModel.from_pretrained(load_base(base), require_safetensors(run / ADAPTER_FOLDER))
    for i, folder in enumerate(adapter_folders(run)[:-1]):
        model.load_adapter(require_safetensors(folder), adapter_name=f"earlier_{i}")
        activate(model)
    return model.to(device())
