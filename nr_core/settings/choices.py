"""The names among which a field of the settings chooses, and bounds that several share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

DEFAULT_LENGTH = 1024  # tokens a sequence or window, where the model's context is not shorter

MethodName = Literal["finetune", "lora", "dora", "adapter", "neutral_residues", "llama_pro"]
Gate = Literal["relu", "elu", "sigmoid", "none"]
LocalLoss = Literal["l1", "relative_l1", "cross_entropy", "none"]
Initialisation = Literal["low_variance", "he"]
Placement = Literal["ffn", "attention"]
KLDirection = Literal["base_to_model", "model_to_base"]
Embeddings = Literal["trained", "frozen", "new_rows", "residue", "gated_rows"]
# A step seeds torch with seed x 1,000,003 + step for each process, which must fit in 64 bits.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Precision = Literal["auto", "fp32", "bf16"]
BaseDtype = Literal["float32", "bfloat16"]
VocabularyRows = Literal["full", "trimmed"]
Tracker = Literal["none", "trackio", "wandb", "mlflow"]
Quantization = Literal["torchao-int8", "bitsandbytes-int8", "bitsandbytes-nf4"]
