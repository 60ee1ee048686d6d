"""What a user sets of the method, the training and the evaluation. Needs pydantic only."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MethodName = Literal["finetune", "lora", "adapter", "neutral_residues"]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BaseSpec(Settings):
    """A backbone: a folder, a .gguf file or an id on the Hugging Face hub."""

    model: str = Field(min_length=1, description="folder of a Hugging Face model, .gguf file, or id on the hub")
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub; default: its main branch")
    gguf_file: str | None = Field(
        default=None, description="name of the GGUF file inside the folder or the hub repository"
    )
    trust_remote_code: bool = Field(default=False, description="run Python code that comes with the model")

    @model_validator(mode="before")
    @classmethod
    def _split_gguf_path(cls, values: object) -> object:
        if isinstance(values, dict) and not values.get("gguf_file") and str(values.get("model", "")).endswith(".gguf"):
            path = Path(str(values["model"]))
            return {**values, "model": str(path.parent), "gguf_file": path.name}
        return values


class MethodSettings(Settings):
    """How a base is extended. Fields left out take the method's values in nr_core.methods."""

    method: MethodName = Field(description="finetune, lora, adapter (parallel, ungated) or neutral_residues")
    name: str | None = Field(default=None, description="what tables and plots call the run; default: the method")
    learning_rate: float | None = Field(default=None, gt=0, description="peak learning rate; default: the paper's")
    budget: float | None = Field(
        default=None,
        gt=0,
        le=4,
        description="new parameters as a share of the backbone's; default 0.2; not for finetune",
    )
    budget_of: Literal["non_embedding", "total"] = Field(
        default="non_embedding", description="which of the backbone's parameters the budget is a share of"
    )
    alpha: float | None = Field(
        default=None, ge=0, description="weight of the local loss; default 0.01, the paper's; small models need about 1"
    )

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> MethodSettings:
        if self.method == "finetune" and self.budget is not None:
            raise ValueError("budget: finetune adds no parameters; leave budget out, or choose another method")
        if self.method != "neutral_residues" and self.alpha is not None:
            raise ValueError(
                f"alpha: {self.method} has no local loss; leave alpha out, or choose the method neutral_residues"
            )
        return self

    @property
    def label(self) -> str:
        return self.name or self.method


class LoopSettings(Settings):
    """What every training loop needs, a base's pretraining and its extension alike."""

    steps: int = Field(default=2000, ge=1, description="optimiser steps")
    batch_size: int = Field(default=64, ge=1, description="sequences a step, over all processes")
    micro_batch_size: int | None = Field(
        default=None, ge=1, description="sequences a forward pass, to save memory; default: the whole batch"
    )
    sequence_length: int = Field(default=1024, ge=2, description="tokens a sequence")
    warmup_share: float = Field(
        default=0.01, ge=0, le=1, description="share of the steps in which the rate rises linearly"
    )
    final_learning_rate_share: float = Field(
        default=0.1, ge=0, le=1, description="the cosine ends at this share of the peak learning rate"
    )
    clip: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    betas: tuple[float, float] = Field(default=(0.9, 0.95), description="AdamW's decay rates")
    weight_decay: float = Field(default=0.1, ge=0, description="AdamW's weight decay, on matrices only")
    checkpoint_every: int = Field(default=200, ge=1, description="steps between checkpoints")
    log_every: int = Field(default=10, ge=1, description="steps between rows of steps.parquet")
    not_finite: Literal["stop", "skip"] = Field(
        default="stop", description="a step whose loss or gradient is not finite: stop the run, or skip the step"
    )
    fsdp_from: int = Field(
        default=500_000_000,
        ge=0,
        description="on several devices, models of this many parameters and more are cut by FSDP2, others copied",
    )
    compile_layers: bool = Field(default=False, description="run each decoder layer through torch.compile")
    recompute_layers: bool = Field(
        default=False, description="recompute each layer on the way back: less memory, about a third more time"
    )

    @model_validator(mode="after")
    def _batch_divides(self) -> LoopSettings:
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"micro_batch_size: {self.micro_batch_size} must divide batch_size {self.batch_size}; choose a divisor"
            )
        return self


class TrainingSettings(LoopSettings):
    """The extension of a base."""

    dead_gate_share: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="the run stops if after warm-up, in every layer, fewer than this share of new tokens open a gate",
    )


class PretrainSettings(LoopSettings):
    """A small Llama-architecture base with tied embeddings, trained from scratch."""

    hidden_size: int = Field(default=128, ge=8, description="width of the residual stream")
    layers: int = Field(default=4, ge=1, description="number of layers")
    heads: int = Field(default=4, ge=1, description="attention heads")
    ffn_size: int | None = Field(default=None, ge=8, description="width of the FFN; default: 8/3 of hidden_size")
    vocabulary_size: int = Field(
        default=4096, ge=300, description="entries of the byte-level BPE tokenizer made for it"
    )
    learning_rate: float = Field(default=3e-3, gt=0, description="peak learning rate")
    warmup_share: float = Field(
        default=0.05, ge=0, le=1, description="share of the steps in which the rate rises linearly"
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> PretrainSettings:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(
                f"heads: hidden_size {self.hidden_size} must be an even multiple of heads {self.heads}, for rotary "
                "positions; change one of the two"
            )
        return self


class EvaluationSettings(Settings):
    """How held-out text is scored."""

    sequence_length: int = Field(default=1024, ge=2, description="tokens a window, the context token included")
    batch_size: int = Field(default=16, ge=1, description="windows a forward pass")
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        description="whole documents are scored until a set has given this many tokens; default: all",
    )
