"""What documents are compared by, asked in one place."""

import pytest

from pipelines.dedup import key
from pipelines.dedup.signature import shingle_hashes
from pipelines.document import measure
from pipelines.pages.characters import text_hash
from pipelines.settings import DocumentSettings


class OneLanguage:
    """An identifier of somebody's own: no model is needed for it."""

    def __call__(self, text: str) -> tuple[str, float]:
        return "eng", 0.75

    def likely(self, page: str) -> list[tuple[str, float]]:
        return [("eng", 0.75)]

    def ranked(self, text: str, count: int) -> list[tuple[str, float]]:
        return [("eng", 0.75)]


def row(title: str, text: str) -> dict[str, object]:
    return measure({"title": title}, text, DocumentSettings(), OneLanguage())


def test_the_key_is_of_the_normalised_text() -> None:
    found = row("a title", "One  two\nthree four five six")
    assert found["text_hash"] == text_hash("One two three four five six") == row("another", found["text"])["text_hash"]
    assert found["shingle_hashes"].tolist() == shingle_hashes("One two three four five six", 5).tolist()
    assert (found["language"], found["language_score"], found["title"]) == ("eng", 0.75, "a title")


def test_another_key_is_a_change_of_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key, "compared", lambda document: str(document["title"]))
    one, other = row("The same title", "some text"), row("The  same title", "quite another text")
    assert one["text_hash"] == other["text_hash"] and one["text"] != other["text"]
    assert one["shingle_hashes"].tolist() == other["shingle_hashes"].tolist()
