"""Settings of the base, of its training or pretraining, and of evaluation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from nr_core.settings.strict import Bears, Settings

DEFAULT_LENGTH = 1024  # tokens a sequence or window, where the model's context is not shorter

# A step seeds torch with seed x 1,000,003 + step for each process, which must fit in 64 bits.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Precision = Literal["auto", "fp32", "bf16"]
BaseDtype = Literal["float32", "bfloat16"]
VocabularyRows = Literal["full", "trimmed"]
Tracker = Literal["none", "trackio", "wandb", "mlflow"]
Quantization = Literal["torchao-int8", "bitsandbytes-int8", "bitsandbytes-nf4"]


class BaseSpec(Settings):
    """A backbone: a folder, a .gguf file or an id on the Hugging Face hub."""

    model: str = Field(min_length=1, description="folder of a Hugging Face model, .gguf file, or id on the hub")
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub; default: its main branch")
    gguf_file: str | None = Field(
        default=None, description="name of the GGUF file inside the folder or the hub repository"
    )
    trust_remote_code: bool = Field(default=False, description="run Python code that comes with the model")
    dtype: Annotated[BaseDtype, Bears.IF_SET] = Field(
        default="float32",
        description="in which the base's frozen weights are held; bfloat16 halves their memory; adapters stay float32; "
        "not for finetune and llama_pro",
    )
    quantize: Annotated[Quantization | None, Bears.IF_SET] = Field(
        default=None, description="hold the base's linear layers in 8 or 4 bits; not for finetune and llama_pro"
    )

    vocabulary: Annotated[VocabularyRows, Bears.IF_SET] = Field(
        default="full",
        description="rows of the embedding and the output head that training holds; trimmed: those of tokens that the "
        "inputs use, of bytes and special tokens, which is faster where there are many others; what is saved fits the "
        "whole base, on which all evaluation is done",
    )

    @model_validator(mode="before")
    @classmethod
    def _split_gguf_path(cls, values: object) -> object:
        if not isinstance(values, dict) or not isinstance(values.get("model"), str):
            return values
        path = Path(model := os.path.expanduser(values["model"]))
        if model.endswith(".gguf") and not values.get("gguf_file"):
            return {**values, "model": str(path.parent), "gguf_file": path.name}
        return {**values, "model": model}

    @property
    def called(self) -> str:
        """Return what a user calls it: the hub id or folder, of a GGUF file with its name."""
        return f"{self.model}/{self.gguf_file}" if self.gguf_file else self.model


PRECISION = (
    "of matrix products: fp32, bf16 or auto, which is bf16 on a GPU and on a processor with AMX or AVX512-BF16 where a "
    "product timed at the start is faster so"
)


class LoopSettings(Settings):
    """Settings of every training loop, a base's pretraining and its extension alike."""

    steps: int = Field(default=2000, ge=1, description="optimiser steps")
    batch_size: int = Field(default=64, ge=1, description="sequences a step, over all processes")
    micro_batch_size: Annotated[int | None, Bears.NOTHING_ANY_MORE] = Field(
        default=None, ge=1, description="sequences a forward pass, to save memory; default: the whole batch"
    )
    sequence_length: int | None = Field(
        default=None, ge=2, description="tokens a sequence; default: 1024, or the model's context where that is shorter"
    )
    warmup_share: float = Field(
        default=0.01, ge=0, le=1, description="share of the steps in which the rate rises linearly"
    )
    final_learning_rate_share: float = Field(
        default=0.1, ge=0, le=1, description="the cosine ends at this share of the peak learning rate"
    )
    clip: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    betas: tuple[Beta, Beta] = Field(default=(0.9, 0.95), description="AdamW's decay rates")
    weight_decay: float = Field(default=0.1, ge=0, description="AdamW's weight decay, on matrices only")
    checkpoint_every: Annotated[int, Bears.NOTHING] = Field(default=200, ge=1, description="steps between checkpoints")
    log_every: Annotated[int, Bears.NOTHING_ANY_MORE] = Field(
        default=10, ge=1, description="steps between rows of steps.parquet"
    )
    not_finite: Annotated[Literal["stop", "skip"], Bears.IF_SET] = Field(
        default="stop", description="a step whose loss or gradient is not finite: stop the run, or skip the step"
    )
    fsdp_from: Annotated[int, Bears.NOTHING] = Field(
        default=500_000_000,
        ge=0,
        description="on several devices, models of this many parameters and more are cut by FSDP2, others copied",
    )
    document_mask: Annotated[bool, Bears.IF_SET] = Field(
        default=False,
        description="tokens attend to no earlier document of their sequence; positions begin anew in each",
    )
    precision: Annotated[Precision, Bears.IF_SET] = Field(default="auto", description=PRECISION)
    compile_layers: Annotated[bool, Bears.IF_SET] = Field(
        default=False, description="run each decoder layer through torch.compile"
    )
    recompute_layers: Annotated[bool, Bears.NOTHING] = Field(
        default=False, description="recompute each layer on the way back: less memory, about a third more time"
    )

    @model_validator(mode="after")
    def _batch_divides(self) -> LoopSettings:
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"micro_batch_size: {self.micro_batch_size} must divide batch_size {self.batch_size}; choose a divisor"
            )
        if self.steps * self.batch_size * (self.sequence_length or DEFAULT_LENGTH) >= 2**63:
            raise ValueError(
                "steps: steps x batch_size x sequence_length are more tokens than can be counted; lower one"
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
    sequence_length: int = Field(
        default=DEFAULT_LENGTH, ge=2, description="tokens a sequence, and the longest context that the base will have"
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
    """Settings of scoring held-out text."""

    sequence_length: int | None = Field(
        default=None,
        ge=2,
        description="tokens a window, the context token included; default: 1024, or the model's context where that is "
        "shorter",
    )
    batch_size: Annotated[int, Bears.NOTHING] = Field(default=16, ge=1, description="windows a forward pass")
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        description="whole documents are scored until a set has given this many tokens; default: all",
    )
    stride: Annotated[int | None, Bears.IF_SET] = Field(
        default=None,
        ge=1,
        description="tokens from one window to the next: below sequence_length windows overlap, and each scores only "
        "what the one before did not; default: they do not overlap",
    )

    precision: Annotated[Precision, Bears.IF_SET] = Field(default="auto", description=PRECISION)
    behaviour_tokens: Annotated[int, Bears.IF_SET] = Field(
        default=4096,
        ge=1,
        description="tokens of each text on which a run is held against its base, next token by token",
    )

    @model_validator(mode="after")
    def _no_gap_between_windows(self) -> EvaluationSettings:
        length = self.sequence_length or DEFAULT_LENGTH
        if self.stride is not None and self.stride > length:
            raise ValueError(
                f"stride: {self.stride} leaves tokens between windows of sequence_length {length} unscored; lower it"
            )
        return self
