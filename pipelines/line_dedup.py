"""Line deduplication: lines that an earlier kept document has, such as menus and notices, are removed."""

import xxhash

from pipelines.normalise import normalise


class SeenLines:
    """The lines of the documents kept so far, by hash. Blank lines count as nobody's.

    Documents must come in doc_no order.
    """

    def __init__(self, min_characters: int) -> None:
        self._min_characters = min_characters
        self.first_doc_no: dict[int, int] = {}

    def strip(self, text: str, doc_no: int) -> str | None:
        """`text` without the lines seen in an earlier document, or None if fewer than `min_characters` remain.

        The lines of a document that goes are not seen: they would otherwise be lost from all.
        """
        lines = [(line, _hash(line)) for line in text.split("\n")]
        new = [(line, key) for line, key in lines if key is None or key not in self.first_doc_no]
        stripped = text if len(new) == len(lines) else "\n".join(line for line, _ in new).strip()
        if len(stripped) < self._min_characters:
            return None
        for _, key in new:
            if key is not None:
                self.first_doc_no.setdefault(key, doc_no)
        return stripped


def _hash(line: str) -> int | None:
    normalised = normalise(line)
    return xxhash.xxh3_64_intdigest(normalised.encode()) if normalised else None
