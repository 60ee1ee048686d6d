"""Settings of the machine, or of the cluster, that a flow uses."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from nr_core.settings import Settings
from storage.errors import InputError

WORTH_SENDING = 1_000_000  # new documents from which on a cluster joins their bands: below, one process takes 2 s

MOST = 4096  # processes or threads of one machine: torch and the kernel take no number at all


class Resources(Settings):
    """Processes, devices and disk. Never part of a key: results do not depend on them."""

    workers: int | None = Field(None, ge=1, le=MOST, description="processes that read crawl files; default: one a core")
    runner: Literal["processes", "dask", "ray"] = Field(
        "processes", description="what reads crawl files: processes of this machine, or a cluster's workers"
    )
    address: str | None = Field(
        None, description="of the cluster's scheduler, like tcp://host:8786 or ray://host:10001; default: one made here"
    )
    training_processes: int = Field(1, ge=1, le=MOST, description="trainings side by side")
    devices: int = Field(
        1,
        ge=1,
        le=MOST,
        description="devices of one training, started by torchrun: GPUs, or processes where there is none; with a "
        "`launcher` those of each machine",
    )
    launcher: str | None = Field(
        None,
        pattern=r"\S",
        description="command that starts a training on several machines, as `srun torchrun --nnodes=2 ...`; "
        "`-m nr_core train SPEC` follows it. Default: torchrun for the devices of this one",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=MOST,
        description="threads of each process of a training; default: the cores of a machine, shared evenly",
    )
    min_free_gb: float = Field(
        1.0, ge=0, description="GB free on the workspace's disk without which no long work begins"
    )

    @field_validator("launcher")
    @classmethod
    def _is_a_command(cls, launcher: str | None) -> str | None:
        try:
            shlex.split(launcher or "")
        except ValueError as error:
            raise ValueError(f"it is no command ({error}): close its quotes") from None
        return launcher

    @model_validator(mode="after")
    def _address_is_of_a_cluster(self) -> Resources:
        if self.address and self.runner == "processes":
            raise ValueError("`address` is that of a cluster: set `runner` to dask or ray, or leave it out")
        return self

    def reading_workers(self) -> int:
        return self.workers or _cores()

    def training_threads(self) -> int:
        return self.threads or max(1, _cores() // (self.training_processes * self.devices))


def _cores() -> int:
    """Count the cores that this process may use: of a shared node Slurm gives a job some."""
    return len(os.sched_getaffinity(0))


# Refuses long work that a disk would not hold, before it begins.


def refuse_full_disk(folder: Path, min_free_gb: float, what: str) -> None:
    """Raise InputError where less than `min_free_gb` is free at `folder`, which `what` is about to fill."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < min_free_gb:
        raise InputError(
            f"the disk is full: {folder} has {free:.1f} GB free, and {what} wants {min_free_gb:g} GB "
            "(`resources.min_free_gb`); free some, for instance with `nr gc`, and the same command goes on"
        )
