"""The rows of a task: of a data set on the hub, or of local files."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from nr_core.errors import ModelError
from nr_core.evaluation.tasks import in_context
from nr_core.evaluation.tasks.settings import TaskSettings

CONVERTED = "refs/convert/parquet"  # the branch in which the hub keeps every data set as Parquet
Row = dict[str, Any]


def read_rows(task: TaskSettings, folder: Path, split: str | None = None) -> list[Row]:
    """Return the rows of a split, from `folder` where they lie there, else from the hub or made here.

    split: another than the task's own, for few-shot examples. Raises ModelError with what to put where.
    """
    given = folder / (f"{task.name}.jsonl" if split is None else f"{task.name}.{split}.jsonl")
    if given.is_file():
        rows = list(_json_rows(given))
    elif task.data.made:
        rows = in_context.rows()
    elif task.data.hub:
        rows = [row for path in _from_hub(task, split or task.data.split, given) for row in _json_rows(path)]
    else:
        rows = [row for path in _local_files(task, folder) for row in READERS[task.data.format](path)]
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


def _json_rows(path: Path) -> Iterator[Row]:
    if path.suffix == ".parquet":
        yield from pq.read_table(path).to_pylist()
        return
    try:
        text = path.read_text(encoding="utf-8")
        # Not splitlines(): JSON strings may hold other line separators than a line feed.
        rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(x) for x in text.split("\n") if x]
    except ValueError as error:
        raise ModelError(f"{path} is neither JSON nor JSON lines ({error}); correct the file.") from error
    for row in rows:
        if not isinstance(row, dict):
            raise ModelError(f"{path} holds {type(row).__name__} where a row should be an object; correct the file.")
        yield row


def _clams_rows(path: Path) -> Iterator[Row]:
    """Lines `True<TAB>sentence`, each followed by its `False` twin (https://github.com/aaronmueller/clams)."""
    good = ""
    for line in path.read_text(encoding="utf-8").split("\n"):
        label, _, sentence = line.partition("\t")
        if label == "True":
            good = sentence.strip()
        elif label == "False" and good:
            yield {"good": good, "bad": sentence.strip(), "part": path.stem}


def _conllu_rows(path: Path) -> Iterator[Row]:
    """Sentences of a treebank: words, their universal tags, and whether a space follows each."""
    for block in path.read_text(encoding="utf-8").split("\n\n"):
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
