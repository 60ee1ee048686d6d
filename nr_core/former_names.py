"""Names that modules of this package had before it was regrouped, for scripts that use them: gone with version 0.2.

storage/former_names.py is the same for the other packages; this one imports none of them.
"""

import sys
import warnings
from collections.abc import Mapping
from importlib import import_module
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import CodeType, ModuleType
from typing import Any

FORMER_NAMES = {
    "nr_core.adapter": "nr_core.tuner.adapter",
    "nr_core.attention_sites": "nr_core.tuner.adapter_sites",
    "nr_core.base.file_pages": "nr_core.base.precision",
    "nr_core.base.mapped_memory": "nr_core.base.precision",
    "nr_core.base.quantized": "nr_core.base.precision",
    "nr_core.base_writer": "nr_core.generation.own_text",
    "nr_core.batches": "nr_core.training.batches",
    "nr_core.behaviour": "nr_core.evaluation.behaviour",
    "nr_core.bits_per_byte": "nr_core.evaluation.bits_per_byte",
    "nr_core.block_expansion": "nr_core.methods.block_expansion",
    "nr_core.budget": "nr_core.tuner.budget",
    "nr_core.checkpoints": "nr_core.training.checkpoints",
    "nr_core.distributed": "nr_core.training.distributed",
    "nr_core.document_mask": "nr_core.training.batches",
    "nr_core.earlier_runs": "nr_core.runs.build_on_earlier",
    "nr_core.embedding_residue": "nr_core.tuner.embedding",
    "nr_core.evaluate": "nr_core.evaluation.evaluate",
    "nr_core.evaluation.tasks.acceptability": "nr_core.evaluation.tasks.kinds",
    "nr_core.evaluation.tasks.figures": "nr_core.evaluation.tasks.ratio",
    "nr_core.evaluation.tasks.in_context": "nr_core.evaluation.tasks.items",
    "nr_core.evaluation.tasks.last_word": "nr_core.evaluation.tasks.kinds",
    "nr_core.evaluation.tasks.minimal_pairs": "nr_core.evaluation.tasks.kinds",
    "nr_core.evaluation.tasks.multiple_choice": "nr_core.evaluation.tasks.kinds",
    "nr_core.evaluation.tasks.rows": "nr_core.evaluation.tasks.items",
    "nr_core.evaluation.windows": "nr_core.evaluation.bits_per_byte",
    "nr_core.export": "nr_core.tuner.wider_ffn",
    "nr_core.finished_runs": "nr_core.runs.load_run",
    "nr_core.flops": "nr_core.training.flops",
    "nr_core.foreign_files": "nr_core.files",
    "nr_core.forgetting": "nr_core.training.forgetting",
    "nr_core.generate": "nr_core.generation.generate",
    "nr_core.head": "nr_core.base.head",
    "nr_core.interpolation": "nr_core.methods.weight_rules",
    "nr_core.kl_to_base": "nr_core.methods.kl_to_base",
    "nr_core.language_model": "nr_core.base.language_model",
    "nr_core.layer_passes": "nr_core.base.language_model",
    "nr_core.loading_code": "nr_core.runs.model_card",
    "nr_core.loop": "nr_core.training.loop",
    "nr_core.lora": "nr_core.methods.lora",
    "nr_core.loss": "nr_core.training.loss",
    "nr_core.lost_text": "nr_core.tokenization.tokenize_shards",
    "nr_core.memory": "nr_core.training.step_figures",
    "nr_core.methods.interpolation": "nr_core.methods.weight_rules",
    "nr_core.methods.put_on_base": "nr_core.methods.extend",
    "nr_core.methods.source_shield": "nr_core.methods.weight_rules",
    "nr_core.methods.table": "nr_core.methods.extend",
    "nr_core.mixed_batch": "nr_core.tuner.layer",
    "nr_core.model_card": "nr_core.runs.model_card",
    "nr_core.models": "nr_core.base.load_base",
    "nr_core.optimiser": "nr_core.training.optimiser",
    "nr_core.peft_config": "nr_core.tuner.config",
    "nr_core.precision": "nr_core.base.precision",
    "nr_core.pretrain": "nr_core.training.pretrain",
    "nr_core.quantized": "nr_core.base.precision",
    "nr_core.residue_layer": "nr_core.tuner.layer",
    "nr_core.run_folder": "nr_core.runs.build_on_earlier",
    "nr_core.runs.earlier": "nr_core.runs.build_on_earlier",
    "nr_core.runs.finished": "nr_core.runs.load_run",
    "nr_core.sample_text": "nr_core.generation.own_text",
    "nr_core.settings.choices": "nr_core.settings",
    "nr_core.sites": "nr_core.tuner.adapter_sites",
    "nr_core.source_shield": "nr_core.methods.weight_rules",
    "nr_core.sparse": "nr_core.tuner.adapter",
    "nr_core.taps": "nr_core.tuner.activation_taps",
    "nr_core.tasks": "nr_core.evaluation.tasks",
    "nr_core.tasks.acceptability": "nr_core.evaluation.tasks.kinds",
    "nr_core.tasks.figures": "nr_core.evaluation.tasks.ratio",
    "nr_core.tasks.harness": "nr_core.evaluation.tasks.harness",
    "nr_core.tasks.in_context": "nr_core.evaluation.tasks.items",
    "nr_core.tasks.items": "nr_core.evaluation.tasks.items",
    "nr_core.tasks.kinds": "nr_core.evaluation.tasks.kinds",
    "nr_core.tasks.last_word": "nr_core.evaluation.tasks.kinds",
    "nr_core.tasks.loglikelihood": "nr_core.evaluation.tasks.loglikelihood",
    "nr_core.tasks.minimal_pairs": "nr_core.evaluation.tasks.kinds",
    "nr_core.tasks.multiple_choice": "nr_core.evaluation.tasks.kinds",
    "nr_core.tasks.rows": "nr_core.evaluation.tasks.items",
    "nr_core.tasks.settings": "nr_core.evaluation.tasks.settings",
    "nr_core.tasks.token_tree": "nr_core.evaluation.tasks.token_tree",
    "nr_core.tasks.word_order": "nr_core.evaluation.tasks.word_order",
    "nr_core.text": "nr_core.tokenization",
    "nr_core.text.generate": "nr_core.generation.generate",
    "nr_core.text.lost_text": "nr_core.tokenization.tokenize_shards",
    "nr_core.text.new_tokens": "nr_core.tokenization.new_tokens",
    "nr_core.text.own_text": "nr_core.generation.own_text",
    "nr_core.text.token_pieces": "nr_core.tokenization.tokenize_shards",
    "nr_core.text.tokenizing": "nr_core.tokenization.tokenize_corpus",
    "nr_core.token_pieces": "nr_core.tokenization.tokenize_shards",
    "nr_core.tokenization.silent_rows": "nr_core.tokenization.new_token_head",
    "nr_core.tokenizing": "nr_core.tokenization.tokenize_corpus",
    "nr_core.tokens": "nr_core.tokenization.tokenizer",
    "nr_core.train": "nr_core.training.train",
    "nr_core.trained_run": "nr_core.runs.load_run",
    "nr_core.training.cost": "nr_core.training.step_figures",
    "nr_core.training.extended": "nr_core.training.load_and_extend",
    "nr_core.training.first_batch": "nr_core.training.shut_gates",
    "nr_core.training.guards": "nr_core.training.shut_gates",
    "nr_core.training.layer_passes": "nr_core.base.language_model",
    "nr_core.training.vocabulary": "nr_core.training.trimmed_vocabulary",
    "nr_core.tuner.export": "nr_core.tuner.wider_ffn",
    "nr_core.tuner.sites": "nr_core.tuner.adapter_sites",
    "nr_core.tuner.sparse": "nr_core.tuner.adapter",
    "nr_core.tuner.taps": "nr_core.tuner.activation_taps",
    "nr_core.variants": "nr_core.settings.methods",
    "nr_core.vocabulary": "nr_core.training.trimmed_vocabulary",
    "nr_core.weight_rules": "nr_core.methods.weight_rules",
    "nr_core.wider_ffn": "nr_core.tuner.wider_ffn",
    "nr_core.windows": "nr_core.evaluation.bits_per_byte",
}


class _Moved(MetaPathFinder, Loader):
    """Gives a module under the name that it had."""

    def __init__(self, moved: Mapping[str, str]) -> None:
        self._moved = moved

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in self._moved else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        warnings.warn(f"{spec.name} is now {self._moved[spec.name]}", DeprecationWarning, stacklevel=2)
        module = import_module(self._moved[spec.name])
        spec.loader_state = module.__spec__
        return module

    def get_code(self, name: str) -> CodeType | None:
        """Return the module's code, which `python -m` runs."""
        spec = find_spec(self._moved[name])
        return spec.loader.get_code(spec.name) if spec and isinstance(spec.loader, InspectLoader) else None

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own spec back, in whose place the import system has put that of the old name."""
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state


def keep_old_names(moved: Mapping[str, str]) -> None:
    """Let `import` find modules under their former names (former: present), before it looks for files."""
    sys.meta_path.insert(0, _Moved(moved))
