"""Training on several devices: torchrun starts a process for each, which takes its rows of the global batch.

A small model stands whole on every device, and gradients are summed over the processes once a
step, after accumulation (what DDP does, without its wrapper, which would rename the parameters). A larger one is cut by
FSDP2, layer by layer (https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html). The losses are divided
by global counts, so both SUM gradients: a mean would divide once more.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from nr_core import stopping


@dataclass(frozen=True)
class Ranks:
    """This process among those of the job."""

    rank: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        """The one process that writes and reports."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, in place."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Tell whether it is so in one of the processes: SIGTERM may reach one before the others."""
        if self.count == 1:
            return flag
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return bool(self.sum(torch.tensor(float(flag), device=device)))

    def stop_if_asked(self) -> None:
        """Raise Stopped in all processes where one of them was asked to stop."""
        if self.any(stopping.asked()):
            raise stopping.Stopped

    def wait(self) -> None:
        if self.count > 1:
            dist.barrier()

    def agree(self, value: Any) -> Any:
        """Return what the leading process says."""
        if self.count == 1:
            return value
        said = [value]
        dist.broadcast_object_list(said)
        return said[0]

    def sum_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Sum the gradients of whole copies: FSDP2 has summed its own."""
        gradients = [p.grad for p in parameters if p.grad is not None and not isinstance(p.grad, DTensor)]
        if self.count == 1 or not gradients:
            return
        flat = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))


def ranks() -> Ranks:
    """Join the processes that torchrun started; the only one without torchrun."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Ranks()
    if not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    return Ranks(dist.get_rank(), count)


def leave() -> None:
    """Leave the group before the process ends, which threads of a group that still stands may abort."""
    if dist.is_initialized():
        dist.destroy_process_group()


def is_cut(model: nn.Module, fsdp_from: int, ranks: Ranks) -> bool:
    """Tell whether the processes of a job share out this model, each holding a part."""
    return ranks.count > 1 and sum(parameter.numel() for parameter in model.parameters()) >= fsdp_from


def shard(model: nn.Module, layers: nn.ModuleList) -> None:
    """Cut a model over the processes, in place, and bring it to their devices.

    Layer by layer: a model that lies on the CPU, in pages of its file, is on no device as a whole, and what a process
    copies of it is its own part.
    """
    from torch.distributed.fsdp import FSDPModule, fully_shard

    for module in (*layers, model):
        fully_shard(module)
        assert isinstance(module, FSDPModule)
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)  # gloo knows no scaled sum


def whole(values: Tensor) -> Tensor:
    """Return the whole of a tensor that may be cut over the processes. Every process must call it."""
    return values.full_tensor() if isinstance(values, DTensor) else values


def fill(target: Tensor, values: Tensor) -> Tensor:
    """Return a tensor cut and placed as `target` is, with the values of a whole one."""
    if isinstance(target, DTensor):
        return distribute_tensor(values.to(target.device), target.device_mesh, target.placements)
    # Copied into fresh memory: kernels may round differently for another alignment.
    return torch.empty_like(target).copy_(values)
