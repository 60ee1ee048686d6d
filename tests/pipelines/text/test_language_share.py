"""A page in two languages tells how much of it is in its own, and one that is mostly in another leaves."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.corpus.filter import filter_documents
from pipelines.documents.row import SCHEMA, kept_document, measure
from pipelines.settings import CorpusSettings, DocumentSettings
from pipelines.text.identify import UNKNOWN, Identifier, load_identifier
from pipelines.text.language_share import FIRST_PIECES, PIECE_CHARACTERS, language_share
from tests.pipelines.warc_files import ENGLISH, FRENCH, prose


@pytest.fixture(scope="module")
def identify(document_settings: DocumentSettings) -> Identifier:
    return load_identifier(document_settings)


def mixed(french: int, english: int) -> str:
    """Paragraphs of 800 characters or so, one language behind the other."""
    return "\n\n".join(
        [*(prose(FRENCH, number) for number in range(french)), *(prose(ENGLISH, number) for number in range(english))]
    )


@pytest.mark.parametrize(("french", "english"), [(8, 0), (6, 2), (4, 4), (2, 6), (1, 10), (0, 8)])
def test_the_share_is_that_of_the_text(identify: Identifier, french: int, english: int) -> None:
    text = mixed(french, english)
    for language, share in (("fra", french), ("eng", english)):
        found = language_share(text, language, 0.8, identify)
        assert found == pytest.approx(share / (french + english), abs=0.11)


def test_a_text_of_one_piece_or_that_is_sure_is_its_own(identify: Identifier) -> None:
    assert language_share("Rien.", "eng", 0.1, identify) == 1
    assert language_share(mixed(2, 2), "eng", identify.sure, identify) == 1


def test_numbers_and_neighbours_do_not_count(identify: Identifier) -> None:
    assert language_share("12 34 56\n" * 200, "hun", 0.5, identify) is None
    serbian = "Nakon ručka smo otišli u šumu i tražili gljive, a onda je počela kiša pa smo se vratili kući. " * 20
    assert language_share(serbian, "hrv", 0.7, identify) == 1
    assert language_share(serbian, "srp", 0.7, identify) == 1


class Counting:
    """Counts the characters that it is given."""

    sure = UNKNOWN
    characters = 0

    def ranked(self, text: str, count: int) -> list[tuple[str, float]]:
        self.characters += len(text)
        return [("eng", 1.0)]


@settings(deadline=None)
@given(st.text(alphabet=" \na", max_size=50), st.integers(1, 20_000))
def test_little_of_a_text_is_looked_at_whatever_it_holds(part: str, times: int) -> None:
    counting = Counting()
    assert language_share(part * times, "eng", 1.0, counting) == 1  # type: ignore[arg-type]
    assert counting.characters <= 2 * FIRST_PIECES * PIECE_CHARACTERS + FIRST_PIECES


def test_a_text_that_begins_or_ends_in_another_language_is_looked_at_whole(identify: Identifier) -> None:
    french, english = (" ".join(prose(language, number) for number in range(12)) for language in (FRENCH, ENGLISH))
    for text in (french[:1600] + english[:2400], english[:2400] + french[:1600]):
        assert 0.3 <= (language_share(text, "fra", 0.8, identify) or 0) <= 0.5


def test_a_document_that_is_mostly_in_another_language_leaves(
    tmp_path: Path, document_settings: DocumentSettings
) -> None:
    texts = [mixed(3, 6), mixed(6, 3)]
    identify = load_identifier(document_settings)
    rows = [
        kept_document(
            {"doc_id": str(number), "row": number, "unit_id": "u", "url": "x", "host": "h", "payload_bytes": 1}, text
        )
        for number, text in enumerate(texts)
    ]
    measure(rows, document_settings, identify)
    for row, text in zip(rows, texts, strict=True):  # as where the identifier errs
        row |= {"language": "fra", "language_score": 0.9, "language_share": language_share(text, "fra", 0.9, identify)}
    file = tmp_path / "u.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), file)
    corpus = {"language": "fra", "text_domain": "x", "sources": ["s"]}
    judged = filter_documents([file], {"u": 0}, CorpusSettings.model_validate(corpus), tmp_path)
    assert judged.kept["doc_id"].to_pylist() == ["1"]
    assert judged.left[0]["reason"] == "language_share_min"
    off = CorpusSettings.model_validate(corpus | {"rules": {"language_share_min": False}})
    assert filter_documents([file], {"u": 0}, off, tmp_path).kept.num_rows == 2
