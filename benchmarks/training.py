"""Measures what a step of training costs: neutral residues against full finetuning and against LoRA at an equal budget.

    python benchmarks/training.py                     # Llama, d = 512, 4 layers, 2 x 512 tokens, one thread
    python benchmarks/training.py --toy               # seconds: shows that the script runs, its figures mean nothing
    python benchmarks/training.py --shape gemma-2b    # on a GPU; without --shape smollm2-135m and gemma-2b
    python benchmarks/training.py --model SmolLM2-135M-Instruct.Q4_1.gguf    # a real one: precisions and peak memory

The steps are those of nr_core.training.loop: forward, loss, backward, clipping, AdamW. All methods take the same
tokens under the same settings, one after the other in each round; a figure is the median over rounds of the ratio
within a round, in CPU seconds (on a GPU, seconds). taps_overhead: what the local loss and the taps it reads add to a
step.

The last line is JSON: step_vs_finetune, step_vs_lora, taps_overhead, mfu (null on a CPU), and on a GPU of each shape
tokens a second, MFU and peak memory by method. The GPU part has not been run by us yet.

With --model, 4 x 512 tokens a step, each case in a process of its own, in two rounds: bf16_vs_fp32 (tokens a CPU second
of neutral residues; null where bf16 would not be chosen), compiled_vs_fp32 (the same with compile_layers; the limit is
3 with AMX), step_vs_finetune in the better precision (limit .87), and peak_memory_mb of neutral residues with
--micro-batch sequences a forward pass (limit 2,000).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GemmaConfig, GemmaForCausalLM, LlamaConfig, LlamaForCausalLM

from flows.steps.jobs import MALLOC
from nr_core.base.head import Head
from nr_core.base.language_model import set_layer_passes
from nr_core.base.load_base import load_base
from nr_core.base.precision import choose, hold_frozen_in_bf16
from nr_core.methods.extend import extend
from nr_core.progress import Progress
from nr_core.settings import BaseSpec, MethodSettings, TrainingSettings
from nr_core.tokenization.tokenizer import TokenStream
from nr_core.training.batches import Batches, Input
from nr_core.training.flops import peak_tokens
from nr_core.training.loop import Loop
from nr_core.training.optimiser import adamw
from nr_core.training.step_figures import peak_memory, reset_peak_memory

METHODS = ("finetune", "neutral_residues", "lora")
KEYS = ("step_vs_finetune", "step_vs_lora", "taps_overhead", "mfu")
PLAIN, COMPILED = "plain", "compiled"  # layers
WITHOUT_TAPS = "neutral_residues without local loss"


@dataclass(frozen=True)
class Shape:
    kind: Any
    config: Any
    batch_size: int
    sequence_length: int


def llama(hidden_size: int, layers: int, ffn_size: int, heads: int, kv_heads: int, vocabulary: int) -> LlamaConfig:
    return LlamaConfig(
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        intermediate_size=ffn_size,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        vocab_size=vocabulary,
        tie_word_embeddings=True,
    )


SHAPES = {
    "toy": Shape(LlamaForCausalLM, llama(64, 2, 176, 2, 2, 512), 2, 32),
    "d512": Shape(LlamaForCausalLM, llama(512, 4, 1408, 8, 8, 4096), 2, 512),
    "smollm2-135m": Shape(LlamaForCausalLM, llama(576, 30, 1536, 9, 3, 49152), 16, 1024),
    "gemma-2b": Shape(GemmaForCausalLM, GemmaConfig(), 4, 1024),
}


class Method:
    """A base under a method, which takes steps."""

    def __init__(self, name: str, shape: Shape, inputs: list[Input], device: torch.device) -> None:
        torch.manual_seed(0)
        held = allocated()
        settings = TrainingSettings(batch_size=shape.batch_size, sequence_length=shape.sequence_length)
        with device:
            base = shape.kind(shape.config)
        extension = extend(base, MethodSettings(method=name))
        self.loop = Loop(
            head=Head(extension.model.to(device).train()),
            batches=Batches(inputs, shape.sequence_length, shape.batch_size, seed=0),
            settings=settings,
            peak_rate=extension.learning_rate,
            seed=0,
            folder=Path(),
            progress=Progress("benchmark", name, "steps"),
            taps=extension.taps,
            alpha=extension.alpha,
        )
        self.peak_tokens = peak_tokens(self.loop.model, shape.sequence_length, 1)
        self.parameters = [p for p in self.loop.model.parameters() if p.requires_grad]
        self.optimiser = adamw(self.parameters, settings)
        self.take_step(0)  # makes the optimiser's state
        self.own_memory, self.peak_memory = allocated() - held, 0
        print(f"{name}: {extension.extra_parameters:,} new, {extension.trainable_parameters:,} trained", flush=True)

    def take_step(self, step: int, alpha: float | None = None) -> float:
        """Return its seconds. alpha 0: without taps."""
        before = allocated()
        reset_peak_memory()
        self.loop.alpha, given = self.loop.alpha if alpha is None else alpha, self.loop.alpha
        begun = clock()
        take_step(self.loop, self.parameters, self.optimiser, step)
        seconds = clock() - begun
        self.loop.alpha = given
        if torch.cuda.is_available():  # other methods' models are there too
            own = getattr(self, "own_memory", 0)
            self.peak_memory = max(getattr(self, "peak_memory", 0), own + peak_memory() - before)
        return seconds


def take_step(loop: Loop, parameters: list[torch.nn.Parameter], optimiser: torch.optim.Optimizer, step: int) -> None:
    """As nr_core.training.loop takes it, without its guards and figures."""
    loop.forward_backward(step, log=False)
    float(torch.nn.utils.clip_grad_norm_(parameters, loop.settings.clip))
    optimiser.step()
    optimiser.zero_grad()


def allocated() -> int:
    return torch.cuda.memory_allocated() if torch.cuda.is_available() else 0


def clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def random_inputs(folder: Path, vocabulary: int) -> list[Input]:
    """Random tokens, a tenth of the sequences of the original language."""
    streams = []
    for role in ("new", "original"):
        tokens = np.random.default_rng(len(role)).integers(0, vocabulary, 1 << 17).astype(np.uint32)
        lengths = np.array([0, len(tokens)])
        (folder / role).mkdir()
        stream = TokenStream(folder / role, tokens, lengths, lengths[1:], vocabulary, None, 0, 0)
        streams.append(stream)
    return [Input(streams[0], 0.9, "new"), Input(streams[1], 0.1, "original")]


def measure(shape: Shape, pairs: int) -> dict[str, Any]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        inputs = random_inputs(Path(folder), shape.config.vocab_size)
        methods = {name: Method(name, shape, inputs, device) for name in METHODS}
    seconds: dict[str, list[float]] = {name: [] for name in (*METHODS, WITHOUT_TAPS)}
    for step in range(1, pairs + 2):  # the first warms up
        order = list(seconds) if step % 2 else list(reversed(seconds))
        for name in order:
            method = methods["neutral_residues" if name == WITHOUT_TAPS else name]
            seconds[name].append(method.take_step(step, alpha=0.0 if name == WITHOUT_TAPS else None))
    seconds = {name: values[1:] for name, values in seconds.items()}

    def ratio(name: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds[name], seconds[other], strict=True))

    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(", ".join(f"{name} {value:.3f} s" for name, value in medians.items()), flush=True)
    tokens = shape.batch_size * shape.sequence_length
    by_method = {
        name: {
            "tokens_per_second": round(tokens / medians[name], 1),
            "mfu": round(tokens / medians[name] / peak, 4) if (peak := method.peak_tokens) else None,
            "peak_memory": method.peak_memory or None,
        }
        for name, method in methods.items()
    }
    return {
        "step_vs_finetune": round(ratio("neutral_residues", "finetune"), 4),
        "step_vs_lora": round(ratio("neutral_residues", "lora"), 4),
        "taps_overhead": round(ratio("neutral_residues", WITHOUT_TAPS) - 1, 4),
        "mfu": by_method["neutral_residues"]["mfu"],
        "methods": by_method,
    }


def real_step(path: str, name: str, precision: Any, passes: str, micro_batch: int) -> dict[str, float]:
    """CPU seconds (on a GPU, seconds) of a step on a real model, and this process's peak memory in MB."""
    base = load_base(BaseSpec(model=path))
    settings = TrainingSettings(batch_size=4, sequence_length=512, micro_batch_size=micro_batch)
    extension = extend(base, MethodSettings(method=name))
    model, choice = extension.model.train(), choose(precision, base)
    if choice.precision == "bf16" and not extension.method.trains_base:
        hold_frozen_in_bf16(model)
    set_layer_passes(model, compile_layers=passes == COMPILED, recompute_layers=False)
    with tempfile.TemporaryDirectory() as folder:
        inputs = random_inputs(Path(folder), base.get_input_embeddings().weight.shape[0])
    loop = Loop(
        head=Head(model, choice),
        batches=Batches(inputs, 512, 4, seed=0),
        settings=settings,
        peak_rate=extension.learning_rate,
        seed=0,
        folder=Path(),
        progress=Progress("benchmark", name, "steps"),
        taps=extension.taps,
        alpha=extension.alpha,
    )
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser, seconds = adamw(parameters, settings), []
    reset_peak_memory()  # loading is not the step
    for step in range(4):  # the first warms up
        begun = clock()
        take_step(loop, parameters, optimiser, step)
        seconds.append(clock() - begun)
    return {"seconds": statistics.median(seconds[1:]), "peak_memory_mb": peak_memory() / 1e6}


def measure_real(path: str, micro_batch: int) -> dict[str, Any]:
    better = choose("auto", load_base(BaseSpec(model=path)))
    ours, compiled, full, finetune = cases = [
        ("neutral_residues", better.precision, PLAIN),
        ("neutral_residues", better.precision, COMPILED),
        ("neutral_residues", "fp32", PLAIN),
        ("finetune", better.precision, PLAIN),
    ]
    found: dict[tuple[str, str, str], list[dict[str, float]]] = {case: [] for case in cases}
    for turn in (cases, cases[::-1]):
        for case in dict.fromkeys(turn):
            options = ["--model", path, "--micro-batch", str(micro_batch), "--case", ",".join(case)]
            done = subprocess.run([sys.executable, __file__, *options], capture_output=True, text=True, check=True)
            found[case].append(json.loads(done.stdout.splitlines()[-1]))
            print(*case, found[case][-1], flush=True)
    seconds = {case: statistics.median(one["seconds"] for one in found[case]) for case in found}
    faster = {case: round(seconds[full] / seconds[case], 3) if better.precision == "bf16" else None for case in cases}
    return {
        "precision": better.precision,
        "reason": better.reason,
        "bf16_vs_fp32": faster[ours],
        "compiled_vs_fp32": faster[compiled],
        "step_vs_finetune": round(seconds[ours] / seconds[finetune], 4),
        "peak_memory_mb": round(max(one["peak_memory_mb"] for one in found[ours])),
        "tokens_per_second": {" ".join(case): round(4 * 512 / value, 1) for case, value in seconds.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--toy", action="store_true", help="the same as --shape toy --pairs 3")
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--model", help="folder or .gguf file of a real model")
    parser.add_argument("--micro-batch", type=int, default=1, help="with --model: sequences a forward pass")
    parser.add_argument("--case", help=argparse.SUPPRESS)  # of a child: method,precision,layers
    arguments = parser.parse_args()
    if os.environ.get("MALLOC_MMAP_THRESHOLD_") is None:  # glibc reads it at a start; trainings run under it too
        os.execve(
            sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **MALLOC, "OMP_NUM_THREADS": "1"}
        )
    torch.set_num_threads(1)
    if arguments.case:
        print(json.dumps(real_step(arguments.model, *arguments.case.split(","), arguments.micro_batch)))
        return
    if arguments.model:
        print(json.dumps(measure_real(arguments.model, arguments.micro_batch)))
        return
    usual = ("smollm2-135m", "gemma-2b") if torch.cuda.is_available() else ("d512",)
    chosen = ("toy",) if arguments.toy else (arguments.shape,) if arguments.shape else usual
    measured = {}
    for name in chosen:
        print(name, flush=True)
        measured[name] = measure(SHAPES[name], 3 if arguments.toy else arguments.pairs)
    first = measured[chosen[0]]
    print(json.dumps({**{key: first[key] for key in KEYS}, "shapes": measured}))


if __name__ == "__main__":
    main()
