"""The precision of a base: of its matrix products, and of weights held in 8 or 4 bits.

Products are taken in bf16 where the device is faster at it, else in fp32. Adapters, optimiser, norms, the residual
stream, losses and taps stay in fp32 whatever the choice (autocast). Linear layers are held in 8 or 4 bits by torchao or
bitsandbytes; adapters stay in fp32 beside them, since an adapter reads the block's input and adds to its output, and so
never touches a base weight.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import time
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nr_core.base.language_model import text_config
from nr_core.errors import ModelError
from nr_core.files import write_json
from nr_core.settings import Precision, Quantization

PRECISION_FILE = "precision.json"
# bf16 must gain this much in the product alone: around it the casts eat what is gained, and noise would decide.
LEAST_GAIN = 1.3
# Narrower models spend their time in small operations, of which bf16 makes more. A step of neutral residues in bf16
# took 1.33, .76 and .60 of its time in fp32 at widths of 64, 128 and 256 (4 layers; AMD EPYC with AVX512-BF16, one
# thread, CPU seconds, 28 November 2026).
SMALLEST_WIDTH = 256
TIMED_TOKENS, TIMED_ROUNDS = 1024, 5


@dataclass(frozen=True)
class Choice:
    """fp32 or bf16, and why, for the log and the table runs."""

    precision: Literal["fp32", "bf16"]
    reason: str

    def autocast(self, device: torch.device) -> Any:
        """Return the context in which a model computes."""
        return torch.autocast(device.type, dtype=torch.bfloat16) if self.precision == "bf16" else nullcontext()


FP32 = Choice("fp32", "nobody chose")


def choose(asked: Precision, model: Any, place: torch.device | None = None) -> Choice:
    """Decide for a model, on the device where it lies or will lie.

    `auto` on a CPU: bf16 where the processor has AMX or AVX512-BF16 and a product of the model's own size, timed now,
    is faster; without either, bf16 products are tens of times slower than fp32.
    """
    device = place or next(model.parameters()).device
    if asked != "auto":
        return Choice(asked, "it is set so")
    if device.type == "cuda":
        return (
            Choice("bf16", "the device is a GPU")
            if torch.cuda.is_bf16_supported()
            else Choice("fp32", "the GPU knows no bf16")
        )
    if not cpu_knows_bf16():
        return Choice("fp32", "the processor has neither AMX nor AVX512-BF16")
    config = text_config(model)
    if config.hidden_size < SMALLEST_WIDTH:
        return Choice("fp32", f"the model is narrower than {SMALLEST_WIDTH}")
    gain = _gain(config.hidden_size, getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
    what = f"a matrix product of the model's size is {gain:.1f} times as fast in bf16 as in fp32"
    return Choice("bf16" if gain >= LEAST_GAIN else "fp32", what)


def cpu_knows_bf16() -> bool:
    """Return whether the processor has products of bf16; without them they are tens of times slower than of fp32."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def choose_once(asked: Precision, model: Any, folder: Path, place: torch.device | None = None) -> Choice:
    """Decide as `choose` does, and remember it in the folder: a job that goes on computes as it began."""
    path = folder / PRECISION_FILE
    if path.is_file():
        return Choice(**json.loads(path.read_text()))
    choice = choose(asked, model, place)
    write_json(path, {"precision": choice.precision, "reason": choice.reason})
    return choice


def hold_frozen_in_bf16(model: nn.Module) -> None:
    """Keep what autocast would make of frozen linear weights at each step: the same values, half of the memory.

    A head that shares the embedding's matrix gets a copy of its own: embeddings stay in fp32, and with them the
    residual stream. Where the weights lie in a mapped file, its pages that were read are let go.
    """
    embedding, pages = model.get_input_embeddings().weight, FilePages()  # type: ignore[operator]
    for module in model.modules():
        if isinstance(module, nn.Linear) and not module.weight.requires_grad and module.weight.dtype == torch.float32:
            own = module.weight.detach()
            held = own.to(torch.bfloat16)
            if module.weight is embedding:
                module.weight = nn.Parameter(held, requires_grad=False)
            else:
                module.weight.data = held
            pages.let_go(own)


def to_read_from(model: Any, choice: Choice) -> Any:
    """Return a model that nothing is trained of: frozen, its linear weights held as they are computed with.

    Autocast keeps no cast of a frozen weight, so the head would be cast anew for each piece of tokens.
    """
    model.eval().requires_grad_(False)
    if choice.precision == "bf16":
        hold_frozen_in_bf16(model)
        _keep_no_rows(model.get_input_embeddings())
    return model


def _keep_no_rows(embedding: nn.Module) -> None:
    """Let go of what each pass has read of an embedding that lies in a file: the kernel maps 16 pages for each row."""
    pages = FilePages()
    if pages.of(embedding.weight.detach()) is not None:  # type: ignore[operator]
        embedding.register_forward_hook(lambda module, *_: pages.let_go(module.weight.detach()))


def _gain(inner: int, outer: int) -> float:
    """Tell how many times as fast a product (tokens × inner) · (inner × outer) is in bf16, from fp32 input as under
    autocast."""
    seconds = product_seconds(inner, outer, (torch.float32, torch.bfloat16))
    return seconds[torch.float32] / seconds[torch.bfloat16]


@torch.no_grad()
def product_seconds(inner: int, outer: int, dtypes: tuple[torch.dtype, ...]) -> dict[torch.dtype, float]:
    """Time a product (TIMED_TOKENS × inner) · (inner × outer) on the CPU, from fp32 input."""
    seconds = dict.fromkeys(dtypes, float("inf"))
    tokens, weights = torch.ones(TIMED_TOKENS, inner), torch.ones(outer, inner)
    for _ in range(TIMED_ROUNDS):
        for dtype in seconds:
            held = weights.to(dtype)
            begun = time.perf_counter()
            F.linear(tokens.to(dtype), held)
            seconds[dtype] = min(seconds[dtype], time.perf_counter() - begun)
    return seconds


PACKAGE: dict[Quantization, str] = {
    "torchao-int8": "torchao",
    "bitsandbytes-int8": "bitsandbytes",
    "bitsandbytes-nf4": "bitsandbytes",
}


def quantization_config(kind: Quantization) -> Any:
    """Return what from_pretrained takes. Raises ModelError where the package is not installed."""
    import torch
    from transformers import BitsAndBytesConfig, TorchAoConfig

    if find_spec(PACKAGE[kind]) is None:
        raise ModelError(
            f"base.quantize: {kind} needs the package {PACKAGE[kind]}: pip install 'neutral-residues[quantized]'."
        )
    if kind == "torchao-int8":
        from torchao.quantization import Int8WeightOnlyConfig

        return TorchAoConfig(Int8WeightOnlyConfig())
    if kind == "bitsandbytes-int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def count(parameter: nn.Parameter) -> int:
    """Count the entries of a weight, of which bitsandbytes packs two of 4 bits into a byte."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(state.shape.numel())


def refuse_to_train(model: Any, method: str) -> None:
    """Raise ModelError for a quantized base under a method that trains or copies its weights."""
    if getattr(model, "is_quantized", False):
        raise ModelError(
            f"{method} trains the base's own weights, and this base is quantized; leave base.quantize out, or choose "
            "lora, adapter or neutral_residues."
        )


# Pages of the files that weights lie in: what a process reads of a mapped file counts as its memory until it lets go.
# Weights that are held in the type of their safetensors file are that file's pages (load_base).
SMAPS = Path("/proc/self/smaps")
DONT_NEED = 4  # MADV_DONTNEED of madvise(2): pages of a file are read from it anew when they are next used


class FilePages:
    """The parts of this process's memory that are files which it mapped and did not write to, as of now: (start, end).

    None outside of Linux.
    """

    def __init__(self) -> None:
        self._mapped: list[tuple[int, int]] = []
        here = None
        for line in SMAPS.read_text(errors="replace").splitlines() if SMAPS.is_file() else ():
            first, *rest = line.split()
            if not first.endswith(":"):  # ADDRESSES PERMISSIONS OFFSET DEVICE INODE NAME
                start, end = (int(address, 16) for address in first.split("-"))
                here = (start, end) if rest[3] != "0" else None
            elif first == "Anonymous:" and rest[0] == "0" and here is not None:
                self._mapped.append(here)

    def of(self, tensor: Tensor) -> tuple[int, int] | None:
        """Return the whole pages inside a tensor: address and bytes. None where it lies in no such file."""
        if tensor.device.type != "cpu" or not tensor.is_contiguous():
            return None
        begin, size = tensor.data_ptr(), tensor.nbytes
        if not any(start <= begin and begin + size <= end for start, end in self._mapped):
            return None
        first = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (begin + size) // mmap.PAGESIZE * mmap.PAGESIZE
        return (first, last - first) if last > first else None

    def let_go(self, tensor: Tensor) -> None:
        """Let go of a tensor's pages; it can be used as before. Nothing happens where it lies in no such file."""
        if (pages := self.of(tensor)) is not None:
            _advise(*pages)


def _advise(address: int, size: int) -> None:
    """Give pages back to the system, which may refuse (locked ones, say): then all stays as it is."""
    ctypes.CDLL(None).madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), DONT_NEED)
