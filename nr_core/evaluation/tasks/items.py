"""A task's rows, of a data set on the hub, of local files, or made here; and the items that are made of them: questions
to a model, made without any, and pinned by their content.

What is made here is a probe of in-context learning: a rule shown by a few examples, to be applied to two new words. The
words are invented, so that no language helps. Each of four rules is right equally often, and the four choices are what
the four rules make of the same two words: a model that likes one rule, say to copy, is right in a quarter of the cases,
as one that guesses. Bits per byte alone can hide that the ability is lost: continued pretraining without English has
taken it away within its first steps (Elhady et al. 2025, arXiv 2506.00288).
"""

from __future__ import annotations

import glob
import hashlib
import json
import random
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from nr_core.errors import ModelError
from nr_core.evaluation.tasks.settings import TaskSettings

CONVERTED = "refs/convert/parquet"  # the branch in which the hub keeps every data set as Parquet


def read_rows(task: TaskSettings, folder: Path, split: str | None = None) -> list[dict[str, Any]]:
    """Return the rows of a split, from `folder` where they lie there, else from the hub or made here.

    split: another than the task's own, for few-shot examples. Raises ModelError with what to put where.
    """
    given = folder / (f"{task.name}.jsonl" if split is None else f"{task.name}.{split}.jsonl")
    if given.is_file():
        rows = list(_json_rows(given))
    elif task.data.made:
        rows = in_context_rows()
    elif task.data.hub:
        rows = [row for path in _from_hub(task, split or task.data.split, given) for row in _json_rows(path)]
    else:
        rows = [row for path in _local_files(task, folder) for row in _read(task, path)]
    if not rows:
        raise ModelError(f"Task {task.name} has no rows in {given if given.is_file() else folder}; give its data.")
    return rows


def _from_hub(task: TaskSettings, split: str, given: Path) -> list[Path]:
    from huggingface_hub import snapshot_download

    data = task.data
    assert data.hub is not None
    pattern = f"{data.subset}/{split}/*.parquet"
    try:
        found = snapshot_download(data.hub, repo_type="dataset", revision=CONVERTED, allow_patterns=[pattern])
        files = sorted(Path(found).glob(pattern))
        reason = "" if files else f"it has no {data.subset}/{split}"
    except (OSError, ValueError) as error:  # huggingface_hub's own errors and those of the network are OSErrors
        files, reason = [], (str(error).strip() or type(error).__name__).splitlines()[0]
    if not files:
        raise ModelError(
            f"Task {task.name}: the data set {data.hub} could not be had from the hub ({reason}); put split {split} of "
            f"its subset {data.subset} as JSON lines into {given.resolve()} (where there is a network: "
            f"datasets.load_dataset({data.hub!r}, {data.subset!r}, split={split!r}).to_json(...))."
        )
    return files


def _local_files(task: TaskSettings, folder: Path) -> list[Path]:
    files = []
    for pattern in task.data.files:
        found = sorted(glob.glob(str(folder / Path(pattern).expanduser()), recursive=True))
        if not found:
            source = f" (from {task.data.source})" if task.data.source else ""
            raise ModelError(
                f"Task {task.name}: there is no {pattern} in {folder.resolve()}; put it there{source}, or set "
                "`evaluation.task_data` to the folder that has it."
            )
        files += [Path(path) for path in found]
    return files


def _read(task: TaskSettings, path: Path) -> list[dict[str, Any]]:
    try:
        return list(READERS[task.data.format](path))
    except (ValueError, LookupError, ArithmeticError) as error:  # of Parquet: dates that Python has no value for
        form = {"json": "JSON, JSON lines or Parquet", "clams": "CLAMS", "conllu": "CoNLL-U"}[task.data.format]
        raise ModelError(f"Task {task.name}: {path} is no {form} ({error}); correct the file.") from error


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        yield from pq.read_table(path).to_pylist()
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
        # Not splitlines(): JSON strings may hold other line separators than a line feed.
        lines = (line for line in text.split("\n") if line.strip())
        rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in lines]
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is neither JSON nor JSON lines ({error}); correct the file.") from error
    for row in rows:
        if not isinstance(row, dict):
            raise ModelError(f"{path} holds {type(row).__name__} where a row should be an object; correct the file.")
        yield row


def _clams_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of lines `True<TAB>sentence`, each followed by its `False` twin
    (https://github.com/aaronmueller/clams)."""
    good = ""
    for line in path.read_text(encoding="utf-8-sig").split("\n"):
        label, _, sentence = line.partition("\t")
        if label == "True":
            good = sentence.strip()
        elif label == "False" and good:
            yield {"good": good, "bad": sentence.strip(), "part": path.stem}


def _conllu_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the sentences of a treebank: words, their universal tags, and whether a space follows each."""
    for block in path.read_text(encoding="utf-8-sig").split("\n\n"):
        words: list[str] = []
        tags: list[str] = []
        spaces: list[bool] = []
        covered = 0  # a multi-word token (1-2) is one word of the text; its parts have lines of their own
        for line in block.split("\n"):
            columns = line.split("\t")
            if len(columns) != 10 or "." in columns[0]:
                continue
            first, _, last = columns[0].partition("-")
            if last:
                covered = int(last)
            elif int(first) <= covered:
                if int(first) == covered:
                    tags[-1] = columns[3] if tags[-1] == "_" else tags[-1]
                continue
            words.append(columns[1])
            tags.append(columns[3])
            spaces.append("SpaceAfter=No" not in columns[9])
        if words:
            yield {"words": words, "tags": tags, "spaces": spaces}


READERS = {"json": _json_rows, "clams": _clams_rows, "conllu": _conllu_rows}


SEED = 0
ROWS_A_RULE = 100
EXAMPLES = 4
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
RULES = {
    "copy": lambda first, second: f"{first} {second}",
    "swap": lambda first, second: f"{second} {first}",
    "first": lambda first, second: f"{first} {first}",
    "last": lambda first, second: f"{second} {second}",
}


def in_context_rows() -> list[dict[str, Any]]:
    """Make the rows, the same each time: prompt, choices, answer (index of the right one) and rule."""
    draw = random.Random(SEED)
    return [_row(draw, rule) for _ in range(ROWS_A_RULE) for rule in RULES]


def _row(draw: random.Random, rule: str) -> dict[str, Any]:
    words = _words(draw, 2 * (EXAMPLES + 1))
    *shown, asked = zip(words[::2], words[1::2], strict=True)
    examples = [f"{first} {second} -> {RULES[rule](first, second)}\n" for first, second in shown]
    rules = draw.sample(list(RULES), len(RULES))
    return {
        "prompt": "".join(examples) + f"{asked[0]} {asked[1]} ->",
        "choices": [RULES[other](*asked) for other in rules],
        "answer": rules.index(rule),
        "rule": rule,
    }


def _words(draw: random.Random, count: int) -> list[str]:
    """Return so many words of two syllables, no two alike."""
    syllables = [consonant + vowel for consonant in CONSONANTS for vowel in VOWELS]
    words: dict[str, None] = {}
    while len(words) < count:
        words[draw.choice(syllables) + draw.choice(syllables)] = None
    return list(words)


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


def _not_null(value: Any) -> Any:
    if value is None:  # it would be asked as the word None
        raise TypeError("a field of it is null")
    return value


ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, finalize=_not_null)
ENVIRONMENT.filters["without_wikihow_marks"] = without_wikihow_marks


def template(task: TaskSettings, field: str) -> Callable[[Row], str]:
    """Return a prompt of the task's file as a function of a row."""
    return _evaluated(task, field, lambda text: ENVIRONMENT.from_string(text).render)


def expression(task: TaskSettings, field: str) -> Callable[[Row], Any]:
    """Return an expression of the task's file as a function of a row."""
    return _evaluated(task, field, lambda text: ENVIRONMENT.compile_expression(text, undefined_to_none=False))


def text_expression(task: TaskSettings, field: str) -> Callable[[Row], str]:
    """Return an expression of the task's file as a function of a row that gives text."""
    value_of = expression(task, field)
    return lambda row: as_text(task, field, value_of(row))


def as_text(task: TaskSettings, field: str, value: Any) -> str:
    """Return a value as it is asked. Raises ModelError for null and lists, which would be asked as such words."""
    if isinstance(value, str | int | float):
        return str(value)
    raise ModelError(
        f"Task {task.name}: {field} of a row is {_shown(value)} and no text; correct the expression, or the row."
    )


def _shown(value: Any) -> str:
    return "null" if value is None else reprlib.repr(value)


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
            value = function({str(name): value for name, value in row.items()})  # as one: a field may be named `self`
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
