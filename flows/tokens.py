"""Token streams of the corpora: made once for each corpus version and tokenizer."""

from pathlib import Path

from flows.progress import Progress
from nr_core.settings import BaseSpec
from storage.keys import hash_of
from storage.publish import is_done, publishing, write_manifest
from storage.workspace import Workspace

TOKENS_STAGE_VERSION = 1
SIDES = ("train", "held_out")


def shards(workspace: Workspace, name: str, version: str, side: str) -> list[Path]:
    return sorted(workspace.corpus_version(name, version).glob(f"{side}-*.parquet"))


def ensure_tokens(workspace: Workspace, name: str, version: str, tokenizer: BaseSpec, progress: Progress) -> Path:
    """Tokenise both sides of a corpus version unless that was done before; return the folder of the two streams."""
    from nr_core.tokens import tokenize, tokenizer_hash

    hashed = hash_of(tokenizer_hash(tokenizer), TOKENS_STAGE_VERSION)
    folder = workspace.tokens(version, hashed)
    with workspace.lock(f"tokens-{version}-{hashed}"):
        if is_done(folder):
            return folder
        with publishing(folder) as partial:
            counts = {}
            for side in SIDES:

                def on_progress(done: int, total: int, label: str = f"tokens of {name}, {side}") -> None:
                    progress.update({"label": label, "done": done, "total": total, "unit": "documents"})

                counts[side] = tokenize(shards(workspace, name, version, side), tokenizer, partial / side, on_progress)
            write_manifest(
                partial,
                step="tokens",
                key=f"{version}-{hashed}",
                inputs={"corpus_version": version},
                settings={"tokenizer": hashed},
                counts=counts,
            )
    return folder
