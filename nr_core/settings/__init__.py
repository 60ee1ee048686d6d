"""Settings of the method, the training and the evaluation. Needs pydantic only."""

from nr_core.settings.choices import (
    DEFAULT_LENGTH,
    BaseDtype,
    Beta,
    Embeddings,
    Gate,
    Initialisation,
    KLDirection,
    LocalLoss,
    MethodName,
    Placement,
    Precision,
    Quantization,
    Seed,
    Share,
    Tracker,
    VocabularyRows,
)
from nr_core.settings.methods import MethodSettings
from nr_core.settings.strict import Bears, Settings
from nr_core.settings.training import BaseSpec, EvaluationSettings, LoopSettings, PretrainSettings, TrainingSettings

__all__ = [
    "DEFAULT_LENGTH",
    "BaseDtype",
    "BaseSpec",
    "Bears",
    "Beta",
    "Embeddings",
    "EvaluationSettings",
    "Gate",
    "Initialisation",
    "KLDirection",
    "LocalLoss",
    "LoopSettings",
    "MethodName",
    "MethodSettings",
    "Placement",
    "Precision",
    "PretrainSettings",
    "Quantization",
    "Seed",
    "Settings",
    "Share",
    "Tracker",
    "TrainingSettings",
    "VocabularyRows",
]
