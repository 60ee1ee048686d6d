"""Guards that stop a training which would come to nothing: tensors without a gradient, gates shut everywhere."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from nr_core.errors import ModelError
from nr_core.progress import Progress
from nr_core.settings.method_table import Watched
from nr_core.training.distributed import whole

MOST_SKIPPED = 10  # steps that are not finite in a row: by then the weights are lost, and skipping hides it


def require_gradients(watched: Watched, parameters: Mapping[str, nn.Parameter], step: int, label: str) -> None:
    """Refuse a tensor that would stay as it was drawn for ever. Asked in the second step that is taken, when what is
    zero at first no longer is.

    An adapter that is shut for all of a batch may learn from another: no fault while one of them is open. Raises
    ModelError with the first tensor's name.
    """
    adapters: dict[str, dict[str, nn.Parameter]] = {}
    for name, parameter in parameters.items():
        if watched.tensors in name and not any(part in name for part in watched.not_in_each_batch):
            adapters.setdefault(name.split(watched.tensors)[0], {})[name] = parameter
    tensors = sum(map(len, adapters.values()))
    without, shut = [], []
    for held in adapters.values():
        sizes = {name: None if p.grad is None else float(whole(p.grad.norm())) for name, p in held.items()}
        outer = [name for name in held if watched.zero_at_first and watched.zero_at_first in name]
        learns = [bool(sizes[name]) and bool(whole(held[name].detach().norm())) for name in outer]
        without += [name for name, size in sizes.items() if size is None or (size == 0 and all(learns))]
        shut += [name for name, size in sizes.items() if size == 0]
    if len(shut) == tensors:
        without = shut
    if without:
        raise ModelError(
            f"{label}: in step {step} {len(without)} of {tensors} tensors of the adapters got no gradient "
            f"({without[0]} is the first), so they would never learn; gates that are shut for the whole batch in all "
            "layers do that: raise batch_size, take another seed, or a base that was trained for longer."
        )


def require_open_gates(most_open: float | None, share: float, step: int, in_warmup: bool, label: str) -> None:
    """Refuse ReLU gates that are shut everywhere, which have no gradient: such a model forgets and learns nothing.

    most_open: share of the new language's tokens that open a gate in the layer where most do; None without gates.
    In warm-up a line in the log is all. Raises ModelError.
    """
    if most_open is None or most_open >= share:
        return
    if in_warmup:
        Progress.log(f"{label}: at step {step} the gates of all layers are nearly shut")
        return
    raise ModelError(
        f"{label}: at step {step}, after warm-up, fewer than {share:.0%} of the new language's tokens open a gate in "
        f"any layer (at most {most_open:.2%}), so nothing is learned; lower alpha, the rate, take another seed, or a "
        "base that was trained for longer."
    )
