"""Measures what `base.vocabulary: trimmed` gains and changes: a step's cost, the softmax over fewer rows.

    python benchmarks/vocabulary.py --model gemma-3-270m --new hun.jsonl.gz --old eng.jsonl.gz [--precision bf16]

The tokens are those of the first --tokens of both texts; of both the first --scored are scored. bits_per_byte: of the
untrained base, by the softmax over all rows and over the kept ones, which comes out lower, by what it gives to missing
rows. step: CPU seconds (on a GPU, seconds) of neutral residues with
--batch x --length tokens, in turns, medians; vs_full is the ratio of the two. The last line is JSON.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from nr_core.base.head import Head
from nr_core.base.load_base import load_base
from nr_core.base.precision import choose, hold_frozen_in_bf16
from nr_core.evaluation.evaluate import score
from nr_core.methods.extend import extend
from nr_core.progress import Progress
from nr_core.settings import BaseSpec, EvaluationSettings, MethodSettings, TrainingSettings
from nr_core.tokenization.tokenize_corpus import tokenize
from nr_core.tokenization.tokenizer import TokenStream, load_tokenizer
from nr_core.training.batches import Batches, Input
from nr_core.training.loop import Loop
from nr_core.training.trimmed_vocabulary import Vocabulary, tables_of
from pipelines.sources.text_files import TextRecord, read_text

CHARACTERS = 3  # a token, about
LONGEST = 1 << 26  # bytes of one document


def stream_of(path: Path, tokens: int, tokenizer: str, folder: Path) -> TokenStream:
    """Of the first so many tokens of a text, about."""
    texts, left = [], tokens * CHARACTERS
    for row in read_text(path, {"text_field": "text", "id_field": None, "title_field": None}, LONGEST):
        if isinstance(row, TextRecord) and left > 0:
            texts.append(row.text[:left])
            left -= len(texts[-1])
    folder.mkdir()
    pq.write_table(pa.table({"text": texts}), folder / "text.parquet")
    tokenize([folder / "text.parquet"], tokenizer, folder / "stream")
    return TokenStream.open(folder / "stream")


def bits_per_byte(model: Any, stream: TokenStream, chosen: argparse.Namespace) -> float:
    settings = EvaluationSettings(sequence_length=chosen.length, batch_size=chosen.batch)
    sums = score(model.eval(), None, stream, list(range(stream.documents)), settings)
    return float(next(row["value"] for row in sums.metrics("text") if row["metric"] == "bits_per_byte"))


def steps_of(model: Any, extension: Any, inputs: list[Input], chosen: argparse.Namespace) -> Loop:
    precision = choose(chosen.precision, model)
    if precision.precision == "bf16":
        hold_frozen_in_bf16(model)
    return Loop(
        head=Head(model.train(), precision),
        batches=Batches(inputs, chosen.length, chosen.batch, seed=0),
        settings=TrainingSettings(batch_size=chosen.batch, sequence_length=chosen.length),
        peak_rate=extension.learning_rate,
        seed=0,
        folder=Path(),
        progress=Progress("benchmark", "vocabulary", "steps"),
        taps=extension.taps,
        alpha=extension.alpha,
    )


def clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--new", required=True, type=Path, help="text of the language to learn, which is scored too")
    parser.add_argument("--old", required=True, type=Path, help="text of the language to keep")
    parser.add_argument("--tokens", type=int, default=1_000_000, help="of each text, about")
    parser.add_argument("--scored", type=int, default=4096, help="tokens of each that are scored")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    spec, texts = BaseSpec(model=chosen.model), {"new": chosen.new, "original": chosen.old}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trained = {role: stream_of(path, chosen.tokens, chosen.model, folder / role) for role, path in texts.items()}
        scored = {role: stream_of(path, chosen.scored, chosen.model, folder / f"{role}-scored")
                  for role, path in texts.items()}  # fmt: skip
        base = load_base(spec)
        rows = base.get_input_embeddings().weight.shape[0]
        streams = [*trained.values(), *scored.values()]
        vocabulary = Vocabulary.of(streams, load_tokenizer(spec), base, rows)
        print(vocabulary.says, flush=True)
        loops: dict[str, Loop] = {}
        figures: dict[str, dict[str, float]] = {}
        for kind, own in (("full", copy.deepcopy(base)), ("trimmed", base)):
            if kind == "trimmed":
                vocabulary.trim(own, tables_of(own))
                trained, scored = (
                    {role: vocabulary.renumber(stream, folder) for role, stream in held.items()}
                    for held in (trained, scored)
                )
            figures[kind] = {role: bits_per_byte(own, stream, chosen) for role, stream in scored.items()}
            print(kind, figures[kind], flush=True)
            torch.manual_seed(0)
            extension = extend(own, MethodSettings(method="neutral_residues"))
            inputs = [Input(trained["new"], 0.9, "new"), Input(trained["original"], 0.1, "original")]
            loops[kind] = steps_of(extension.model, extension, inputs, chosen)
        seconds: dict[str, list[float]] = {kind: [] for kind in loops}
        for step in range(chosen.steps + 1):  # the first warms up
            for kind, loop in loops.items():
                begun = clock()
                loop.forward_backward(step, log=False)
                loop.model.zero_grad()
                seconds[kind].append(clock() - begun)
    medians = {kind: statistics.median(found[1:]) for kind, found in seconds.items()}
    tokens = chosen.batch * chosen.length
    report = {
        "kept": len(vocabulary.tokens),
        "rows": rows,
        "bits_per_byte": figures,
        "difference": {role: round(figures["trimmed"][role] - value, 6) for role, value in figures["full"].items()},
        "precision": loops["full"].head.precision.precision,
        "tokens_per_second": {kind: round(tokens / value, 1) for kind, value in medians.items()},
        "vs_full": round(medians["full"] / medians["trimmed"], 3),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
