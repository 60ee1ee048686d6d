"""The PEFT method `neutral_residues`: importing this module registers it.

    import nr_core.peft
    model = get_peft_model(base, nr_core.peft.NeutralResiduesConfig(budget=0.2))

save_pretrained, PeftModel.from_pretrained, disable_adapter, several adapters at once, generate and the hub then work as
for LoRA. Written against peft 0.21 (https://github.com/huggingface/peft); merging is impossible, since the gate depends
on the token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import PeftType, register_peft_method
from torch import Tensor, nn

from nr_core.adapter import PARAMETER_NAMES, GatedAdapter, gated_residue
from nr_core.attention_sites import find_attention_sites
from nr_core.budget import BUDGET, Backbone
from nr_core.errors import ModelError
from nr_core.settings import Embeddings, Gate, Initialisation, Placement
from nr_core.sites import Site, find_sites
from nr_core.sparse import OpenRows, Skipping, joined, open_residue, skips
from nr_core.taps import Taps

# 1 knew the gates relu and none, placement ffn, frozen embeddings and found sites; what it can read says 1.
FORMAT_VERSION = 2

EMBEDDING = -1  # stands for the embedding where layers are counted


def _extend_peft_type(name: str) -> None:
    """PeftType is a closed Enum, and both peft and transformers read `peft_type.value`: a plain string would not do."""
    if name in PeftType.__members__:
        return
    member = str.__new__(PeftType, name)
    member._name_ = name
    member._value_ = name
    PeftType._member_map_[name] = member
    PeftType._value2member_map_[name] = member
    PeftType._member_names_.append(name)
    type.__setattr__(PeftType, name, member)


_extend_peft_type("NEUTRAL_RESIDUES")


@dataclass
class NeutralResiduesConfig(PeftConfig):
    """What is saved beside the weights. width: h; left out, it follows from the budget when the adapter is made."""

    width: int | None = None
    budget: float = BUDGET
    budget_of: str = "non_embedding"
    gate: Gate = "relu"
    activation: str = "silu"
    initialisation: Initialisation = "low_variance"
    placement: Placement = "ffn"
    embeddings: Embeddings = "frozen"
    new_rows: list[int] | None = field(default=None, metadata={"help": "tokens whose embedding is extended"})
    post_norm: str = "after"
    layers: list[int] | None = field(default=None, metadata={"help": "layers with an adapter; default: all"})
    sites: list[str] | None = field(default=None, metadata={"help": "where adapters go; default: found by structure"})
    format_version: int = 1
    target_modules: list[str] | None = field(default=None, metadata={"help": "filled in: the sites of those layers"})
    exclude_modules: list[str] | None = None
    modules_to_save: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.NEUTRAL_RESIDUES  # type: ignore[attr-defined]
        if self.format_version > FORMAT_VERSION:
            raise ModelError(
                f"The adapter is of format {self.format_version}, this version reads {FORMAT_VERSION} and older; "
                "install a newer neutral-residues."
            )
        for name, value, known in (
            ("gate", self.gate, get_args(Gate)),
            ("activation", self.activation, ("silu",)),
            ("initialisation", self.initialisation, get_args(Initialisation)),
            ("placement", self.placement, get_args(Placement)),
            ("embeddings", self.embeddings, ("frozen", "new_rows", "residue")),
            ("post_norm", self.post_norm, ("after",)),
        ):
            if value not in known:
                raise ModelError(f"NeutralResiduesConfig.{name} is {value!r}; choose one of {', '.join(known)}.")
        if self.embeddings == "new_rows" and not self.new_rows:
            raise ModelError("NeutralResiduesConfig.new_rows lists no tokens; give them, or embeddings='frozen'.")
        if self.sites is not None and self.placement == "attention":
            raise ModelError("NeutralResiduesConfig.sites says where adapters go, and so does placement; give one.")
        of_first_format = self.gate in ("relu", "none") and self.placement == "ffn" and self.embeddings == "frozen"
        if not of_first_format or self.sites is not None:
            self.format_version = FORMAT_VERSION


class NeutralResidueLayer(nn.Module, BaseTunerLayer):
    """Stands for the source of a site, holds the adapters, and adds their residues to the output of the sink."""

    adapter_layer_names: tuple[str, ...] = PARAMETER_NAMES

    def __init__(self, base_layer: nn.Module, site: Site, sink: nn.Module | None, taps: Taps) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.layer = site.layer
        self.taps = taps
        # Flat and keyed by the adapter's name, as LoRA's: from nested ones transformers' load_adapter reads nothing.
        self.neutral_residues_in = nn.ModuleDict()
        self.neutral_residues_glu = nn.ModuleDict()
        self.neutral_residues_out = nn.ModuleDict()
        self.neutral_residues_block_gate = nn.ModuleDict()
        self._gates: dict[str, Gate] = {}
        self._active_adapter: str | list[str] = []
        self._residue: Tensor | OpenRows | None = None
        self.skip_closed_gates: Skipping = "auto"
        self._hook = sink.register_forward_hook(self._add_to_sink) if sink is not None else None

    def update_layer(self, adapter_name: str, config: NeutralResiduesConfig, hidden_size: int, depth: int) -> None:
        assert config.width is not None
        device = next(self.base_layer.parameters()).device
        adapter = GatedAdapter(hidden_size, config.width, depth, config.gate, config.initialisation, device)
        for name, linear in adapter.named_children():
            getattr(self, name)[adapter_name] = linear
        self._gates[adapter_name] = config.gate
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        # Decoder layers hand an FFN its input by position, and some an attention by name.
        x = args[0] if args else kwargs["hidden_states"]
        output = self.base_layer(*args, **kwargs)
        residue = None if self.disable_adapters else self._open_residue(x) if self._skips(x) else self.residue(x)
        if self._hook is not None:
            self._residue = residue
            return output
        return output if residue is None else self._add(output, residue)

    def residue(self, x: Tensor) -> Tensor | None:
        """x (..., d) -> the sum of the active adapters' residues (..., d); None where none is active in this layer."""
        total = None
        for name in self.active_adapters:
            if name not in self.neutral_residues_in:
                continue
            w_in, w_glu, w_out = (getattr(self, part)[name] for part in PARAMETER_NAMES[:3])
            gates = self.neutral_residues_block_gate
            block_gate: Any = gates[name] if name in gates else None  # noqa: SIM401  (a ModuleDict has no get)
            residue, logit = gated_residue(
                self._cast_input_dtype(x, w_in.weight.dtype), w_in, w_glu, w_out, block_gate, self._gates[name]
            )
            if self.taps.collecting:
                self.taps.write(name, self.layer, residue, logit)
            total = residue if total is None else total + residue
        return total

    def _skips(self, x: Tensor) -> bool:
        """Where every active adapter has a ReLU gate, and nobody wants to see the closed ones."""
        active = [name for name in self.active_adapters if name in self.neutral_residues_in]
        gated = all(self._gates[name] == "relu" for name in active)
        return bool(active) and gated and not self.taps.collecting and skips(self.skip_closed_gates, x)

    def _open_residue(self, x: Tensor) -> OpenRows | None:
        parts = []
        for name in self.active_adapters:
            if name in self.neutral_residues_in:
                w_in, w_glu, w_out, block_gate = (getattr(self, part)[name] for part in PARAMETER_NAMES)
                parts.append(open_residue(self._cast_input_dtype(x, w_in.weight.dtype), w_in, w_glu, w_out, block_gate))
        return joined([part for part in parts if part is not None])

    def _add_to_sink(self, module: nn.Module, args: Any, output: Any) -> Any:
        residue, self._residue = self._residue, None
        return output if residue is None else self._add(output, residue)

    def _add(self, output: Any, residue: Tensor | OpenRows) -> Any:
        """Attention returns (hidden states, weights), and a mixture of experts may return (.., router logits)."""
        if isinstance(output, tuple):
            return (self._add(output[0], residue), *output[1:])
        if self.taps.collecting and self.taps.with_blocks:
            self.taps.write_block(self.active_adapters, self.layer, output)
        if isinstance(residue, OpenRows):
            return residue.add_to(output)
        return output + residue.to(output.dtype).view_as(output)

    @property
    def has_sink(self) -> bool:
        """Whether the residue goes to another module than the one that is wrapped."""
        return self._hook is not None

    def detach_sink(self) -> None:
        if self._hook is not None:
            self._hook.remove()

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        raise ModelError(
            "A gated adapter cannot be merged into the backbone: its gate depends on the token. Keep it as an adapter."
        )

    def unmerge(self) -> None:
        """Nothing was ever merged."""


class NeutralResiduesModel(BaseTuner):
    """The tuner: wraps the source of every site, beside the FFN or the attention. `taps` is shared by its layers."""

    prefix = "neutral_residues_"
    tuner_layer_cls = NeutralResidueLayer
    target_module_mapping = {}  # noqa: RUF012  (PEFT's attribute; sites are found, not listed)

    def _prepare_adapter_config(self, peft_config: PeftConfig, model_config: dict[str, Any]) -> PeftConfig:
        return peft_config  # filled in by _prepare_model, which sees the model

    def _prepare_model(self, peft_config: PeftConfig, model: nn.Module) -> None:
        assert isinstance(peft_config, NeutralResiduesConfig)
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
        self._targets = {site.source: site for site in chosen}
        peft_config.target_modules = list(self._targets)

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        super().inject_adapter(model, adapter_name, *args, **kwargs)
        # PEFT condenses 20 targets or more to a set of suffixes, whose order in the saved file would change by process.
        self._prepare_model(self.peft_config[adapter_name], model)

    def _check_target_module_exists(self, peft_config: PeftConfig, key: str) -> bool:  # type: ignore[override]
        return key in self._targets

    def _get_tied_target_modules(self, model: nn.Module) -> list[str]:
        """PEFT warns that tied embeddings go apart when adapters are merged into one of them; these never are."""
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
            from nr_core.embedding_residue import EmbeddingResidueLayer

            head: Any = self.model.get_output_embeddings()
            return EmbeddingResidueLayer(target, site, head, self.taps)
        sink = None if site.sink == site.source else self.model.get_submodule(site.sink)
        return NeutralResidueLayer(target, site, sink, self.taps)

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        """PEFT's own copies `.weight` of the target, which an FFN has not."""
        setattr(parent, child_name, new_module)
        if isinstance(child, NeutralResidueLayer):
            child.detach_sink()


def _embedding_site(model: nn.Module) -> Site:
    embedding: Any = model.get_input_embeddings()  # type: ignore[operator]
    name = next(name for name, module in model.named_modules() if module is embedding)
    return Site(EMBEDDING, name, name)


def skip_closed_gates(model: nn.Module, mode: Skipping) -> None:
    """Whether inference leaves out the adapters of tokens whose ReLU gate is closed: auto (the default) | always |
    never."""
    for module in model.modules():
        if isinstance(module, NeutralResidueLayer):
            module.skip_closed_gates = mode


def find_taps(model: nn.Module) -> Taps | None:
    """The taps of a model with such adapters; None for any other model."""
    return next((module.taps for module in model.modules() if isinstance(module, NeutralResidueLayer)), None)


register_peft_method(
    name="neutral_residues",
    config_cls=NeutralResiduesConfig,
    model_cls=NeutralResiduesModel,
    prefix=NeutralResiduesModel.prefix,
)
