"""Line deduplication: lines that an earlier document has, such as menus and notices, are removed.

Two rules. `lines`: each such line goes; lines are compared after normalisation, and those of a document that is left
too short are not seen, since they would otherwise be lost from all. `paragraphs`, as in Kyutai's dactory: a paragraph
goes whole when at most a fifth of its bytes are in lines not seen before; lines are compared as they stand, and are
seen whatever becomes of their paragraph.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import xxhash

from pipelines.pages.characters import normalise

MIN_NEW_SHARE = 0.2  # of a paragraph's bytes; kyutai-labs/dactory, dedup_document
_PARAGRAPHS = re.compile(r"\n\n+")
_RECENT = 1 << 18  # line hashes in a dict of 100 bytes each, before they go into arrays of 16

Hashes = npt.NDArray[np.uint64]


class LineRule(Protocol):
    """The lines seen so far, and what is left of the next text without them. Documents come in doc_no order."""

    def strip(self, text: str, doc_no: int) -> str | None:
        """Return what is left of `text`, or None if fewer than the asked characters are."""
        ...

    def first_doc_nos(self) -> tuple[Hashes, Hashes]:
        """Return the hashes of the lines seen here first, sorted, and the first document with each."""
        ...


def line_rule(name: Literal["lines", "paragraphs"], min_characters: int, before: Sequence[Hashes] = ()) -> LineRule:
    """Return the rule of this name, given the lines of earlier versions, sorted."""
    return (SeenLines if name == "lines" else SeenParagraphs)(min_characters, before)


class SeenLines:
    """Rule `lines`. Blank lines count as nobody's."""

    def __init__(self, min_characters: int, before: Sequence[Hashes] = ()) -> None:
        self._min_characters = min_characters
        self._seen = _Seen(before)
        self.first_doc_nos = self._seen.first_doc_nos

    def strip(self, text: str, doc_no: int) -> str | None:
        lines = text.split("\n")
        hashes = [_hash(normalised) if (normalised := normalise(line)) else None for line in lines]
        seen = self._seen.among(key for key in hashes if key is not None)
        new = [line for line, key in zip(lines, hashes, strict=True) if key not in seen]
        stripped = text if len(new) == len(lines) else "\n".join(new).strip()
        if len(stripped) < self._min_characters:
            return None
        self._seen.add((key for key in hashes if key is not None and key not in seen), doc_no)
        return stripped


class SeenParagraphs:
    """Rule `paragraphs`."""

    def __init__(self, min_characters: int, before: Sequence[Hashes] = ()) -> None:
        self._min_characters = min_characters
        self._seen = _Seen(before)
        self.first_doc_nos = self._seen.first_doc_nos

    def strip(self, text: str, doc_no: int) -> str | None:
        paragraphs = _PARAGRAPHS.split(text)
        lines = [[(_hash(line), len(line.encode())) for line in paragraph.split("\n")] for paragraph in paragraphs]
        seen = self._seen.among(key for paragraph in lines for key, _ in paragraph)
        own: set[int] = set()
        kept = []
        for paragraph, own_lines in zip(paragraphs, lines, strict=True):
            new = 0
            for key, size in own_lines:
                if key not in seen and key not in own:
                    new += size
                    own.add(key)
            if new > MIN_NEW_SHARE * len(paragraph.encode()):
                kept.append(paragraph)
        self._seen.add(own, doc_no)
        stripped = "\n\n".join(kept)
        return stripped if len(stripped) >= self._min_characters else None


class _Seen:
    """A set of hashes with the first document of each: recent ones in a dict, the others in sorted arrays."""

    def __init__(self, before: Sequence[Hashes]) -> None:
        self._before = [hashes for hashes in before if len(hashes)]
        self._arrays: list[tuple[Hashes, Hashes]] = []
        self._recent: dict[int, int] = {}

    def among(self, keys: Iterable[int]) -> set[int]:
        """Return those of `keys` that were added before."""
        unique = np.fromiter(set(keys), dtype=np.uint64)
        found: set[int] = {key for key in unique.tolist() if key in self._recent}
        for hashes in self._sorted():
            places = np.minimum(np.searchsorted(hashes, unique), len(hashes) - 1)
            found.update(unique[hashes[places] == unique].tolist())
        return found

    def add(self, keys: Iterable[int], doc_no: int) -> None:
        for key in keys:
            self._recent.setdefault(key, doc_no)
        if len(self._recent) >= _RECENT:
            self._arrays.append(_sorted_arrays(self._recent))
            self._recent = {}
            # Each array is more than twice as long as the next: a lookup meets few, and few are merged.
            while len(self._arrays) > 1 and len(self._arrays[-2][0]) <= 2 * len(self._arrays[-1][0]):
                self._arrays[-2:] = [_merged(self._arrays[-2:])]

    def first_doc_nos(self) -> tuple[Hashes, Hashes]:
        return _merged([*self._arrays, _sorted_arrays(self._recent)])

    def _sorted(self) -> Iterator[Hashes]:
        yield from self._before
        yield from (hashes for hashes, _ in self._arrays)


def _sorted_arrays(first: dict[int, int]) -> tuple[Hashes, Hashes]:
    keys = np.fromiter(first.keys(), dtype=np.uint64, count=len(first))
    order = np.argsort(keys)
    return keys[order], np.fromiter(first.values(), dtype=np.uint64, count=len(first))[order]


def _merged(arrays: Sequence[tuple[Hashes, Hashes]]) -> tuple[Hashes, Hashes]:
    """Join arrays that have no hash in common, since what was seen is not added again."""
    keys, doc_nos = (np.concatenate([pair[place] for pair in arrays]) for place in (0, 1))
    order = np.argsort(keys, kind="stable")
    return keys[order], doc_nos[order]


def _hash(line: str) -> int:
    return xxhash.xxh3_64_intdigest(line.encode())
