"""Files of ours that a power cut or a full disk left empty or torn, as one sentence with the remedy."""

import json
from pathlib import Path
from typing import Any

from storage.errors import InputError


class DamagedFile(InputError):
    """A file of the workspace that cannot be read as what it is. The message names it and says what to do."""


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Return the object that a JSON file of ours holds.

    Raises:
        DamagedFile: it is empty, no JSON or no object; the sentence ends with `remedy`.
        FileNotFoundError: there is none.
    """
    content = path.read_bytes()
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path} is damaged ({'empty' if not content.strip() else 'no JSON'}): {remedy}") from error
    if not isinstance(found, dict):
        raise DamagedFile(f"{path} is damaged (no JSON object): {remedy}")
    return found
