"""What documents are compared by, asked in one place."""

from itertools import product
from typing import Any

import pytest

from pipelines.dedup import compared_text
from pipelines.dedup.compared_text import hashes_of
from pipelines.dedup.signature import SignatureScheme, shingle_hashes
from pipelines.documents.row import kept_document, measure
from pipelines.pages.characters import text_hash
from pipelines.settings import DocumentSettings


class OneLanguage:
    """An identifier of somebody's own: no model is needed for it."""

    languages = frozenset({"eng"})
    sure = 0.98

    def __call__(self, text: str) -> tuple[str, float]:
        return "eng", 0.75

    def likely(self, page: str) -> list[tuple[str, float]]:
        return [("eng", 0.75)]

    def ranked(self, text: str, count: int) -> list[tuple[str, float]]:
        return [("eng", 0.75)]


def row(title: str, text: str) -> dict[str, Any]:
    [found] = rows = [kept_document({"title": title}, text)]
    measure(rows, DocumentSettings(), OneLanguage())
    return found


def signature_of(text: str) -> bytes:
    return SignatureScheme(5, 112, 1).of(shingle_hashes(text, 5)).astype("<u4").tobytes()


def test_the_key_is_of_the_normalised_text() -> None:
    found = row("a title", "One  two\nthree four five six")
    assert found["text_hash"] == text_hash("One two three four five six") == row("another", found["text"])["text_hash"]
    assert found["signature"] == signature_of("One two three four five six")
    assert (found["language"], found["language_score"], found["title"]) == ("eng", 0.75, "a title")


def test_another_key_is_a_change_of_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compared_text, "compared", lambda document: str(document["title"]))
    one, other = row("The same title", "some text"), row("The  same title", "quite another text")
    assert one["text_hash"] == other["text_hash"] and one["text"] != other["text"]
    assert one["signature"] == other["signature"]


@pytest.mark.parametrize(
    ("language", "parts", "other"),
    [
        ("zho", ("老师", "医生", "农民", "在河边", "在家", "在山上", "看书。", "唱歌。", "吃饭。"), "昨天下了雨。"),
        ("tha", ("ครู", "หมอ", "นก", "ที่บ้าน", "ในสวน", "บนเขา", "อ่านหนังสือ", "ร้องเพลง", "กินข้าว"), "ฝนตกหนัก"),
    ],
)  # fmt: skip
def test_near_copies_are_alike_where_words_have_no_spaces(language: str, parts: tuple[str, ...], other: str) -> None:
    sentences = ["".join(three) for three in product(parts[:3], parts[3:6], parts[6:])]

    def shingles(text: str) -> set[int]:
        return set(hashes_of({"text": text, "language": language}, 3)[1].tolist())

    text, near = shingles("".join(sentences)), shingles("".join([*sentences[:20], other, *sentences[20:]]))
    assert len(text) > 30 and 0.8 < len(text & near) / len(text | near) < 1
