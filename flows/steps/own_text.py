"""Replay text that a base writes itself, where nothing near its original training data is at hand: made once."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.config.resources import Resources
from flows.config.runs import OwnText
from flows.steps.jobs import Job, refuse_failures, run_jobs
from flows.steps.progress import Progress
from nr_core.settings import BaseSpec
from nr_core.specs import SampleSpec
from storage.keys import hash_of
from storage.publish import Manifest, is_whole, make_once, read_manifest
from storage.workspace import OWN_TEXT, Workspace

OWN_TEXT_STAGE_VERSION = 2


def own_text_key(item: OwnText, model_id: str, base: BaseSpec) -> str:
    """Return the key of the text, which changes with the base's weights, tokenizer and dtype, and with all that is
    asked.
    """
    return OWN_TEXT + hash_of(model_id, base.dtype, _asked(item), OWN_TEXT_STAGE_VERSION)


def _asked(item: OwnText) -> dict[str, Any]:
    return item.model_dump(mode="json", include={"tokens", "document_tokens", "seed"})


def _sample_spec(item: OwnText, base: BaseSpec, out: Path = Path()) -> SampleSpec:
    asked = {"tokens": item.tokens, "document_tokens": item.document_tokens, "seed": item.seed}
    return SampleSpec(out=out, base=_with_whole_vocabulary(base), **asked)


def _with_whole_vocabulary(base: BaseSpec) -> BaseSpec:
    """Return the base with its whole vocabulary, with which it writes, whatever is trained."""
    return base.model_copy(update={"vocabulary": "full"})


def ensure_own_text(
    workspace: Workspace, item: OwnText, model_id: str, base: BaseSpec, progress: Progress, resources: Resources
) -> str:
    """Let the base write unless that was done before; return the folder of the token stream.

    What was cut off goes on from its last whole batch of documents.
    """
    key = own_text_key(item, model_id, base)
    folder = workspace.tokens(key, "written")

    def write(partial: Path) -> Manifest:
        begun = None if any(partial.iterdir()) else time.monotonic()  # of a part of the work no speed is kept
        spec = _sample_spec(item, base, out := partial / "train")
        job = Job("text of the base", spec)
        threads = resources.training_threads()
        refuse_failures(run_jobs("sample", [job], workspace, progress, processes=1, threads=threads))
        (out / ".lock").unlink(missing_ok=True)
        facts = json.loads((out / "tokens.json").read_text())
        counts: dict[str, Any] = {"train": {name: facts[name] for name in ("documents", "tokens", "bytes")}}
        if begun is not None:
            counts["seconds"] = time.monotonic() - begun
        return Manifest("sample", key, {"model_id": model_id}, spec.identity(), counts)

    make_once(folder, write, workspace.lock(f"tokens-{key}"), resumable=True)
    return str(folder / "train")


def standing_own_text(workspace: Workspace, item: OwnText, base: Any) -> str | None:
    """Return the key of text that a base of these settings wrote, where there is some. The base's files are not looked
    at.
    """
    wanted = _sample_spec(item, base).identity() if isinstance(base, BaseSpec) else None
    return next((str(one["key"]) for one in _own_texts(workspace) if one["settings"] == wanted), None)


def seconds_per_token(workspace: Workspace, base: Any) -> float | None:
    """Return seconds a token, of texts that a base of these settings wrote here at one go; None where there is none."""
    wanted = _with_whole_vocabulary(base).identity() if isinstance(base, BaseSpec) else None
    counts = [one["counts"] for one in _own_texts(workspace) if one["settings"]["base"] == wanted]
    timed = [(one["seconds"], one["train"]["tokens"]) for one in counts if one.get("seconds")]
    return sum(seconds for seconds, _ in timed) / sum(tokens for _, tokens in timed) if timed else None


def _own_texts(workspace: Workspace) -> Iterator[dict[str, Any]]:
    """Yield the manifests of the texts that stand."""
    for folder in sorted((workspace.root / "tokens").glob(f"{OWN_TEXT}*/written")):
        if is_whole(folder):
            yield read_manifest(folder) or {}
