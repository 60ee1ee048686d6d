"""The layer that stands in a model where the adapters go: beside the FFN, or the attention."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn

from nr_core.errors import ModelError
from nr_core.settings import Gate
from nr_core.tuner.activation_taps import Taps
from nr_core.tuner.adapter import (
    PARAMETER_NAMES,
    GatedAdapter,
    OpenRows,
    Skipping,
    any_open,
    gated_residue,
    joined,
    open_residue,
    skips,
)
from nr_core.tuner.adapter_sites import Site
from nr_core.tuner.config import NeutralResiduesConfig
from nr_core.tuner.wider_ffn import require_widenable, widen

# Batches whose rows go through different adapters: PEFT's `adapter_names`, one name a row, `__base__` for none.


BASE = "__base__"  # PEFT's name of a row that no adapter is to touch


class MixedBatch:
    """The adapter of every row of a batch."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def residue(self, x: Tensor, adapters: dict[str, Callable[[Tensor], Tensor]]) -> Tensor:
        """Map x (rows, ..., d), or flattened to (rows · tokens, d) -> what each row's own adapter adds to it."""
        count = len(self._names)
        if (x.ndim > 2 and len(x) != count) or x.shape[:-1].numel() % count:
            raise ModelError(f"adapter_names: {count} names for {len(x)} rows; give one a row, {BASE} for none.")
        rows = x.reshape(count, -1, x.shape[-1])
        total = torch.zeros_like(rows)
        for name, adapter in adapters.items():
            chosen = self.mask(name, x.device)
            if chosen.any():
                total[chosen] = adapter(rows[chosen]).to(total.dtype)
        return total.view_as(x)

    def mask(self, name: str, device: torch.device) -> Tensor:
        """Return (rows,): True where the adapter is this one."""
        return torch.tensor([own == name for own in self._names], device=device)


@contextmanager
def mixed_batch(layers: Iterable[Any], names: Any, known: set[str], beams: Any) -> Iterator[None]:
    """Let every layer take each row's own adapter while open. beams: rows of beam search that each row becomes.

    Raises ModelError for a name that is no adapter, and in training or while taps are collected, which know one adapter
    a batch.
    """
    held = list(layers)
    names = [str(name) for name in names]
    if unknown := sorted(set(names) - known - {BASE}):
        raise ModelError(
            f"adapter_names: the model has no adapter {unknown[0]!r}; choose among {', '.join(sorted(known))} and "
            f"{BASE}."
        )
    if any(layer.training or layer.taps.collecting or layer.merged for layer in held):
        raise ModelError(
            "adapter_names is for inference: call model.eval(), unmerge what was merged, and collect no taps meanwhile."
        )
    batch = MixedBatch([name for name in names for _ in range(beams if isinstance(beams, int) and beams > 1 else 1)])
    for layer in held:
        layer.mixed = batch
    try:
        yield
    finally:
        for layer in held:
            layer.mixed = None


class NeutralResidueLayer(nn.Module, BaseTunerLayer):
    """Stands for the source of a site, holds the adapters, and adds their residues to the output of the sink."""

    adapter_layer_names: tuple[str, ...] = PARAMETER_NAMES

    def __init__(self, base_layer: nn.Module, site: Site, sink: nn.Module | None, taps: Taps) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.layer = site.layer
        self.taps = taps
        self.place = taps.place(site.layer)
        # Flat and keyed by the adapter's name, as LoRA's: from nested ones transformers' load_adapter reads nothing.
        self.neutral_residues_in = nn.ModuleDict()
        self.neutral_residues_glu = nn.ModuleDict()
        self.neutral_residues_out = nn.ModuleDict()
        self.neutral_residues_block_gate = nn.ModuleDict()
        self._gates: dict[str, Gate] = {}
        self._active_adapter: str | list[str] = []
        self._residue: Tensor | OpenRows | None = None
        self.skip_closed_gates: Skipping = "auto"
        self.mixed: MixedBatch | None = None
        self.merged_adapters: list[str] = []
        self._unmerged: dict[str, nn.Module] = {}
        self.has_sink = sink is not None  # whether the residue goes to another module than the one that is wrapped
        # Handles are not looked at in forward: torch.compile knows no such objects.
        self._hook = sink.register_forward_hook(self._add_to_sink) if sink is not None else None

    def update_layer(self, adapter_name: str, config: NeutralResiduesConfig, hidden_size: int, depth: int) -> None:
        assert config.width is not None
        device = next(self.base_layer.parameters()).device
        adapter = GatedAdapter(hidden_size, config.width, depth, config.gate, config.initialisation, device)
        for name, linear in adapter.named_children():
            getattr(self, name)[adapter_name] = linear
        self._gates[adapter_name] = config.gate
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def take_dtype_of_base(self, adapter_name: str) -> None:
        dtype = next((p.dtype for p in self.base_layer.parameters() if p.is_floating_point()), None)
        for part in self.adapter_layer_names:
            held = getattr(self, part)
            if dtype is not None and adapter_name in held:
                held[adapter_name].to(dtype)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        # Decoder layers hand an FFN its input by position, and some an attention by name.
        x = args[0] if args else kwargs["hidden_states"]
        if self.disable_adapters and self.merged:
            self.unmerge()
        output = self.base_layer(*args, **kwargs)
        residue = None if self.disable_adapters else self._open_residue(x) if self._skips(x) else self.residue(x)
        if self.has_sink:
            self._residue = residue
            return output
        return output if residue is None else self._add(output, residue)

    def residue(self, x: Tensor) -> Tensor | None:
        """Map x (..., d) -> the sum of the active adapters' residues (..., d); None where none is active in this
        layer."""
        if self.mixed is not None:
            return self.mixed.residue(x, {name: partial(self._residue_of, name) for name in self.neutral_residues_in})
        total = None
        for name in self._acting():
            residue = self._residue_of(name, x)
            total = residue if total is None else total + residue
        return total

    def _acting(self) -> list[str]:
        """Return the active adapters that this layer has, without those that are merged into the FFN."""
        return [
            name
            for name in self.active_adapters
            if name in self.neutral_residues_in and name not in self.merged_adapters
        ]

    def _residue_of(self, name: str, x: Tensor) -> Tensor:
        w_in, w_glu, w_out = (getattr(self, part)[name] for part in PARAMETER_NAMES[:3])
        gates = self.neutral_residues_block_gate
        block_gate: Any = gates[name] if name in gates else None  # noqa: SIM401  (a ModuleDict has no get)
        residue, logit = gated_residue(
            self._cast_input_dtype(x, w_in.weight.dtype), w_in, w_glu, w_out, block_gate, self._gates[name]
        )
        if self.taps.measures():
            self.taps.write(self.place, name, residue, logit)
        return residue

    def _skips(self, x: Tensor) -> bool:
        """Tell whether every active adapter has a ReLU gate, and nobody wants to see the closed ones."""
        active = self._acting()
        gated = all(self._gates[name] == "relu" for name in active)
        apart = self.mixed is not None or self.taps.measures()
        return bool(active) and gated and not apart and skips(self.skip_closed_gates, x)

    def _open_residue(self, x: Tensor) -> OpenRows | None:
        parts = []
        for name in self._acting():
            gate: Any = self.neutral_residues_block_gate[name]
            states = self._cast_input_dtype(x, gate.weight.dtype)
            if any_open(logit := gate(states)):  # in decoding mostly not: then nothing else is looked up
                inner = (getattr(self, part)[name] for part in PARAMETER_NAMES[:3])
                parts.append(open_residue(states, logit, *inner))
        return joined(parts)

    def _add_to_sink(self, module: nn.Module, args: Any, output: Any) -> Any:
        residue, self._residue = self._residue, None
        return output if residue is None else self._add(output, residue)

    def _add(self, output: Any, residue: Tensor | OpenRows) -> Any:
        """Add the residue to a block's output: attention returns (hidden states, weights), and a mixture of experts may
        return (.., router logits)."""
        if isinstance(output, tuple):
            return (self._add(output[0], residue), *output[1:])
        if self.taps.with_blocks and self.taps.measures():
            self.taps.write_block(self.place, self.active_adapters, output)
        if isinstance(residue, OpenRows):
            return residue.add_to(output)
        return output + residue.to(output.dtype).view_as(output)

    def gates_of(self, name: str) -> dict[int, nn.Module]:
        """Return the linear layers w of an adapter's gates here, by the layer under which taps know them."""
        gates = self.neutral_residues_block_gate
        return {self.layer: gates[name]} if name in gates else {}

    def detach_sink(self) -> None:
        if self._hook is not None:
            self._hook.remove()

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Merge adapters without a gate, which become more width of the FFN.

        Raises ModelError where they cannot (require_mergeable), or safe_merge finds weights that are not finite.
        """
        names = self.require_mergeable(check_adapters_to_merge(self, adapter_names))
        weights = [tuple(getattr(self, part)[name].weight for part in PARAMETER_NAMES[:3]) for name in names]
        if safe_merge and not all(torch.isfinite(weight).all() for parts in weights for weight in parts):
            raise ModelError(f"The adapter in layer {self.layer} has weights that are not finite; it is not merged.")
        if names:
            before = widen(self.base_layer, weights)
            self._unmerged = self._unmerged or before
            self.merged_adapters = [*self.merged_adapters, *names]

    def require_mergeable(self, names: list[str]) -> list[str]:
        """Return those of the adapters that this layer has. Raises ModelError where one has a gate, or stands beside
        something that more width cannot replace."""
        own = [name for name in names if name in self.neutral_residues_in]
        if any(self._gates[name] != "none" for name in own):
            raise ModelError(
                "Only adapters without a gate become a part of the FFN. A gate depends on the token, so a gated "
                "adapter cannot be merged: keep it as an adapter, and serve it through transformers."
            )
        if own:
            require_widenable(self.base_layer, self.has_sink)
        return own

    def merged_width(self) -> int:
        """Return the width that the layer's adapters have given to the FFN."""
        return sum(self.neutral_residues_in[name].out_features for name in self.merged_adapters)  # type: ignore[misc]

    def unmerge(self) -> None:
        for part, linear in self._unmerged.items():
            setattr(self.base_layer, part, linear)
        self._unmerged, self.merged_adapters = {}, []


def skip_closed_gates(model: nn.Module, mode: Skipping) -> None:
    """Set whether inference leaves out the adapters of tokens whose ReLU gate is closed: auto (the default) | always |
    never."""
    for module in model.modules():
        if isinstance(module, NeutralResidueLayer):
            module.skip_closed_gates = mode


def find_taps(model: nn.Module) -> Taps | None:
    """Return the taps of a model with such adapters; None for any other model."""
    return next((module.taps for module in model.modules() if isinstance(module, NeutralResidueLayer)), None)
