"""Measures what an adapter costs at inference, dense and with closed gates skipped, over the backbone alone.

    python benchmarks/inference.py                            # Llama, d = 1024, 6 layers, 512 tokens, one thread
    python benchmarks/inference.py --hidden-size 64 --pairs 3 # toy size
    python benchmarks/inference.py --dtype bfloat16           # a base held in bf16; adapters stay in fp32
    python benchmarks/inference.py --run RUN --tokens STREAM  # also at a trained run's closed share (base: RUN's own)

Medians of interleaved rounds, in CPU seconds (on a GPU, seconds). Gates are open at random with a given probability, so
that the share is exact whatever the weights. The last line is JSON: closed_share, dense_overhead, sparse_overhead,
max_abs_difference of prefill; decoding (the same of single tokens); trained, at the share of closed gates that a run
has on held-out text of the original language, null without --run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from nr_core.base.head import Head
from nr_core.evaluation.bits_per_byte import choose_documents
from nr_core.evaluation.evaluate import score
from nr_core.peft import NeutralResiduesConfig, find_taps, skip_closed_gates
from nr_core.runs.load_run import load_run
from nr_core.settings import BaseSpec, EvaluationSettings
from nr_core.tokenization.tokenizer import TokenStream


class RandomGate(nn.Linear):
    """Costs what the gate costs and an addition, and is open for the tokens that were drawn before the clock ran."""

    opened: Tensor

    def draw(self, shape: torch.Size, open_share: float, round_: int, layer: int) -> None:
        """Draw the open ones of tokens (B, T), others in each round and layer."""
        nn.init.zeros_(self.weight)
        drawn = torch.rand(shape, generator=torch.Generator().manual_seed(1000 * round_ + layer))
        self.opened = (drawn < open_share).to(self.weight).unsqueeze(-1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.opened


def clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def build(arguments: argparse.Namespace) -> Any:
    heads = max(1, arguments.hidden_size // 64)
    config = LlamaConfig(
        hidden_size=arguments.hidden_size,
        intermediate_size=arguments.hidden_size * 4,
        num_hidden_layers=arguments.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        vocab_size=4096,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    base = LlamaForCausalLM(config).to(getattr(torch, arguments.dtype))
    model: Any = get_peft_model(base, NeutralResiduesConfig(), autocast_adapter_dtype=False).eval()
    for name, parameter in model.named_parameters():
        if "neutral_residues_out" in name:
            nn.init.normal_(parameter, std=0.02)
    for module in model.modules():
        gates = getattr(module, "neutral_residues_block_gate", None)
        if gates is not None:
            gates["default"].__class__ = RandomGate
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


@torch.inference_mode()
def measure(model: Any, tokens: Tensor, open_share: float, pairs: int) -> dict[str, float]:
    """tokens (1, T): T = 512 for prefill, 1 for a decoded token."""
    backbone = model.get_base_model()
    gates = [module for module in model.modules() if isinstance(module, RandomGate)]

    def run(mode: str) -> Tensor:
        skip_closed_gates(model, "always" if mode == "sparse" else "never")
        logits: Tensor = backbone(input_ids=tokens, use_cache=False).logits
        return logits

    seconds: dict[str, list[float]] = {"backbone": [], "dense": [], "sparse": []}
    logits: dict[str, Tensor] = {}
    for round_ in range(pairs + 1):  # the first warms up
        for layer, gate in enumerate(gates):
            gate.draw(tokens.shape, open_share, round_, layer)
        for mode in seconds:
            if mode == "backbone":
                with model.disable_adapter():
                    begun = clock()
                    run(mode)
            else:
                begun = clock()
                logits[mode] = run(mode)
            if round_ > 0:
                seconds[mode].append(clock() - begun)
    overhead = {
        mode: statistics.median(a / b for a, b in zip(seconds[mode], seconds["backbone"], strict=True)) - 1
        for mode in ("dense", "sparse")
    }
    return {
        "closed_share": round(1 - open_share, 4),
        "dense_overhead": round(overhead["dense"], 4),
        "sparse_overhead": round(overhead["sparse"], 4),
        "max_abs_difference": float((logits["dense"] - logits["sparse"]).abs().max()),
    }


def open_share_of(base: str | None, run: Path, tokens: Path) -> float:
    """Return the share of open gates, over layers and tokens, of a trained run on a token stream."""
    named = json.loads((run / "run.json").read_text())["base"]
    model = load_run(BaseSpec.model_validate(named | ({"model": base} if base else {})), run).eval()
    stream = TokenStream.open(tokens)
    settings = EvaluationSettings(batch_size=8)
    figures = score(Head(model), find_taps(model), stream, choose_documents(stream, 20_000), settings)
    return sum(figures.opened.values()) / len(figures.opened) / float(figures.tokens.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden-size", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the backbone's weights")
    parser.add_argument("--tokens-in-prefill", type=int, default=512)
    parser.add_argument("--closed", type=float, default=0.95, help="share of closed gates")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--base", help="folder or id of the base of --run, where it has moved")
    parser.add_argument("--run", type=Path, help="folder of a trained run")
    parser.add_argument("--tokens", type=Path, help="token stream of held-out text of the original language")
    arguments = parser.parse_args()
    if arguments.run and not arguments.tokens:
        parser.error("--run needs --tokens, the text on which its gates are closed or open")
    torch.set_num_threads(1)
    model = build(arguments)
    draw = torch.Generator().manual_seed(0)
    prefill = torch.randint(4096, (1, arguments.tokens_in_prefill), generator=draw).to(model.device)
    result: dict[str, Any] = measure(model, prefill, 1 - arguments.closed, arguments.pairs)
    print("prefill", result, flush=True)
    result["decoding"] = measure(model, prefill[:, :1], 1 - arguments.closed, 10 * arguments.pairs)
    result["trained"] = None
    if arguments.run is not None:
        share = open_share_of(arguments.base, arguments.run, arguments.tokens)
        result["trained"] = measure(model, prefill, share, arguments.pairs)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
