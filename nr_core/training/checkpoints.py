"""Checkpoints of a training loop: whole or absent, without pickle, the newest kept.

A checkpoint is a folder checkpoints/step-00000120 with trainable.safetensors, optimiser.safetensors and state.json.
Nothing random needs saving: every step seeds the generator from (seed, step), and the batches are a function of the
same two.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nr_core.files import writing
from nr_core.progress import Progress
from nr_core.training.distributed import Ranks, fill, whole


@dataclass
class LoopState:
    """State of a training loop: steps done, and what it has seen and used."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    skipped: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    forgetting: list[dict[str, float]] = field(
        default_factory=list
    )  # of nr_core.training.forgetting, where α is adapted


def save(
    folder: Path,
    state: LoopState,
    parameters: dict[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    ranks: Ranks = Ranks(),  # noqa: B008  (frozen)
) -> None:
    """Write checkpoints/step-N and drop the older ones. parameters: the trainable ones, by name.

    Tensors that are cut over processes are written whole, so that a run goes on at any number of them.
    """
    trainable = {key: whole(parameter.detach()).contiguous() for key, parameter in parameters.items()}
    moments = {
        f"{key}/{moment}": whole(value)
        for key, parameter in parameters.items()
        for moment, value in optimiser.state[parameter].items()
    }
    if ranks.is_main:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"step-{state.step:08d}"
        with writing(folder / name) as partial:
            partial.mkdir()
            save_file(trainable, partial / "trainable.safetensors")
            save_file(moments, partial / "optimiser.safetensors")
            (partial / "state.json").write_text(json.dumps(asdict(state)))
        for other in folder.iterdir():
            if other.name != name:
                shutil.rmtree(other)
    ranks.wait()


def restore(folder: Path, parameters: dict[str, nn.Parameter], optimiser: torch.optim.Optimizer) -> LoopState:
    """Load the newest checkpoint that is whole into parameters and optimiser; a fresh state where there is none.

    One that a broken disk has torn is passed over, with a word in the log: the training goes on from the one before, or
    begins again.
    """
    for checkpoint in sorted(folder.glob("step-*"), reverse=True):
        try:
            state, saved, moments = _read(checkpoint)
        except (SafetensorError, FileNotFoundError, ValueError, TypeError) as error:
            Progress.log(f"{checkpoint} is damaged ({error}): the training goes on from what there is before it")
            continue
        _fill(parameters, optimiser, saved, moments)
        return state
    return LoopState()


def _read(checkpoint: Path) -> tuple[LoopState, dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """Return all of a checkpoint, before any of it goes into a model."""
    state = LoopState(**json.loads((checkpoint / "state.json").read_bytes()))
    moments: dict[str, dict[str, Tensor]] = {}
    for key, value in load_file(checkpoint / "optimiser.safetensors").items():
        name, _, moment = key.rpartition("/")
        moments.setdefault(name, {})[moment] = value
    return state, load_file(checkpoint / "trainable.safetensors"), moments


def _fill(
    parameters: dict[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    saved: dict[str, Tensor],
    moments: dict[str, dict[str, Tensor]],
) -> None:
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(fill(parameter, saved[name]))
            optimiser.state[parameter] = {
                # Fused AdamW wants its count of steps beside the parameter (https://github.com/pytorch/pytorch/issues/104767).
                moment: value.to(parameter.device, copy=True) if value.ndim == 0 else fill(parameter, value)
                for moment, value in moments.get(name, {}).items()
            }
