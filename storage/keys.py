"""Keys name a step's result by the hash of everything that bears on its content; content hashes of input files."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.files import write_atomically
from storage.workspace import Workspace

KEY_CHARACTERS = 16  # 64 bits: no collision to be expected below some 10^9 keys


def hash_of(*parts: Any) -> str:
    """Hash JSON-able parts (dicts in any order give the same hash) to 16 hex characters."""
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_CHARACTERS]


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_hash(path: str | Path, workspace: Workspace) -> str:
    """Return the sha256 of a local file, computed once and remembered by (path, size, modification time)."""
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
