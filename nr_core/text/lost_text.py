"""Text that tokens do not give back: unknown characters, what a normaliser changes, letters that are stripped.

Nobody pays bits for what is lost, so bits per byte of such text come out too low: a tokenizer that knows no Chinese
makes it the easiest language of all. Imports neither torch nor transformers.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

ISOLATING = ("ByteLevel", "Split", "Digits", "Punctuation")  # pre-tokenizers that cut text, and drop none of it


def lost_bytes(text: str, given_back: str) -> int:
    """Tell how many of a text's UTF-8 bytes stand for characters that the decoded tokens do not hold.

    Order counts for nothing, so that it is linear; nor do canonically equivalent spellings (é, e with an accent).
    """
    if text == given_back:
        return 0
    whole = Counter(unicodedata.normalize("NFD", text))
    lost = _size(whole - Counter(unicodedata.normalize("NFD", given_back)))
    # Decomposed, Hangul takes three times its bytes: the share is what carries over.
    return max(1, round(len(text.encode()) * lost / _size(whole))) if lost else 0


def _size(characters: Counter[str]) -> int:
    return sum(len(character.encode()) * count for character, count in characters.items())


def loses_nothing(rules: str) -> bool:
    """Tell whether a tokenizer's JSON shows that it gives every text back: byte-level BPE, an entry for each byte,
    without a normaliser and without anything that drops characters."""
    from tokenizers.pre_tokenizers import ByteLevel

    content = json.loads(rules)
    steps = _steps(content.get("pre_tokenizer"))
    return (
        content["model"]["type"] == "BPE"
        and not content.get("normalizer")
        and any(step["type"] == "ByteLevel" for step in steps)
        and all(step["type"] in ISOLATING and step.get("behavior") != "Removed" for step in steps)
        and not any(token["lstrip"] or token["rstrip"] for token in content.get("added_tokens", []))
        and set(ByteLevel.alphabet()) <= content["model"]["vocab"].keys()
    )


def unknown_token(rules: str) -> int | None:
    """The id that stands for what the vocabulary lacks."""
    model = json.loads(rules)["model"]
    if model.get("unk_id") is not None:
        return int(model["unk_id"])
    vocabulary: Any = model.get("vocab", {})
    return vocabulary.get(model.get("unk_token")) if isinstance(vocabulary, dict) else None


def without(ids: Sequence[int], unknown: int | None) -> list[int]:
    """Return the tokens but the unknown ones, which would be decoded to a text of their own (<unk>)."""
    return [token for token in ids if token != unknown]


def _steps(pre_tokenizer: Any) -> list[dict[str, Any]]:
    if not pre_tokenizer:
        return []
    return pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]
