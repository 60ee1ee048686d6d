"""Evaluation texts that are no corpus of the config: any text file, pinned by its content and turned into tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flows.config.runs import EvaluationText
from flows.steps.corpora import tokens_hash
from flows.steps.progress import Progress
from flows.steps.result_records import record_task_set
from nr_core.settings import BaseSpec
from pipelines.sources.text_files import TextRecord, read_text
from storage.errors import InputError
from storage.keys import hash_of
from storage.publish import Manifest, make_once
from storage.workspace import Workspace

LONGEST = 1 << 26  # bytes of one document


@dataclass(frozen=True)
class PinnedText:
    name: str
    eval_id: str
    documents: list[str]
    rows: int  # of the file, those without text too


def pin_texts(texts: Mapping[str, EvaluationText], workspace: Workspace) -> list[PinnedText]:
    """Read each file's documents and record the sets, each with the one that it is parallel to.

    Raises:
        InputError: a file is not there, of no known kind or without text; two that are parallel differ in their rows.
    """
    pinned = {name: _read(name, text) for name, text in texts.items()}
    for name, text in texts.items():
        other = pinned[text.parallel_to] if text.parallel_to else None
        if other is not None:
            _check_parallel(pinned[name], other)
        digest = hash_of(pinned[name].documents)
        parallel = other.eval_id if other else None
        labels = (text.language, text.text_domain)
        record_task_set(workspace, pinned[name].eval_id, name, *labels, digest, parallel_to=parallel)
    return list(pinned.values())


def _check_parallel(one: PinnedText, other: PinnedText) -> None:
    field = f"`evaluation.texts.{one.name}.parallel_to`"
    if one.rows != other.rows:
        raise InputError(
            f"{field}: {one.name} has {one.rows:,} rows and {other.name} {other.rows:,}; give files whose rows say the "
            "same, one by one"
        )
    for text in (one, other):
        if len(text.documents) != text.rows:
            raise InputError(
                f"{field}: {text.name} has {text.rows:,} rows and only {len(text.documents):,} with text, so that rows "
                "do not pair; take the others out of both files"
            )


def _read(name: str, text: EvaluationText) -> PinnedText:
    """Read a file's documents; a .txt file is one.

    Raises:
        InputError: no such file, of no known kind, or without text.
    """
    path = Path(text.path).expanduser()
    if not path.is_file():
        raise InputError(f"`evaluation.texts.{name}.path`: there is no file {path}; correct the path")
    if path.suffix == ".txt":
        documents = [path.read_text(encoding="utf-8", errors="replace")]
    else:
        options = {"text_field": text.text_field, "id_field": None, "title_field": None}
        rows = read_text(path, options, LONGEST)
        documents = [row.text if isinstance(row, TextRecord) else "" for row in rows]
    count = len(documents)
    documents = [document for document in documents if document.strip()]
    if not documents:
        raise InputError(f"`evaluation.texts.{name}.path`: {path} holds no text; correct the path or `text_field`")
    return PinnedText(name, hash_of("text", name, hash_of(documents)), documents, count)


def text_tokens(workspace: Workspace, text: PinnedText, tokenizer: BaseSpec, progress: Progress) -> Path:
    """Tokenise a text unless that was done before; return the folder of its stream."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from nr_core.tokenization.tokenize_corpus import tokenize

    hashed = tokens_hash(tokenizer)
    folder = workspace.tokens(text.eval_id, hashed)

    def on_progress(done: int, total: int) -> None:
        progress.update({"label": f"tokens of {text.name}", "done": done, "total": total, "unit": "documents"})

    def write(partial: Path) -> Manifest:
        shard = partial / "text.parquet"
        pq.write_table(pa.table({"text": text.documents}), shard)
        counts = tokenize([shard], tokenizer, partial / "stream", on_progress)
        shard.unlink()
        return Manifest("tokens", folder.name, {"eval_id": text.eval_id}, {"tokenizer": hashed}, counts)

    make_once(folder, write, workspace.lock(f"tokens-{text.eval_id}-{hashed}"))
    return folder / "stream"
