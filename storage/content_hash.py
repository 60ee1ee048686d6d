"""Content hashes of input files: read once, and remembered while size and time stay as they were."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.atomic import write_atomically
from storage.keys import file_sha256, hash_of
from storage.workspace import Workspace


def content_hash(path: str | Path, workspace: Workspace) -> str:
    """sha256 of a local file, computed once and remembered by (path, size, modification time)."""
    file = Path(path).resolve()
    status = file.stat()
    seen = {"path": str(file), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    memory = workspace.content_hash_memory(hash_of(str(file)))
    remembered = _read_json(memory)
    if all(remembered.get(name) == value for name, value in seen.items()):
        return str(remembered["sha256"])
    digest = file_sha256(file)
    write_atomically(memory, json.dumps({**seen, "sha256": digest}))
    return digest


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError):
        return {}
