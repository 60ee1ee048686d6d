"""Runs that build on runs: going on with one after a data refresh, and adding a language beside those learned before.

A run that was added to another holds the adapters of before in earlier/0, earlier/1, ... (oldest first) beside its own
adapter/: it is whole without them. All are active at once and their residues are summed; only the newest is trained.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from nr_core.base.load_base import load_base, weights_hash
from nr_core.errors import ModelError
from nr_core.settings import BaseSpec, MethodSettings

# What a run's folder holds: a full model, or an adapter for its base and the adapters that were there before it.


MODEL_FOLDER, ADAPTER_FOLDER, EARLIER_FOLDER = "model", "adapter", "earlier"


def adapter_folders(run: Path) -> list[Path]:
    """Return the adapters of a run, oldest first, its own last."""
    earlier = run / EARLIER_FOLDER
    older = sorted(earlier.iterdir(), key=lambda folder: int(folder.name)) if earlier.is_dir() else []
    return [*older, run / ADAPTER_FOLDER]


def require_safetensors(folder: Path) -> Path:
    """Return the folder of an adapter whose weights are no pickle, which PEFT would read. Raises ModelError else."""
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(
            f"{folder} holds no adapter_model.safetensors; pickled weights (adapter_model.bin) are not read: convert "
            "them with safetensors."
        )
    return folder


NEWEST = "default"  # PEFT's own name of an adapter that is not given one
# What must be equal for the weights of one adapter to mean the same in another.
BUILD = (
    "width",
    "gate",
    "activation",
    "placement",
    "layers",
    "post_norm",
    "embeddings",
    "new_rows",
    "use_dora",
    "trainable_token_indices",
)


def base_of_run(run: Path, report: Mapping[str, Any]) -> BaseSpec:
    """Return the base that a run's report (run.json) names, where it lies now.

    One of a workspace that was moved or copied lies where it did beside the run: `models/ID` for `runs/ID`.
    """
    base = BaseSpec.model_validate(report["base"])
    named = Path(base.model)
    moved = run.resolve().parent.parent / named.parent.name / named.name
    if named.is_absolute() and not named.exists() and moved.is_dir():
        return base.model_copy(update={"model": str(moved)})
    return base


def check_run(run: Path, base: BaseSpec, method: MethodSettings | None = None) -> None:
    """Raise ModelError where the run is not finished, has another base, or (method given) another method."""
    try:
        report = json.loads((run / "run.json").read_text())
    except OSError as error:
        raise ModelError(f"{run} holds no finished run (no run.json); train it first.") from error
    other = base_of_run(run, report).model_dump(mode="json") if report.get("base") else None
    mine = base.model_dump(mode="json")
    if other is not None and other != mine:
        names = ("model", "revision", "gguf_file")
        if len({weights_hash(**{name: spec[name] for name in names}) for spec in (other, mine)}) > 1:
            raise ModelError(f"{run} was trained on {other['model']}, not on {base.model}; give a run of this base.")
    if method is not None and report["method"] != method.method:
        raise ModelError(f"{run} was trained with {report['method']}, not {method.method}; go on with its method.")


def load_earlier(base: Any, folders: Sequence[Path]) -> Any:
    """Return the base with some adapters, all active and frozen, by the names earlier_0, earlier_1, ...

    Raises ModelError where one is no adapter of this method, whose residues could be summed.
    """
    from peft import PeftModel

    import nr_core.peft  # noqa: F401  (registers the tuner that from_pretrained looks up)

    model = base
    for i, folder in enumerate(folders):
        try:
            kind = json.loads((folder / "adapter_config.json").read_text())["peft_type"]
        except OSError as error:
            raise ModelError(f"{folder} holds no adapter; a run can be added to adapters only.") from error
        if kind != "NEUTRAL_RESIDUES":
            raise ModelError(
                f"{folder} is of the kind {kind}, whose residues cannot be added up; give a run of adapter or "
                "neutral_residues."
            )
        require_safetensors(folder)
        if i == 0:
            model = PeftModel.from_pretrained(base, folder, adapter_name="earlier_0")
        else:
            model.load_adapter(folder, adapter_name=f"earlier_{i}")
    activate(model)
    return model


def activate(model: Any, trainable: bool = False) -> None:
    """Activate all adapters at once, of which at most the newest is trainable; those of before are out of the taps."""
    from nr_core.tuner.layer import find_taps

    names = list(model.peft_config)
    model.base_model.set_adapter(names, inference_mode=not trainable)
    for name, parameter in model.named_parameters():
        if ".earlier_" in name:
            parameter.requires_grad_(False)
    taps = find_taps(model)
    if taps is not None:
        taps.adapter = NEWEST if NEWEST in names else None


def load_together(base: Any, runs: Sequence[Path]) -> Any:
    """Return a base with the adapters of several runs, each trained apart, their residues summed."""
    return load_earlier(base, [folder for run in runs for folder in adapter_folders(run)])


def copy_earlier(folders: Sequence[Path], out: Path) -> None:
    for i, folder in enumerate(folders):
        shutil.copytree(folder, out / EARLIER_FOLDER / str(i), dirs_exist_ok=True)


def start_from(model: nn.Module, run: Path, trust_remote_code: bool = False) -> None:
    """Give a model that was built by the method of a run that run's weights.

    trust_remote_code: as the base has it, for a full model that brings its own code. Raises ModelError where the method
    was set otherwise: other widths, layers, gates.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    if (run / MODEL_FOLDER).is_dir():
        own = BaseSpec(model=str(run / MODEL_FOLDER), trust_remote_code=trust_remote_code)
        mine, saved = model.state_dict(), load_base(own).state_dict()
        _require_same_build(run, {}, {}, mine, saved)
        model.load_state_dict(saved)
        return
    saved = load_file(run / "adapter" / "adapter_model.safetensors")
    mine = get_peft_model_state_dict(model, adapter_name=NEWEST)
    ours: Any = model.peft_config
    _require_same_build(
        run, ours[NEWEST].to_dict(), json.loads((run / "adapter" / "adapter_config.json").read_text()), mine, saved
    )
    set_peft_model_state_dict(model, saved, adapter_name=NEWEST)


def _require_same_build(
    run: Path, mine: dict[str, Any], other: dict[str, Any], tensors: dict[str, Any], saved: dict[str, Any]
) -> None:
    differing = [name for name in BUILD if mine.get(name) != other.get(name, mine.get(name))]
    shapes = [{name: tuple(tensor.shape) for name, tensor in held.items()} for held in (tensors, saved)]
    if differing or shapes[0] != shapes[1]:
        what = ", ".join(differing) or "the shapes of its weights"
        raise ModelError(f"{run} was trained with other settings ({what}); go on with the same ones.")


def saved_new_rows(run: Path) -> list[int] | None:
    """Return the tokens whose rows a run has extended: newer text may well use others."""
    config = json.loads((run / "adapter" / "adapter_config.json").read_text())
    of_lora: dict[str, list[int]] = config.get("trainable_token_indices") or {}
    rows: list[int] | None = config.get("new_rows") or next(iter(of_lora.values()), None)
    return rows
