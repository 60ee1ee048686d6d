"""Language codes, and the identifier."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines.settings import CorpusSettings, DocumentSettings
from pipelines.text.identify import find_language_model, load_identifier
from pipelines.text.languages import CODE_OF_LABEL, known_language
from storage.errors import InputError
from tests.pipelines.warc_files import ENGLISH, FRENCH, prose


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("hu", "perhaps 'hun' .Hungarian."),
        ("hungarain", "perhaps 'hun' .Hungarian."),
        ("FRA", "perhaps 'fra' .French."),
        ("nob", "perhaps 'nor' .Norwegian.$"),
        ("no", "perhaps 'nor' .Norwegian.$"),
        ("cmn_Hans", "perhaps 'zho' .Chinese.$"),
        ("npi", "perhaps 'nep' .Nepali.$"),
        ("khk", "perhaps 'mon' .Mongolian.$"),
        ("als", "perhaps 'sqi' .Albanian. or 'gsw' .Alemannic.$"),
        ("ger", "perhaps 'deu' .German.$"),
        ("pt-BR", "perhaps 'por' .Portuguese.$"),
        ("tlh", "fastText"),
        ("", "ISO 639-3"),
    ],
)
def test_unknown_languages_are_refused_with_near_matches(code: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        known_language(code)
    with pytest.raises(ValidationError, match="fastText"):
        CorpusSettings(language=code, text_domain="x", sources=["s"])


def test_the_table_is_the_models(document_settings: DocumentSettings) -> None:
    import fasttext

    labels = fasttext.load_model(str(find_language_model(document_settings))).get_labels()
    assert {label.removeprefix("__label__") for label in labels} == set(CODE_OF_LABEL)


def test_identifies_by_more_than_the_first_line(document_settings: DocumentSettings) -> None:
    identify = load_identifier(document_settings)
    assert identify(prose(FRENCH, 1))[0] == "fra"
    language, score = identify("Bonjour le monde, ceci est une phrase.\n" + prose(ENGLISH, 1))
    assert language == "eng"
    assert 0.5 < score <= 1
    assert identify(" \n ") == ("und", 0.0)


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "model.ftz"
    other.write_bytes(b"not the model")
    with pytest.raises(InputError, match=r"has sha256 .* not the expected"):
        find_language_model(DocumentSettings(language_model=str(other)))
    with pytest.raises(InputError, match="is not a file"):
        find_language_model(DocumentSettings(language_model=str(tmp_path / "none")))
