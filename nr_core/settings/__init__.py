"""Settings of the method, the training and the evaluation. Needs pydantic only."""

from nr_core.settings.method_table import Embeddings, MethodName
from nr_core.settings.methods import (
    Gate,
    Initialisation,
    KLDirection,
    LocalLoss,
    MethodSettings,
    Placement,
    Share,
)
from nr_core.settings.strict import Bears, Settings
from nr_core.settings.training import (
    DEFAULT_LENGTH,
    BaseDtype,
    BaseSpec,
    Beta,
    EvaluationSettings,
    LoopSettings,
    Precision,
    PretrainSettings,
    Quantization,
    Seed,
    Tracker,
    TrainingSettings,
    VocabularyRows,
)

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
