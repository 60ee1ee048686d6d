"""Keys: a step's result is named by the hash of everything that bears on its content."""

import hashlib
import json
from pathlib import Path
from typing import Any

KEY_CHARACTERS = 16  # 64 bits: no collision to be expected below some 10^9 keys


def hash_of(*parts: Any) -> str:
    """Hash JSON-able parts (dicts in any order give the same hash) to 16 hex characters."""
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_CHARACTERS]


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
