"""Each rule leaves out a text for its reason; profiles choose among them, and a config overrides them one by one."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipelines.corpus.filter import REMEDIES, filter_documents
from pipelines.documents.row import SCHEMA
from pipelines.settings import CorpusSettings
from pipelines.text.rules import LANGUAGE_SHARE, QUALITY, RULES, Rule, rules_table
from pipelines.text.scores import scores
from tests.pipelines.warc_files import ENGLISH, prose

GOOD = prose(ENGLISH, 1)  # no rule of any profile leaves it out
LINES = GOOD.split("\n")
REPETITIVE = GOOD[:200] + " the old" * 60
TWICE = GOOD + "\n" + GOOD

# A text for each rule, which leaves it out at the threshold of FineWeb, else Gopher.
SPOILED: dict[str, str] = {
    "duplicate_paragraph_share_max": "\n\n".join([GOOD, *["One."] * 5]),
    "duplicate_paragraph_character_share_max": "\n\n".join([GOOD, GOOD]),
    "duplicate_line_share_max": GOOD + "\nOne." * 10,
    "duplicate_line_character_share_max": TWICE,
    **{f"top_{n}_gram_share_max": REPETITIVE for n in (2, 3, 4)},
    **{f"duplicate_{n}_gram_share_max": TWICE for n in (5, 6, 7, 8, 9, 10)},
    "words_min": "Only a few words of text.",
    "words_max": "the of " * 50_001,
    "mean_word_length_min": "a b to " * 50,
    "mean_word_length_max": "internationalisation " * 60,
    "hash_ratio_max": GOOD + " #" * 30,
    "ellipsis_ratio_max": GOOD.replace(" ", "… ", 30),
    "bullet_line_share_max": "\n".join("- " + line for line in LINES),
    "ellipsis_line_share_max": GOOD.replace(".\n", "...\n"),
    "alphabetic_word_share_min": GOOD + " 12" * 50,
    "stop_words_min": "Milk soup dinner garden. " * 20,
    "lorem_ipsum_lines_max": GOOD + "\nLorem ipsum dolor sit amet.",
    "curly_bracket_lines_max": GOOD + "\nif (x) { return the value }",
    "c4_sentences_min": "\n".join(LINES[:4]),
    "terminal_line_share_min": GOOD.replace(".\n", "\n"),
    "short_line_share_max": GOOD.replace(" ", "\n"),
    "repeated_line_character_share_max": GOOD + "\n" + LINES[0],
    "line_break_ratio_max": GOOD.replace(" ", "\n"),
}


def corpus(**fields: Any) -> CorpusSettings:
    return CorpusSettings.model_validate({"language": "eng", "text_domain": "x", "sources": ["s"], **fields})


def verdicts(rows: list[dict[str, Any]], settings: CorpusSettings, folder: Path) -> list[str]:
    """What becomes of rows of scores, each judged by itself."""
    found = []
    for row in rows:
        plain = {
            **{field.name: "x" for field in SCHEMA if pa.types.is_string(field.type)},
            "row": 0,
            "unit_id": "unit",
            "language": settings.language,
            "language_score": 1.0,
            "reason": "kept",
            "characters": 10_000,
            "payload_bytes": 1,
            "text_hash": b"x",
            "signature": b"x",
        }
        file = folder / "unit.parquet"
        pq.write_table(pa.Table.from_pylist([plain | row], schema=SCHEMA), file)
        judged = filter_documents([file], {"unit": 0}, settings, folder)
        found.append("kept" if judged.kept.num_rows else judged.left[0]["reason"])
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_leaves_out_what_is_beyond_its_threshold_and_nothing_else(rule: Rule, tmp_path: Path) -> None:
    limit, step = (0.3, 0.01) if pa.types.is_floating(SCHEMA.field(rule.score).type) else (3, 1)
    inwards = step if rule.is_minimum else -step
    rows: list[dict[str, Any]] = [{rule.score: limit + side * inwards} for side in (-1, 0, 1)]
    found = verdicts([*rows, {}], corpus(rules={rule.name: limit}), tmp_path)
    assert found == [rule.name, "kept", "kept", "kept"]
    assert rule.name in REMEDIES


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.name not in (QUALITY, LANGUAGE_SHARE)], ids=lambda rule: rule.name
)
def test_a_text_for_each_rule(rule: Rule, tmp_path: Path) -> None:
    alone = corpus(rules={rule.name: rule.gopher if rule.fineweb is None else rule.fineweb})
    rows = [scores(text.strip(), "eng") for text in (GOOD, SPOILED[rule.name])]
    assert verdicts(rows, alone, tmp_path) == ["kept", rule.name]


def test_the_first_rule_that_a_text_meets_is_the_reason(tmp_path: Path) -> None:
    rows = [scores(text.strip(), "eng") for text in (GOOD, TWICE, SPOILED["c4_sentences_min"], REPETITIVE)]
    profiles = {
        "none": ["kept", "kept", "kept", "kept"],
        "kyutai": ["kept", "kept", "kept", "kept"],
        "gopher": ["kept", "duplicate_line_share_max", "words_min", "top_2_gram_share_max"],
        "fineweb2": ["kept", "duplicate_line_share_max", "words_min", "top_2_gram_share_max"],
    }
    for profile, expected in profiles.items():
        assert verdicts(rows, corpus(profile=profile), tmp_path) == expected
    own = corpus(profile="fineweb2", rules={"words_min": False, "duplicate_line_share_max": 0.9})
    assert verdicts(rows, own, tmp_path) == [
        "kept",
        "duplicate_line_character_share_max",
        "c4_sentences_min",
        "top_2_gram_share_max",
    ]


def test_a_profile_knows_its_languages() -> None:
    hungarian = corpus(language="hun", profile="fineweb2").thresholds()
    assert hungarian["mean_word_length_max"] == 15
    assert hungarian["line_break_ratio_max"] == 0.231
    assert "duplicate_paragraph_share_max" not in hungarian
    assert "c4_sentences_min" not in hungarian
    english = corpus(profile="fineweb2").thresholds()
    assert english["c4_sentences_min"] == 5
    assert english["repeated_line_character_share_max"] == 0.01
    assert corpus(profile="kyutai", language="dan").min_language_score == 0.8
    assert corpus(language="dan").min_language_score == 0.5
    assert corpus(profile="kyutai", min_language_score=0.6).min_language_score == 0.6


def test_a_macrolanguage_has_fineweb2s_figures_of_its_member() -> None:
    arabic = corpus(language="ara", profile="fineweb2").thresholds()  # configs/arb_Arab.yml
    assert (arabic["mean_word_length_max"], arabic["top_2_gram_share_max"]) == (9, 0.197)
    found = scores("في عام 2020 كان من بين الذين زاروا المدينة عدد كبير من الناس", "ara")
    assert (found["stop_words"] or 0) >= 2
    assert (scores("Ovo je grad u kome se nalazi muzej.", "srp")["stop_words"] or 0) >= 2
    assert (scores("Ово је град у коме се налази музеј.", "srp")["stop_words"] or 0) >= 2
    with pytest.raises(ValidationError, match="there is none of Korean"):
        corpus(language="kor", profile="fineweb2")


def test_zero_is_a_threshold_and_false_is_none() -> None:
    rules = {"words_max": 0, "words_min": False, "language_share_min": False}
    assert corpus(rules=rules).thresholds() == {"words_max": 0}
    assert corpus(profile="kyutai").thresholds() == {"language_share_min": 0.5}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"rules": {"word_min": 2}}, "no rule `word_min`; did you mean `words_min`"),
        ({"rules": {"words_min": True}}, "rules.words_min"),
        ({"rules": {"words_min": float("nan")}}, "finite"),
        (
            {"language": "vol", "profile": "fineweb2"},
            "no thresholds for Volapük, only for English and the 103 languages of",
        ),
        ({"language": "vol", "profile": "gopher"}, "none of Volapük: set rules.stop_words_min to false"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        corpus(**fields)


def test_the_table_in_the_docs_is_current() -> None:
    page = (Path(__file__).parents[3] / "docs" / "filters.md").read_text()
    assert rules_table() in page


def test_gopher_keeps_good_text_without_spaces(tmp_path: Path) -> None:
    """Words are counted, and none of them is too short."""
    rules = CorpusSettings(
        language="zho", text_domain="x", sources=["s"], profile="gopher", rules={"stop_words_min": False}
    ).thresholds()
    assert "words_min" in rules and not any(name.startswith("mean_word_length") for name in rules)
    found = scores("今天早上我在图书馆里看了一本关于中国历史的书，然后和朋友一起去饭馆吃午饭。", "zho")
    assert 15 < (found["words"] or 0) < 30 and found["alphabetic_word_share"] == 1
