"""Publish a run's adapter or model on the Hugging Face hub, with a card of its figures: `nr push` (runs.py)."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from storage.errors import InputError
from storage.query import query
from storage.workspace import Workspace

# Once a set, though a run may have been scored under several settings: by those of its last evaluation.
FIGURES = """SELECT eval_set, language, base_value, value
FROM run_evaluations WHERE run_id = ? AND metric = 'bits_per_byte' ORDER BY ALL"""


def push(folder: Path, hub_id: str, base: str | None, private: bool, workspace: Path) -> str:
    """Upload what a run left; return its address. The token is HF_TOKEN of the environment, and no other.

    Raises:
        InputError: no token, no finished run, a base that nobody else has, or what the hub answers.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    token = os.environ.get("HF_TOKEN")
    if not token:
        raise InputError("HF_TOKEN is not set: put a token with write access for the hub into the environment")
    with tempfile.TemporaryDirectory() as scratch:
        content = fill(Path(scratch) / "content", folder, hub_id, base, workspace)
        api = HfApi(token=token)
        try:
            address = api.create_repo(hub_id, private=private, exist_ok=True)
            api.upload_folder(repo_id=hub_id, folder_path=content, commit_message="neutral-residues: nr push")
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise InputError(f"the hub took no {hub_id}: {' '.join(str(error).split())}") from error
    return str(address)


def fill(content: Path, folder: Path, hub_id: str, base: str | None, workspace: Path) -> Path:
    """Fill a folder for the hub: the adapter (or model), earlier adapters of the run, and its card."""
    from nr_core.settings import BaseSpec

    if not (folder / "run.json").is_file():
        raise InputError(f"{folder} is no finished run (it has no run.json): give the run's own folder or id")
    report = json.loads((folder / "run.json").read_text())
    full = (folder / "model").is_dir()
    shutil.copytree(folder / ("model" if full else "adapter"), content)
    if (folder / "earlier").is_dir():
        own_cards = shutil.ignore_patterns("README.md")  # they name folders of this machine
        shutil.copytree(folder / "earlier", content / "earlier", ignore=own_cards)
    spec = BaseSpec.model_validate(report["base"])
    if base is not None:  # its revision and file are those of another place
        kept = {"trust_remote_code": spec.trust_remote_code, "dtype": spec.dtype, "quantize": spec.quantize}
        spec = BaseSpec.model_validate({"model": base, **kept})
    if not _is_hub_id(spec.model):
        raise InputError(
            f"the base of this run is the folder {spec.model}, which nobody else has: name it with --base HUB_ID (of "
            "a GGUF file: --base HUB_ID/NAME.gguf)"
        )
    named = spec.called
    for config in content.rglob("adapter_config.json"):
        values = json.loads(config.read_text()) | {"base_model_name_or_path": named, "revision": spec.revision}
        config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
    (content / "README.md").write_text(card(content, folder, report, hub_id, spec, workspace))
    return content


def _is_hub_id(model: str) -> bool:
    """Tell a model's id from a folder, which may be one of another machine, or relative to another folder."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(model)
    except HFValidationError:
        return False
    return not Path(model).exists()


def card(content: Path, folder: Path, report: dict[str, Any], hub_id: str, spec: Any, workspace: Path) -> str:
    from nr_core.runs.model_card import model_card

    earlier = content / "earlier"
    known = len(list(earlier.iterdir())) if earlier.is_dir() else 0
    text = model_card(spec, report.get("languages", []), report, hub_id, known)
    rows = []
    if (workspace / "catalog.duckdb").is_file():
        rows = query(Workspace(workspace), FIGURES, [folder.name]).rows
    if not rows:
        return text
    lines = [f"| {name} | {language} | {base:.4f} | {value:.4f} |" for name, language, base, value in rows]
    table = [
        "",
        "## Held-out text, bits per byte",
        "",
        "| text | language | base | this |",
        "|---|---|---|---|",
        *lines,
    ]
    return "\n".join([text.rstrip("\n"), *table, ""])
