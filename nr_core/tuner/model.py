"""The tuner as PEFT knows it: which modules it wraps, switches and merges. `nr_core.peft` is its public door."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner
from peft.utils import register_peft_method
from torch import nn

from nr_core.base.language_model import text_config
from nr_core.errors import ModelError
from nr_core.tuner.activation_taps import Taps
from nr_core.tuner.adapter_sites import Site, find_attention_sites, find_sites
from nr_core.tuner.budget import Backbone
from nr_core.tuner.config import NeutralResiduesConfig
from nr_core.tuner.embedding import EmbeddingResidueLayer
from nr_core.tuner.gated_rows import Places
from nr_core.tuner.layer import NeutralResidueLayer, mixed_batch

EMBEDDING = -1  # stands for the embedding where layers are counted


class NeutralResiduesModel(BaseTuner):
    """The tuner: wraps the source of every site, beside the FFN or the attention. `taps` is shared by its layers."""

    prefix = "neutral_residues_"
    tuner_layer_cls = NeutralResidueLayer
    target_module_mapping = {}  # noqa: RUF012  (PEFT's attribute; sites are found, not listed)

    def _prepare_adapter_config(self, peft_config: PeftConfig, model_config: dict[str, Any]) -> PeftConfig:
        return peft_config  # filled in by _prepare_model, which sees the model

    def _prepare_model(self, peft_config: PeftConfig, model: nn.Module) -> None:
        assert isinstance(peft_config, NeutralResiduesConfig)
        if not hasattr(getattr(model, "config", None), "get_text_config"):
            raise ModelError(
                f"{type(model).__name__} has no `config` of transformers, which tells an adapter the model's width; "
                "choose a model of transformers (a PreTrainedModel, AutoModelForCausalLM.from_pretrained), or PEFT's "
                "LoRA, which takes any linear layer."
            )
        layers = [module for module in model.modules() if isinstance(module, NeutralResidueLayer)]
        self.taps = layers[0].taps if layers else Taps()
        if peft_config.placement == "attention":
            sites = find_attention_sites(model)
        else:
            sites = find_sites(model, peft_config.sites)
        config = model.config.get_text_config()  # type: ignore[union-attr, operator]
        self._hidden_size, self._depth = config.hidden_size, len(sites)
        known = [site.layer for site in sites]
        if peft_config.layers is None:
            peft_config.layers = known
        if unknown := sorted(set(peft_config.layers) - set(known)):
            raise ModelError(
                f"The model has no layer {unknown[0]}: its {len(known)} layers are 0 to {known[-1]}; correct `layers`."
            )
        if peft_config.width is None:
            peft_config.width = Backbone.of(model).adapter_width(
                peft_config.budget, peft_config.budget_of, peft_config.gate != "none", len(peft_config.layers)
            )
        chosen = [site for site in sites if site.layer in peft_config.layers]
        if peft_config.embeddings != "frozen":
            chosen.append(_embedding_site(model))
        self._given = peft_config.sites
        self._targets = {site.source: site for site in chosen}
        _refuse_other_targets(peft_config.target_modules, self._targets)
        peft_config.target_modules = list(self._targets)

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        super().inject_adapter(model, adapter_name, *args, **kwargs)
        # PEFT condenses 20 targets or more to a set of suffixes, whose order in the saved file would change by process.
        config = self.peft_config[adapter_name]
        assert isinstance(config, NeutralResiduesConfig)
        config.target_modules = None
        self._prepare_model(config, model)

    def _cast_adapter_dtype(self, adapter_name: str, autocast_adapter_dtype: bool = True) -> None:
        """Cast as PEFT does: to fp32, or with autocast_adapter_dtype=False what the base has, where that is no packed
        type.
        """
        super()._cast_adapter_dtype(adapter_name, autocast_adapter_dtype)
        if not autocast_adapter_dtype:
            for layer in self._layers():
                layer.take_dtype_of_base(adapter_name)

    @contextmanager
    def _enable_peft_forward_hooks(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        """Do what PEFT has done around every forward pass and generate: `adapter_names` gives each row of the batch its
        adapter."""
        names = kwargs.get("adapter_names")
        if names is None:
            yield
            return
        with mixed_batch(self._layers(), names, set(self.peft_config), kwargs.get("num_beams")):
            yield

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Module:
        """Resize as the base does. Raises ModelError where an adapter extends the embedding."""
        if isinstance(self.model.get_input_embeddings(), EmbeddingResidueLayer):
            raise ModelError(
                "The adapter extends the token embedding, which cannot be resized beneath it; resize that of the base, "
                "and put the adapter on it afterwards."
            )
        resized: nn.Module = self.model.resize_token_embeddings(*args, **kwargs)
        return resized

    def add_weighted_adapter(self, *args: Any, **kwargs: Any) -> None:
        """Raise ModelError: what LoRA and IA³ have by this name has no sense here."""
        raise ModelError(
            "Adapters with a gate or an activation are no sums of their weights, so no adapter is the average of "
            "others; use them together instead: model.base_model.set_adapter([...]) adds up what each puts out."
        )

    def merge_adapter(self, adapter_names: list[str] | None = None, safe_merge: bool = False) -> None:
        self._require_mergeable(adapter_names)
        super().merge_adapter(adapter_names=adapter_names, safe_merge=safe_merge)

    def merge_and_unload(
        self, progressbar: bool = False, safe_merge: bool = False, adapter_names: list[str] | None = None
    ) -> nn.Module:
        """Return the base with a wider FFN, which its config tells. Raises ModelError, and leaves the model as it is,
        where an adapter has a gate, or where not every layer gets the same width."""
        self.merge_adapter(adapter_names, safe_merge)
        widths = {layer.merged_width() for layer in self._layers() if layer.layer != EMBEDDING}
        layers = sum(layer.layer != EMBEDDING and layer.merged for layer in self._layers())
        config = text_config(self.model)
        if layers != config.num_hidden_layers or len(widths) != 1:
            self.unmerge_adapter()
            raise ModelError(
                f"{layers} of {config.num_hidden_layers} layers have an adapter; a wider model needs one of equal "
                "width in each."
            )
        config.intermediate_size += widths.pop()
        return self.unload()

    def _require_mergeable(self, adapter_names: list[str] | None) -> None:
        for layer in self._layers():
            layer.require_mergeable(layer.active_adapters if adapter_names is None else adapter_names)

    def _layers(self) -> list[NeutralResidueLayer]:
        return [module for module in self.model.modules() if isinstance(module, NeutralResidueLayer)]

    def _check_target_module_exists(self, peft_config: PeftConfig, key: str) -> bool:  # type: ignore[override]
        return key in self._targets

    def _get_tied_target_modules(self, model: nn.Module) -> list[str]:
        """Return none: PEFT warns that tied embeddings go apart when adapters are merged into one; these never are."""
        return []

    def _create_and_replace(
        self,
        peft_config: PeftConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        assert isinstance(peft_config, NeutralResiduesConfig)
        layer = target
        if not isinstance(layer, NeutralResidueLayer):
            layer = self._layer(target, self._targets[current_key])
            self._replace_module(parent, target_name, layer, target)
        layer.update_layer(adapter_name, peft_config, self._hidden_size, self._depth)

    def _layer(self, target: nn.Module, site: Site) -> NeutralResidueLayer:
        if site.layer == EMBEDDING:
            head: Any = self.model.get_output_embeddings()
            return EmbeddingResidueLayer(target, site, head, self.taps, partial(Places.of, self.model, self._given))
        sink = None if site.sink == site.source else self.model.get_submodule(site.sink)
        return NeutralResidueLayer(target, site, sink, self.taps)

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        """Replace as PEFT does, whose own way copies `.weight` of the target, which an FFN has not."""
        setattr(parent, child_name, new_module)
        if isinstance(child, NeutralResidueLayer):
            child.detach_sink()


def _refuse_other_targets(given: Iterable[str] | None, targets: Iterable[str]) -> None:
    """Raise ModelError for an adapter of a model built otherwise: PEFT would give it random weights, with a warning.

    Names are compared from the list of layers on: what stands before it differs where a language model lies in another.
    """
    known = {_place(name) for name in targets}
    for name in [given] if isinstance(given, str) else given or ():
        if _place(name) not in known and not any(place.endswith(f".{name}") for place in known):
            raise ModelError(
                f"target_modules names {name!r}, and adapters of this method go to {', '.join(sorted(known)[:3])} ...: "
                "load the adapter on the base that it was made for; for a new one leave target_modules out (`sites` "
                "says where else adapters go)."
            )


def _place(name: str) -> str:
    parts = name.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdigit()), len(parts))
    return ".".join(parts[max(0, number - 1) :])


def _embedding_site(model: nn.Module) -> Site:
    embedding: Any = model.get_input_embeddings()  # type: ignore[operator]
    name = next(name for name, module in model.named_modules() if module is embedding)
    return Site(EMBEDDING, name, name)


register_peft_method(
    name="neutral_residues",
    config_cls=NeutralResiduesConfig,
    model_cls=NeutralResiduesModel,
    prefix=NeutralResiduesModel.prefix,
)
