"""The layer that stands in a model where the adapters go: beside the FFN, or the attention."""

from __future__ import annotations

from typing import Any

from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from nr_core.adapter import PARAMETER_NAMES, GatedAdapter, gated_residue
from nr_core.errors import ModelError
from nr_core.peft_config import NeutralResiduesConfig
from nr_core.settings import Gate
from nr_core.sites import Site
from nr_core.sparse import OpenRows, Skipping, joined, open_residue, skips
from nr_core.taps import Taps


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


def skip_closed_gates(model: nn.Module, mode: Skipping) -> None:
    """Whether inference leaves out the adapters of tokens whose ReLU gate is closed: auto (the default) | always |
    never."""
    for module in model.modules():
        if isinstance(module, NeutralResidueLayer):
            module.skip_closed_gates = mode


def find_taps(model: nn.Module) -> Taps | None:
    """The taps of a model with such adapters; None for any other model."""
    return next((module.taps for module in model.modules() if isinstance(module, NeutralResidueLayer)), None)
