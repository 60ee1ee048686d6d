"""Figures of the steps of a training: losses, speeds, arithmetic and MFU, and the rows of steps.parquet.

The arithmetic is that of the frozen-backbone formula: a weight costs 2 FLOPs a token on the way forward, 2 more where
its input needs a gradient, and 2 more where it is trained itself. So a frozen weight above the first adapter costs 4,
below it 2, and a finetuned one 6; with 6 for all, the MFU of an adapter would read some 20 % too high. What
recomputation adds is not counted. MFU is the share of what a GPU could do.
"""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from nr_core.base.load_base import device, load_shape
from nr_core.files import writing
from nr_core.settings import DEFAULT_LENGTH, BaseSpec, MethodSettings, TrainingSettings
from nr_core.training.checkpoints import LoopState
from nr_core.training.distributed import Ranks

PROBE = 4  # tokens of the forward pass that shows where gradients flow

# Dense bf16 FLOPs a second by what the device calls itself, from NVIDIA's data sheets.
PEAK = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


def peak_flops(place: torch.device) -> float | None:
    """Return the peak of one device in bf16; None on the CPU and on a GPU that the table does not know."""
    if place.type != "cuda":
        return None
    name = torch.cuda.get_device_name(place)
    return next((peak for known, peak in PEAK.items() if known in name), None)


def peak_tokens(model: Any, sequence_length: int, devices: int) -> float | None:
    """Return tokens a second that some devices could train at their peak; None where that peak is not known."""
    peak = peak_flops(device())
    flops = training_flops(model, sequence_length) if peak else None
    return devices * peak / flops if peak and flops else None


def planned_flops(base: BaseSpec, method: MethodSettings, training: TrainingSettings) -> float | None:
    """Return the FLOPs of a whole training, before there is one: by the base's config.json, without its weights.

    What `embeddings` adds and `freeze` spares, and the base's own pass for `kl_to_base`, are left out. None for a
    mixture of experts. Raises ModelError where the base has no config that can be read, or no place for the method.
    """
    from nr_core.methods.put_on_base import extend

    length = training.sequence_length or DEFAULT_LENGTH
    plain = method.trained.model_copy(update={"embeddings": None, "freeze": None})
    with torch.device("meta"):
        a_token = training_flops(extend(load_shape(base), plain).model, length)
    return None if a_token is None else a_token * training.steps * training.batch_size * length


def training_flops(model: Any, sequence_length: int) -> float | None:
    """Return the FLOPs of one trained token, forward and backward; None for a mixture of experts.

    A linear layer by the rule above; attention 4·T·(heads · head size) forward and twice that backward where gradients
    pass it, the masked half counted too. One pass over a few tokens shows which inputs need gradients. The optimiser
    is left out.
    """
    from transformers.pytorch_utils import Conv1D

    if any(parameter.ndim > 2 for parameter in model.parameters()):
        return None  # the experts of a mixture are one tensor, of which each token sees a part
    linear: dict[nn.Module, float] = {}
    attentions: dict[nn.Module, bool] = {}

    def count(module: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
        gradients = args[0].requires_grad + module.weight.requires_grad
        linear[module] = linear.get(module, 0.0) + 2.0 * (1 + gradients) * module.weight.numel()

    def pass_gradients(attention: nn.Module) -> Any:
        def note(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            attentions[attention] = attentions.get(attention, False) or args[0].requires_grad

        return note

    hooks = []
    for module in model.modules():
        if isinstance(module, nn.Linear | Conv1D):
            hooks.append(module.register_forward_hook(count))
    for attention in _attentions(model):
        attentions[attention] = False
        hooks += [
            module.register_forward_hook(pass_gradients(attention))
            for module in attention.modules()
            if isinstance(module, nn.Linear | Conv1D)
        ]
    training = model.training
    try:
        model.eval()
        with torch.enable_grad():
            probe = torch.zeros(1, PROBE, dtype=torch.long, device=model.device)
            # On the meta device transformers cannot look whether a mask is needed: it is told.
            mask = torch.ones(1, 1, PROBE, PROBE, device=probe.device) if probe.is_meta else None
            model(input_ids=probe, attention_mask=mask, use_cache=False)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    config = model.config.get_text_config()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    scores = 4.0 * sequence_length * config.num_attention_heads * size
    return sum(linear.values()) + sum(scores * (3 if backward else 1) for backward in attentions.values())


def _attentions(model: Any) -> list[nn.Module]:
    from nr_core.errors import ModelError
    from nr_core.tuner.adapter_sites import find_attention_sites

    try:
        return [model.get_submodule(site.source) for site in find_attention_sites(model)]
    except ModelError:
        return []


# The most memory that one job of several in a process has used.


def reset_peak_memory() -> None:
    """Start counting anew, where the kernel lets us (Linux)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # the peak of the whole process is then what peak_memory() gives


def peak_memory() -> int:
    """Return peak memory in bytes: of the GPU where there is one, else resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.is_file():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        if "VmHWM" in fields:
            return int(fields["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


STEP_COLUMNS = pa.schema(
    [
        ("step", pa.int64()),
        ("tokens", pa.int64()),
        ("lm_loss", pa.float64()),
        ("local_loss", pa.float64()),
        ("kl_loss", pa.float64()),
        ("alpha", pa.float64()),
        ("learning_rate", pa.float64()),
        ("tokens_per_second", pa.float64()),
        ("mfu", pa.float64()),
        ("grad_norm", pa.float64()),
        ("open_rate_new", pa.float64()),
        ("open_rate_original", pa.float64()),
    ]
)


@dataclass
class StepFigures:
    """Sums of one step over all its micro-batches. Of each role: open gates per layer, and tokens."""

    lm_loss: float = 0.0
    local_loss: float = 0.0
    kl_loss: float = 0.0
    open_new: Tensor | None = None
    open_original: Tensor | None = None
    tokens_new: int = 0
    tokens_original: int = 0

    @property
    def open_rate_new(self) -> float | None:
        return _rate(self.open_new, self.tokens_new)

    @property
    def open_rate_original(self) -> float | None:
        return _rate(self.open_original, self.tokens_original)

    @property
    def most_open(self) -> float | None:
        """The share of the new language's tokens that open a gate in the layer where most do; None without gates."""
        if self.open_new is None or not len(self.open_new) or not self.tokens_new:
            return None
        return float(self.open_new.max()) / self.tokens_new

    def gather(self, ranks: Ranks, device: torch.device) -> None:
        """Sum what each process saw of its rows: all then log and judge alike."""
        if ranks.count == 1:
            return
        losses = [self.lm_loss, self.local_loss, self.kl_loss]
        sums = ranks.sum(torch.tensor(losses, dtype=torch.float64, device=device))
        self.lm_loss, self.local_loss, self.kl_loss = sums.tolist()
        for opened in (self.open_new, self.open_original):
            if opened is not None and len(opened):
                ranks.sum(opened)


@dataclass
class Pace:
    """Speeds of a training in tokens a second: since it began or went on, and since it last logged."""

    begun: float
    tokens_begun: int
    seconds_before: float
    logged: float
    tokens_logged: int
    now: float

    @classmethod
    def at(cls, state: LoopState) -> Pace:
        now = time.monotonic()
        return cls(now, state.tokens, state.seconds, now, state.tokens, now)

    def count(self, state: LoopState) -> None:
        """Take the time of a step that is done."""
        self.now = time.monotonic()
        state.seconds = self.seconds_before + self.now - self.begun

    def since_log(self, state: LoopState) -> float:
        """Return the speed since this was last asked."""
        speed = (state.tokens - self.tokens_logged) / (self.now - self.logged)
        self.logged, self.tokens_logged = self.now, state.tokens
        return speed

    def since_begin(self, state: LoopState) -> float:
        return (state.tokens - self.tokens_begun) / (self.now - self.begun)


def _rate(opened: Tensor | None, tokens: int) -> float | None:
    return float(opened.float().mean()) / tokens if opened is not None and len(opened) and tokens else None


def write_steps(rows: list[dict[str, Any]], path: Path) -> None:
    unknown = {name for row in rows for name in row} - set(STEP_COLUMNS.names)
    assert not unknown, f"without a column in STEP_COLUMNS, which Arrow would drop: {unknown}"
    with writing(path) as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=STEP_COLUMNS), partial)
