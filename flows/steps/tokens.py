"""Token streams of the corpora: made once for each corpus version and tokenizer."""

from pathlib import Path

from flows.progress import Progress
from nr_core.settings import BaseSpec
from pipelines.corpus.shards import shard_files
from storage.keys import hash_of
from storage.publish import Manifest, make_once
from storage.workspace import Workspace

TOKENS_STAGE_VERSION = 2
SIDES = ("train", "held_out")


def tokens_hash(tokenizer: BaseSpec) -> str:
    """Return what names the streams of a tokenizer beside their text: what it does, and this stage's version."""
    from nr_core.tokens import tokenizer_hash

    return hash_of(tokenizer_hash(tokenizer), TOKENS_STAGE_VERSION)


def ensure_tokens(
    workspace: Workspace, name: str, version: str, tokenizer: BaseSpec, progress: Progress, workers: int = 1
) -> Path:
    """Tokenise both sides of a corpus version unless that was done before; return the folder of the two streams.

    What a kill cut off goes on from its last whole shard.
    """
    from nr_core.text.tokenizing import tokenize

    hashed = tokens_hash(tokenizer)
    folder = workspace.tokens(version, hashed)
    key = f"{version}-{hashed}"

    def write(partial: Path) -> Manifest:
        counts = {}
        for side in SIDES:

            def on_progress(done: int, total: int, label: str = f"tokens of {name}, {side}") -> None:
                progress.update({"label": label, "done": done, "total": total, "unit": "documents"})

            texts = shard_files(workspace.corpus_version(name, version), side, repeats=True)
            counts[side] = tokenize(texts, tokenizer, partial / side, on_progress, workers)
        return Manifest("tokens", key, {"corpus_version": version}, {"tokenizer": hashed}, counts)

    make_once(folder, write, workspace.lock(f"tokens-{key}"), resumable=True)
    return folder
