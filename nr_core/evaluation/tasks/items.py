"""Items, the questions to a model: made of a task's rows without any model, and pinned by their content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from nr_core.errors import ModelError
from nr_core.evaluation.tasks.settings import TaskSettings

SAMPLE_SEED = 0  # of the items that are taken where a task is cut short: the same for every model
DELIMITER = " "
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Item:
    """pairs: (context, continuation) texts whose log-likelihoods are asked for; gold: index of the right one, or for a
    judgement 1 (acceptable) or 0; delimiter: the separator that each continuation begins with."""

    pairs: list[tuple[str, str]]
    gold: int
    part: str = ""
    delimiter: str = DELIMITER

    def content(self) -> dict[str, Any]:
        """Return what is asked. The delimiter is left out where it is the usual one: such items are what they were
        before.
        """
        return {name: value for name, value in asdict(self).items() if (name, value) != ("delimiter", DELIMITER)}


def without_wikihow_marks(text: str) -> str:
    """Return HellaSwag's texts without the marks of WikiHow, as lm-evaluation-harness cleans them."""
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")


ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
ENVIRONMENT.filters["without_wikihow_marks"] = without_wikihow_marks


def template(task: TaskSettings, field: str) -> Callable[[Row], str]:
    """Return a prompt of the task's file as a function of a row."""
    return _evaluated(task, field, lambda text: ENVIRONMENT.from_string(text).render)


def expression(task: TaskSettings, field: str) -> Callable[[Row], Any]:
    """Return an expression of the task's file as a function of a row."""
    return _evaluated(task, field, lambda text: ENVIRONMENT.compile_expression(text, undefined_to_none=False))


def _evaluated(task: TaskSettings, field: str, compiled: Callable[[str], Any]) -> Callable[[Row], Any]:
    text = getattr(task, field)
    if text is None:
        return lambda row: ""
    try:
        function = compiled(text)
    except TemplateError as error:
        raise ModelError(f"Task {task.name}: {field} is no Jinja ({error}): {text!r}; correct it.") from error

    def of(row: Row) -> Any:
        try:
            value = function(**{str(name): value for name, value in row.items()})
        except (TemplateError, TypeError, ValueError, LookupError) as error:
            fields = ", ".join(map(str, row))
            raise ModelError(
                f"Task {task.name}: {field} cannot be made of a row ({error}); its fields are {fields}."
            ) from error
        if isinstance(value, StrictUndefined):
            raise ModelError(f"Task {task.name}: {field} names no field of its rows, which have {', '.join(row)}.")
        return value

    return of


def sample_items(items: Sequence[Item], most: int | None) -> list[Item]:
    """Return at most so many, drawn once for all models, in their order."""
    if most is None or len(items) <= most:
        return list(items)
    chosen = np.random.default_rng(SAMPLE_SEED).permutation(len(items))[:most]
    return [items[i] for i in sorted(chosen)]


def as_lines(items: Sequence[Item]) -> str:
    """Return items as JSON lines, for `read_items`."""
    return "".join(json.dumps(item.content(), ensure_ascii=False) + "\n" for item in items)


def read_items(path: Path) -> list[Item]:
    # Not splitlines(): texts may hold other line separators than a line feed.
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return [Item(**{**row, "pairs": [(context, text) for context, text in row["pairs"]]}) for row in rows]


def content_hash(items: Sequence[Item]) -> str:
    """Return the sha256 in hex: equal where the same is asked."""
    content = json.dumps([item.content() for item in items], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()
