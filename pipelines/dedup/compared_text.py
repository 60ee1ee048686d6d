"""The key of deduplication, exact and near: the text of a document that is compared with that of others."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.dedup.signature import shingle_hashes
from pipelines.pages.characters import normalise, text_hash
from pipelines.text.words import spaced


def compared(document: Mapping[str, Any]) -> str:
    """Return the part of a document, or of a row of a shard, by which it is the same as another.

    To deduplicate by another part, change this alone, and raise DOCUMENTS_STAGE_VERSION (documents/stage.py). Not every
    document has every part: by title it is `document.get("title") or document["text"]`.
    """
    return str(document["text"])


def hashes_of(document: Mapping[str, Any], shingle: int) -> tuple[bytes, npt.NDArray[np.uint32]]:
    """Return the hash that exact copies share, and those of the shingles that near copies share most of."""
    normalised = normalise(compared(document))
    return text_hash(normalised), shingle_hashes(spaced(normalised, document["language"]), shingle)
