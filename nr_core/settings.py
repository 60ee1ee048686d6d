"""What a user sets of the method, the training and the evaluation. Needs pydantic only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from nr_core.variants import ALLOWED, EMBEDDINGS, FIELDS, defaults

DEFAULT_LENGTH = 1024  # tokens a sequence or window, where the model's context is not shorter

MethodName = Literal["finetune", "lora", "dora", "adapter", "neutral_residues", "llama_pro"]
Gate = Literal["relu", "elu", "sigmoid", "none"]
LocalLoss = Literal["l1", "relative_l1", "cross_entropy", "none"]
Initialisation = Literal["low_variance", "he"]
Placement = Literal["ffn", "attention"]
KLDirection = Literal["base_to_model", "model_to_base"]
Embeddings = Literal["trained", "frozen", "new_rows", "residue"]
# A step seeds torch with seed x 1,000,003 + step for each process, which must fit in 64 bits.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Precision = Literal["auto", "fp32", "bf16"]
BaseDtype = Literal["float32", "bfloat16"]
VocabularyRows = Literal["full", "trimmed"]
Quantization = Literal["torchao-int8", "bitsandbytes-int8", "bitsandbytes-nf4"]


class Settings(BaseModel):
    """Settings that are written down only where they were set.

    What a run was asked for is part of its identity. A field that a later version adds is left out of it where it has
    its default, so that runs of before keep theirs: `added` names those fields.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    added: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _leave_out_what_was_not_set(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in write(self).items()
            if name not in self.added or getattr(self, name) != fields[name].default
        }


class BaseSpec(Settings):
    """A backbone: a folder, a .gguf file or an id on the Hugging Face hub."""

    added: ClassVar[frozenset[str]] = frozenset({"quantize", "dtype", "vocabulary"})

    model: str = Field(min_length=1, description="folder of a Hugging Face model, .gguf file, or id on the hub")
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub; default: its main branch")
    gguf_file: str | None = Field(
        default=None, description="name of the GGUF file inside the folder or the hub repository"
    )
    trust_remote_code: bool = Field(default=False, description="run Python code that comes with the model")
    dtype: BaseDtype = Field(
        default="float32",
        description="in which the base's frozen weights are held; bfloat16 halves their memory; adapters stay float32; "
        "not for finetune and llama_pro",
    )
    quantize: Quantization | None = Field(
        default=None, description="hold the base's linear layers in 8 or 4 bits; not for finetune and llama_pro"
    )

    vocabulary: VocabularyRows = Field(
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


class MethodSettings(Settings):
    """How a base is extended. Fields left out take the method's values in nr_core.variants and nr_core.methods."""

    added: ClassVar[frozenset[str]] = frozenset(
        {
            *("gate", "local_loss", "initialisation", "placement", "layers", "embeddings", "max_forgetting"),
            *("kl_to_base", "kl_direction", "rank", "freeze", "l2_to_base", "ema", "interpolate"),
        }
    )

    method: MethodName = Field(
        description="finetune, lora, dora, adapter (parallel, ungated), neutral_residues or llama_pro (block expansion)"
    )
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
    gate: Gate | None = Field(
        default=None, description="what opens an adapter for a token; default relu, the paper's; none: always open"
    )
    local_loss: LocalLoss | None = Field(
        default=None,
        description="what keeps adapters silent on the original language: l1 (size of the residue), relative_l1 (size "
        "against that of the block's own output), cross_entropy (of a sigmoid gate) or none; default: the gate's",
    )
    initialisation: Initialisation | None = Field(
        default=None, description="of the inner matrices: low_variance, 1/(d·L), or he, 2/d; default: the method's"
    )
    placement: Placement | None = Field(
        default=None, description="the block that adapters stand beside: ffn (default) or attention"
    )
    layers: list[int] | None = Field(
        default=None,
        min_length=1,
        description="layers with an adapter or LoRA, or that finetune trains (then without the embeddings, unless "
        "`embeddings: trained`), counted from 0; default: all",
    )
    rank: int | None = Field(
        default=None, ge=1, description="of LoRA and DoRA; default: the one that comes nearest to the budget"
    )
    freeze: Literal["random_half", "source_shielded"] | None = Field(
        default=None,
        description="finetune: random_half leaves each kind of a layer's tensors as it is in half of the layers, drawn "
        "by the seed; source_shielded half of the columns of each, those that matter most on original-language text",
    )
    l2_to_base: float | None = Field(
        default=None,
        gt=0,
        description="finetune: weight of half the squared distance of the weights from the base's, in place of "
        "weight_decay",
    )
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="finetune: decay of the weights' moving average, which begins at the base and is what is saved",
    )
    embeddings: Embeddings | None = Field(
        default=None,
        description="finetune: trained (default) or frozen; adapters: frozen (default), new_rows (rows of tokens that "
        "the original text does not use are trained, on top of the budget) or residue (one more gated adapter, on the "
        "embedding)",
    )
    max_forgetting: float | None = Field(
        default=None,
        gt=0,
        description="bits per byte that may be lost on the original language: alpha is adapted in training so that "
        "this holds on a slice of its text that is kept out of training",
    )
    kl_to_base: float | None = Field(
        default=None,
        gt=0,
        description="weight of the KL divergence from the base's next-token distributions, on original-language text",
    )
    kl_direction: KLDirection | None = Field(
        default=None,
        description="of kl_to_base: base_to_model, KL(base ‖ model), the default, or model_to_base, KL(model ‖ base)",
    )

    interpolate: list[Share] | None = Field(
        default=None,
        min_length=1,
        description="finetune: one more run for each λ, not trained: the weights base + λ · (finetuned − base)",
    )

    @field_validator("layers")
    @classmethod
    def _layers_in_order(cls, layers: list[int] | None) -> list[int] | None:
        if layers is not None and (min(layers) < 0 or len(set(layers)) < len(layers)):
            raise ValueError("layers: give each layer once, counted from 0")
        return None if layers is None else sorted(layers)

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> MethodSettings:
        for field, reason in FIELDS.items():
            if getattr(self, field) is not None and field not in ALLOWED[self.method]:
                others = " or ".join(method for method, fields in ALLOWED.items() if field in fields)
                raise ValueError(f"{field}: {self.method} {reason}; leave {field} out, or choose the method {others}")
        known = EMBEDDINGS.get(self.method, ())
        if self.embeddings is not None and self.embeddings not in known:
            raise ValueError(f"embeddings: {self.embeddings} is not for {self.method}; choose {' or '.join(known)}")
        if self.freeze is not None and self.layers is not None:
            raise ValueError("freeze: layers says already what is trained; give one of the two")
        if self.interpolate is not None and len(set(self.interpolate)) < len(self.interpolate):
            raise ValueError("interpolate: give each share once")
        if self.rank is not None and self.budget is not None:
            raise ValueError("rank: the budget gives the rank; give one of the two")
        if self.kl_direction is not None and self.kl_to_base is None:
            raise ValueError("kl_direction: there is no divergence to take; give kl_to_base, its weight, too")
        self._refuse_contradictory_losses()
        return self

    def _refuse_contradictory_losses(self) -> None:
        gate, local_loss = self.variant("gate"), self.variant("local_loss")
        if local_loss in ("l1", "relative_l1") and gate == "sigmoid":
            raise ValueError(
                f"local_loss: a sigmoid gate is trained to tell the languages apart, and {local_loss} is not; choose "
                "local_loss: cross_entropy or none, or another gate"
            )
        if local_loss == "cross_entropy" and gate != "sigmoid":
            raise ValueError(
                f"local_loss: cross_entropy trains a sigmoid gate, and the gate is {gate}; choose gate: sigmoid, or "
                "local_loss: l1"
            )
        if local_loss == "none" and (self.alpha is not None or self.max_forgetting is not None):
            field = "alpha" if self.alpha is not None else "max_forgetting"
            raise ValueError(f"{field}: there is no local loss to weigh; leave {field} out, or choose a local_loss")
        if self.alpha is not None and self.max_forgetting is not None:
            raise ValueError("alpha: max_forgetting adapts alpha in training; give one of the two")

    def variant(self, field: str) -> Any:
        """What holds for gate, local_loss, initialisation, placement or embeddings: as set, else the default."""
        value = getattr(self, field)
        return value if value is not None else defaults(self.method, self.gate)[field]

    @property
    def label(self) -> str:
        return self.name or self.method

    @property
    def trained(self) -> MethodSettings:
        """What is trained: without the points that are made of it afterwards."""
        return self.model_copy(update={"interpolate": None})

    def points(self) -> list[MethodSettings]:
        """One for each λ of interpolate."""
        return [
            self.model_copy(update={"interpolate": [share], "name": f"{self.label} λ {share:g}"})
            for share in self.interpolate or []
        ]


PRECISION = (
    "of matrix products: fp32, bf16 or auto, which is bf16 on a GPU and on a processor with AMX or AVX512-BF16 where a "
    "product timed at the start is faster so"
)


class LoopSettings(Settings):
    """What every training loop needs, a base's pretraining and its extension alike."""

    added: ClassVar[frozenset[str]] = frozenset(
        {"not_finite", "fsdp_from", "compile_layers", "recompute_layers", "document_mask", "precision"}
    )

    steps: int = Field(default=2000, ge=1, description="optimiser steps")
    batch_size: int = Field(default=64, ge=1, description="sequences a step, over all processes")
    micro_batch_size: int | None = Field(
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
    document_mask: bool = Field(
        default=False,
        description="tokens attend to no earlier document of their sequence; positions begin anew in each",
    )
    precision: Precision = Field(default="auto", description=PRECISION)
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
    """How held-out text is scored."""

    added: ClassVar[frozenset[str]] = frozenset({"stride", "behaviour_tokens", "precision"})

    sequence_length: int | None = Field(
        default=None,
        ge=2,
        description="tokens a window, the context token included; default: 1024, or the model's context where that is "
        "shorter",
    )
    batch_size: int = Field(default=16, ge=1, description="windows a forward pass")
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        description="whole documents are scored until a set has given this many tokens; default: all",
    )
    stride: int | None = Field(
        default=None,
        ge=1,
        description="tokens from one window to the next: below sequence_length windows overlap, and each scores only "
        "what the one before did not; default: they do not overlap",
    )

    precision: Precision = Field(default="auto", description=PRECISION)
    behaviour_tokens: int = Field(
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
