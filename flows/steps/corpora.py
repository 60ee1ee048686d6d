"""Corpora as flows use them: which version of each, and its token streams, made once for each tokenizer."""

from pathlib import Path

from flows.config.study import Config
from flows.steps.progress import Progress
from nr_core.settings import BaseSpec
from pipelines.corpus.shards import shard_files
from pipelines.denylist import refuse_taken_down, take_over_deny_list
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
SIDES = ("train", "held_out")


def tokens_hash(tokenizer: BaseSpec) -> str:
    """Return what names the streams of a tokenizer beside their text: what it does, and this stage's version."""
    from nr_core.tokenization.tokenizer import tokenizer_hash

    return hash_of(tokenizer_hash(tokenizer), TOKENS_STAGE_VERSION)


def ensure_tokens(
    workspace: Workspace, name: str, version: str, tokenizer: BaseSpec, progress: Progress, workers: int = 1
) -> Path:
    """Tokenise both sides of a corpus version unless that was done before; return the folder of the two streams.

    What a kill cut off goes on from its last whole shard.
    """
    from nr_core.tokenization.tokenize_corpus import tokenize

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
