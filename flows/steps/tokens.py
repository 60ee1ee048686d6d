"""Token streams, made once for each tokenizer: of the corpora's versions in use, and of evaluation texts that are no
corpus of the config (any text file, pinned by its content)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flows.config.runs import EvaluationText
from flows.config.study import Config
from flows.steps.progress import Progress
from flows.steps.result_records import record_task_set
from nr_core.settings import BaseSpec
from pipelines.corpus.shards import shard_files
from pipelines.denylist import refuse_taken_down, take_over_deny_list
from pipelines.pages.charset.decode import decode_plain_text
from pipelines.sources.text_files import TextRecord, read_text
from storage.errors import InputError
from storage.keys import hash_of
from storage.publish import Manifest, make_once
from storage.workspace import Workspace


def current_versions(config: Config) -> dict[str, str]:
    """Return the published version of every corpus of the config.

    Raises:
        InputError: a corpus has never been published, or has pages of a host that was taken down.
    """
    workspace = Workspace(config.workspace)
    take_over_deny_list(workspace)
    return {name: published_version(name, workspace) for name in config.corpora}


def published_version(name: str, workspace: Workspace) -> str:
    """Return the version of a corpus that is in use. Raises as `current_versions`."""
    version = workspace.current_version(name)
    if version is None:
        raise InputError(f"corpus {name} is not in workspace {workspace.root}: run `nr refresh CONFIG` first")
    refuse_taken_down(name, version, workspace)
    return version


TOKENS_STAGE_VERSION = 2
SPLITS = ("train", "held_out")


def tokens_hash(tokenizer: BaseSpec) -> str:
    """Return what names the streams of a tokenizer beside their text: what it does, and this stage's version."""
    from nr_core.tokenization.tokenizer import tokenizer_hash

    return hash_of(tokenizer_hash(tokenizer), TOKENS_STAGE_VERSION)


def ensure_tokens(
    workspace: Workspace, name: str, version: str, tokenizer: BaseSpec, progress: Progress, workers: int = 1
) -> Path:
    """Tokenise both splits of a corpus version unless that was done before; return the folder of the two streams.

    What a kill cut off goes on from its last whole shard.
    """
    from nr_core.tokenization.tokenize_corpus import tokenize

    hashed = tokens_hash(tokenizer)
    folder = workspace.tokens(version, hashed)
    key = f"{version}-{hashed}"

    def write(partial: Path) -> Manifest:
        counts = {}
        for split in SPLITS:

            def on_progress(done: int, total: int, label: str = f"tokens of {name}, {split}") -> None:
                progress.update({"label": label, "done": done, "total": total, "unit": "documents"})

            texts = shard_files(workspace.corpus_version(name, version), split, repeats=True)
            counts[split] = tokenize(texts, tokenizer, partial / split, on_progress, workers)
        return Manifest("tokens", key, {"corpus_version": version}, {"tokenizer": hashed}, counts)

    make_once(folder, write, workspace.lock(f"tokens-{key}"), resumable=True)
    return folder


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
    """Read a file's documents; a .txt file is one, in UTF-8, UTF-16 with its mark or the charset that it shows.

    Raises:
        InputError: no such file, of no known kind, or without text.
    """
    path = Path(text.path).expanduser()
    if not path.is_file():
        raise InputError(f"`evaluation.texts.{name}.path`: there is no file {path}; correct the path")
    options = {"text_field": text.text_field, "id_field": None, "title_field": None}
    rows = list(read_text(path, options, LONGEST, decode_plain_text))
    documents = [row.text if isinstance(row, TextRecord) else "" for row in rows]
    if path.suffix == ".txt":
        if any(isinstance(row, TextRecord) and row.fault for row in rows):
            raise InputError(
                f"`evaluation.texts.{name}.path`: {path} is in no charset that is known, or longer than "
                f"{LONGEST >> 20} MB: save it as UTF-8, or as JSON lines"
            )
        documents = [document.replace("\r\n", "\n").replace("\r", "\n") for document in documents]
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
