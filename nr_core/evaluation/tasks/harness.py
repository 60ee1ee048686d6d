"""lm-evaluation-harness on our models (extra `eval`): its tasks, its prompts, its scores, item by item."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nr_core.base.load_base import named
from nr_core.base.precision import FP32, Choice
from nr_core.errors import ModelError

NOT_FINITE = (
    "{} has no figures: {} puts out numbers that are not finite (NaN or infinite), since its weights are damaged or "
    "its activations overflow; give another model."
)
# What the harness calls a figure of a task, beside the filter's name; others are left out.
ITEM_METRICS = ("acc", "acc_norm", "acc_bytes", "exact_match", "f1")


@dataclass(frozen=True)
class HarnessFigure:
    task: str
    metric: str
    value: float
    stderr: float | None
    version: str
    numerators: list[float]  # one an item, in the set's order; empty where the figure is no mean over items
    content: list[str]  # hash of each item


def run_harness(
    model: Any,
    tokenizer: Any,
    tasks: Sequence[str],
    batch_size: int = 16,
    limit: int | None = None,
    include_path: Path | None = None,
    precision: Choice = FP32,
) -> list[HarnessFigure]:
    """Score a model in memory on tasks of lm_eval; limit: the first so many items of each.

    include_path: a folder of task files, in place of those that come with lm_eval. Raises ModelError where lm_eval is
    not installed, knows no such task, cannot have its data, or meets an item that the model's context is too short for.
    """
    lm_eval = _lm_eval()
    manager = _task_manager(lm_eval, include_path)
    if unknown := [name for name in tasks if name not in manager.all_tasks]:
        raise ModelError(f"lm_eval has no task {unknown[0]}; `python -m lm_eval ls tasks` lists them.")
    core = lm_eval.models.huggingface.HFLM(
        pretrained=model,
        tokenizer=tokenizer,
        batch_size=batch_size,
        device=str(model.device),
        mixed_precision_dtype="bfloat16" if precision.precision == "bf16" else None,
        softmax_dtype="float32",
    )
    watch = model.register_forward_hook(_refuse_nan)  # a text that was made of NaN looks like any other
    try:
        with _plain_errors(tasks, core.max_length):
            result = lm_eval.simple_evaluate(
                model=core, tasks=list(tasks), task_manager=manager, limit=limit, bootstrap_iters=1000, log_samples=True
            )
    finally:
        watch.remove()
    _refuse_what_is_not_finite(result["samples"], named(model))
    return [figure for task in result["samples"] for figure in _figures(task, result)]


def _lm_eval() -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import lm_eval
        import lm_eval.models.huggingface
        import lm_eval.tasks
    except ImportError as error:
        raise ModelError("lm_eval needs the extra `eval`: pip install 'neutral-residues[eval]'.") from error
    return lm_eval


def _task_manager(lm_eval: Any, include_path: Path | None) -> Any:
    if include_path is None:
        return _own_task_manager(lm_eval)
    return lm_eval.tasks.TaskManager(include_path=str(include_path), include_defaults=False)


@cache
def _own_task_manager(lm_eval: Any) -> Any:
    """Index lm_eval's own tasks, once for base and runs: it reads thousands of YAML files, for seven seconds."""
    return lm_eval.tasks.TaskManager()


@contextmanager
def _plain_errors(tasks: Sequence[str], max_length: int) -> Iterator[None]:
    """Give what lm_eval raises a sentence, as ModelError."""
    try:
        yield
    except AssertionError as error:  # all that lm_eval says of a continuation that does not fit into the context
        raise ModelError(
            f"lm_eval gave up on {', '.join(tasks)}: likely an item is longer than the {max_length} tokens of "
            "the model's context; take another task, or a base with a longer context."
        ) from error
    except (OSError, ValueError) as error:  # datasets and huggingface_hub raise these where the hub is out of reach
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"lm_eval could not run {', '.join(tasks)} ({reason}); its data comes from the Hugging Face hub: fetch it "
            "where there is a network, or ask for the task without --harness, with its data in a local file."
        ) from error


def _refuse_nan(model: Any, args: Any, output: Any) -> None:
    """Look at the last place only: on the left lm_eval pads, and what padding puts out is nobody's."""
    if output.logits[:, -1].isnan().any():
        raise ModelError(NOT_FINITE.format("lm_eval", named(model)))


def _refuse_what_is_not_finite(samples: dict[str, Any], model: str) -> None:
    """Refuse NaN: lm_eval takes the first of several for the likeliest, and counts it as an answer."""
    for task, rows in samples.items():
        answers = [answer for row in rows for answer in _numbers(row.get("filtered_resps"))]
        if not all(map(math.isfinite, answers)):
            raise ModelError(NOT_FINITE.format(task, model))


def _numbers(answer: Any) -> Iterator[float]:
    if isinstance(answer, int | float):
        yield answer
    elif isinstance(answer, list | tuple):
        for part in answer:
            yield from _numbers(part)


def harness_rows(figures: Sequence[HarnessFigure]) -> dict[str, list[dict[str, Any]]]:
    """Return rows of evaluations (metrics) and evaluation_items (items), and what each set is (harness)."""
    import lm_eval

    metrics, items, sets = [], [], {}
    for figure in figures:
        content = hashlib.sha256("".join(figure.content).encode()).hexdigest()
        eval_id = hashlib.sha256(f"lm_eval {figure.task} {figure.version} {content}".encode()).hexdigest()[:16]
        key = {"eval_id": eval_id, "metric": figure.metric}
        metrics.append({**key, "value": figure.value, "n": len(figure.content), "stderr": figure.stderr})
        ones = [1.0] * len(figure.numerators)
        if figure.numerators:
            items.append({**key, "parts": None, "numerators": figure.numerators, "denominators": ones})
        harness = f"lm_eval {lm_eval.__version__}"
        about = {"name": figure.task, "version": figure.version, "content_hash": content, "harness": harness}
        sets[eval_id] = {"eval_id": eval_id, **about}
    return {"metrics": metrics, "items": items, "harness": list(sets.values())}


def _figures(task: str, result: dict[str, Any]) -> list[HarnessFigure]:
    samples = result["samples"][task]
    found = []
    for key, value in result["results"][task].items():
        metric, _, filtered = key.partition(",")
        if not filtered or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        of_filter = [sample for sample in samples if sample.get("filter", filtered) == filtered]
        of_filter.sort(key=lambda sample: sample["doc_id"])
        error = result["results"][task].get(f"{metric}_stderr,{filtered}")
        found.append(
            HarnessFigure(
                task=task,
                metric=metric,
                value=float(value),
                stderr=float(error) if isinstance(error, int | float) else None,
                version=str(result["versions"].get(task)),
                numerators=[float(sample[metric]) for sample in of_filter] if metric in ITEM_METRICS else [],
                content=[str(sample["doc_hash"]) for sample in of_filter],
            )
        )
    return found
