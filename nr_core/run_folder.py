"""What a run's folder holds: a full model, or an adapter for its base and the adapters that were there before it."""

from __future__ import annotations

from pathlib import Path

from nr_core.errors import ModelError

MODEL_FOLDER, ADAPTER_FOLDER, EARLIER_FOLDER = "model", "adapter", "earlier"


def adapter_folders(run: Path) -> list[Path]:
    """The adapters of a run, oldest first, its own last."""
    earlier = run / EARLIER_FOLDER
    older = sorted(earlier.iterdir(), key=lambda folder: int(folder.name)) if earlier.is_dir() else []
    return [*older, run / ADAPTER_FOLDER]


def require_safetensors(folder: Path) -> Path:
    """The folder of an adapter whose weights are no pickle, which PEFT would read. Raises ModelError else."""
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(
            f"{folder} holds no adapter_model.safetensors; pickled weights (adapter_model.bin) are not read: convert "
            "them with safetensors."
        )
    return folder
