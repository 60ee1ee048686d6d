"""Language codes, and the identifier."""

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines.settings import CorpusSettings, DocumentSettings
from pipelines.text.identify import HeliportIdentifier, find_language_model, load_identifier, refuse_unknown_languages
from pipelines.text.languages import CODE_OF_LABEL, code_of_label, known_language, threshold
from storage.errors import InputError
from storage.keys import file_sha256
from tests.pipelines.warc_files import ENGLISH, FRENCH, prose


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("hu", "perhaps 'hun' .Hungarian."),
        ("hungarain", "perhaps 'hun' .Hungarian."),
        ("Hungarian", "perhaps 'hun' .Hungarian.$"),
        ("FRA", "perhaps 'fra' .French."),
        ("nob", "perhaps 'nor' .Norwegian.$"),
        ("no", "perhaps 'nor' .Norwegian.$"),
        ("cmn_Hans", "perhaps 'zho' .Chinese.$"),
        ("npi", "perhaps 'nep' .Nepali.$"),
        ("khk", "perhaps 'mon' .Mongolian.$"),
        ("als", "perhaps 'sqi' .Albanian. or 'gsw' .Alemannic.$"),
        ("ger", "perhaps 'deu' .German.$"),
        ("pt-BR", "perhaps 'por' .Portuguese.$"),
        ("", "ISO 639-3"),
    ],
)
def test_unknown_languages_are_refused_with_near_matches(code: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        known_language(code)
    with pytest.raises(ValidationError, match="fastText"):
        CorpusSettings(language=code, text_domain="x", sources=["s"])


def test_a_code_that_lid_176_does_not_know_is_for_another_model(document_settings: DocumentSettings) -> None:
    with pytest.raises(InputError, match="fastText"):
        known_language("kbd")
    assert CorpusSettings(language="kbd", text_domain="x", sources=["s"]).language == "kbd"
    refuse_unknown_languages(document_settings.model_copy(update={"languages": ("fra", "hun")}))
    with pytest.raises(InputError, match="no label for kbd"):
        refuse_unknown_languages(document_settings.model_copy(update={"languages": ("fra", "kbd")}))


@pytest.mark.parametrize(
    ("label", "code"),
    [("hun_Latn", "hun"), ("als_Latn", "sqi"), ("als", "gsw"), ("arb_Arab", "ara"), ("kbd_Cyrl", "kbd"), ("nob", "nor"),
     ("zh", "zho"), ("hu", "hun"), ("srp_Cyrl", "srp"), ("other", "und"), ("", "und")],
)  # fmt: skip
def test_labels_of_any_fasttext_model_are_understood(label: str, code: str) -> None:
    assert code_of_label(label) == code


def test_a_model_with_labels_of_language_and_script(tmp_path: Path) -> None:
    import fasttext

    lines = [f"__label__fra_Latn {prose(FRENCH, 1)}", f"__label__eng_Latn {prose(ENGLISH, 1)}"] * 50
    (tmp_path / "lines.txt").write_text("\n".join(" ".join(line.split()).lower() for line in lines))
    path = tmp_path / "own.bin"
    fasttext.train_supervised(str(tmp_path / "lines.txt"), minn=2, maxn=3, dim=8, verbose=0).save_model(str(path))
    settings = DocumentSettings(language_model=str(path), language_model_sha256=file_sha256(path))
    identify = load_identifier(settings)
    assert identify.languages == {"fra", "eng"}
    assert (identify(prose(FRENCH, 1))[0], identify(prose(ENGLISH, 1))[0]) == ("fra", "eng")


def test_capitals_are_identified_as_small_letters(document_settings: DocumentSettings) -> None:
    identify, hungarian = (
        load_identifier(document_settings),
        "A kertben érnek az almák, és a szomszéd már szedi is őket.",
    )
    assert identify(hungarian.upper()) == identify(hungarian)
    assert identify.likely(hungarian.upper()) == identify.likely(hungarian)


def test_a_foreign_beginning_is_not_the_language_of_a_text(document_settings: DocumentSettings) -> None:
    identify = load_identifier(document_settings)
    mixed = "\n".join([prose(FRENCH, 1)[:900], *[prose(ENGLISH, seed) for seed in range(40)]])[:10_000]
    assert identify(mixed)[0] == "eng" and identify(mixed[::-1][-10_000:][::-1])[0] == "eng"
    assert identify(prose(FRENCH, 1) * 20)[0] == "fra"


def test_what_is_one_language_to_the_identifier_is_sure_together(document_settings: DocumentSettings) -> None:
    croatian = (
        "Gradsko vijeće donijelo je novi proračun, a ravnatelj škole izjavio je da će učenici od sljedećeg tjedna "
        "imati nastavu u obnovljenoj zgradi. Što se tiče prijevoza, vlakovi će voziti svakih dvadeset minuta."
    )
    language, score = load_identifier(document_settings)(croatian)
    assert language == "hrv" and score >= threshold("hrv")


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


@pytest.mark.parametrize("mark", ["</s>", "</S>", "\0</s>\0", "__label__hu", "x </s> </s> y"])
def test_words_that_are_marks_to_fasttext_hide_nothing(mark: str, document_settings: DocumentSettings) -> None:
    identify = load_identifier(document_settings)
    language, score = identify(f"{mark} {prose(FRENCH, 7)}")
    assert language == "fra" and score > 0.9
    assert identify.ranked(f"Une {mark} {prose(FRENCH, 7)}", 1)[0][0] == "fra"


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "model.ftz"
    other.write_bytes(b"not the model")
    with pytest.raises(InputError, match=r"has sha256 .* not the expected"):
        find_language_model(DocumentSettings(language_model=str(other)))
    with pytest.raises(InputError, match="is not a file"):
        find_language_model(DocumentSettings(language_model=str(tmp_path / "none")))


def test_a_fasttext_model_and_heliport_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="language_model is fastText's"):
        DocumentSettings(identifier="heliport", language_model="lid.bin")


def test_the_identifier_stands_in_keys_only_where_it_is_set() -> None:
    assert "identifier" not in DocumentSettings(identifier="fasttext").identity()
    assert DocumentSettings(identifier="heliport").identity()["identifier"] == "heliport"


def test_heliport_that_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "heliport", None)
    with pytest.raises(InputError, match="heliport is not installed"):
        HeliportIdentifier(2000)


def test_heliport_tells_macrolanguages_and_capitals() -> None:
    pytest.importorskip("heliport", reason="heliport (GPL-3.0) is an extra: pip install 'neutral-residues[heliport]'")
    settings = DocumentSettings(identifier="heliport", languages=("hbs", "hun"))
    identify = load_identifier(settings)
    croatian = "Gradsko vijeće donijelo je novi proračun, a ravnatelj škole izjavio je da će učenici imati nastavu."
    for text, language in ((croatian, "hbs"), (prose(FRENCH, 1), "fra"), (prose(FRENCH, 1).upper(), "fra")):
        found, score = identify(text)
        assert found == language and 0.8 < score <= 1
        ranked = identify.ranked(text, 3)
        assert ranked[0][0] == found and ranked[0][1] <= score and sum(share for _, share in ranked) <= 1
    assert identify(" 12 34 ") == ("und", 0.0) and identify.likely("") == []
    assert identify.languages >= {"hbs", "nor", "zho", "fas", "msa"} and "und" not in identify.languages
    refuse_unknown_languages(settings)
    with pytest.raises(InputError, match="no label for hrv; it tells hrv as hbs: give that code"):
        refuse_unknown_languages(settings.model_copy(update={"languages": ("fra", "hrv")}))
