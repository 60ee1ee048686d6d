"""The one table of rules over scores, and the profiles: published recipes, each a choice of rules and thresholds.

A rule is named after its score and its direction: `words_min` leaves out documents whose score `words` is less than the
threshold, `words_max` those whose score is more. The name is the reason in the funnel, and the key under which
a config overrides the threshold. Out of this table come the SQL of the filter and the table in docs/filters.md.

After a change of a threshold raise CORPUS_STAGE_VERSION (pipelines/corpus/lineage.py).
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from typing import Literal

from pipelines.text.languages import NAME_OF_CODE
from pipelines.text.words import STOP_WORDS, UNSPACED

# FineWeb2's thresholds by language: Penedo et al. 2025 (https://arxiv.org/abs/2506.20920), out of
# github.com/huggingface/fineweb-2, configs/<language>_<script>.yml, read in November 2026; fineweb2_thresholds.tsv
# names each file and the commit of it that was at hand (05e67295, else baedee44). Where both were, the earlier one,
# baedee44, is stricter on repetition (hun: top 2-grams .095 and .226, terminal lines .167 and .067, line breaks .278
# and .231). A macrolanguage has the figures of the member that its file is of (ara: arb); Serbian those of srp_Cyrl.
# Those of the language score are GlotLID's and are not here: languages.py has ours for lid.176. The licence stands in
# NOTICE.
_OTHER_COLUMNS = ("language", "config", "commit")

with resources.files("pipelines.text").joinpath("fineweb2_thresholds.tsv").open(encoding="utf-8") as _file:
    _ROWS = list(csv.DictReader(_file, delimiter="\t", quoting=csv.QUOTE_NONE))

FINEWEB2: Mapping[str, Mapping[str, float]] = {
    row["language"]: {name: float(value) for name, value in row.items() if name not in _OTHER_COLUMNS} for row in _ROWS
}

Profile = Literal["kyutai", "fineweb2", "gopher", "none"]
BY_LANGUAGE: Literal["by language"] = "by language"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, and its threshold in each recipe; None where the recipe does not have it.

    `fineweb` is FineWeb's, which profile fineweb2 takes for English.
    """

    name: str
    source: str  # who published it
    meaning: str  # of a document that it leaves out: "its <meaning>"
    gopher: float | None = None
    fineweb: float | None = None
    fineweb2: float | Literal["by language"] | None = None

    @property
    def score(self) -> str:
        return self.name.rpartition("_")[0]

    @property
    def is_minimum(self) -> bool:
        return self.name.endswith("_min")


_REPETITION, _QUALITY = "Gopher, table A1", "Gopher, section A1.1"
_C4, _FINEWEB = "C4, section 2.2", "FineWeb, section 3.6"
QUALITY = "quality_min"
# Half: a text is in the language that most of it is in. In every profile; docs/filters.md has what it leaves out.
LANGUAGE_SHARE, MIN_LANGUAGE_SHARE = "language_share_min", 0.5
# In the order in which a document meets them: FineWeb's.
RULES: tuple[Rule, ...] = (
    Rule(LANGUAGE_SHARE, "pipelines/text/language_share.py", "text is in another language for its greater part"),
    Rule("duplicate_paragraph_share_max", _REPETITION, "paragraphs repeat", 0.3, 0.3, None),
    Rule("duplicate_paragraph_character_share_max", _REPETITION, "long paragraphs repeat", 0.2, 0.2, None),
    Rule("duplicate_line_share_max", _REPETITION, "lines repeat", 0.3, 0.3, BY_LANGUAGE),
    Rule("duplicate_line_character_share_max", _REPETITION, "long lines repeat", 0.2, 0.2, None),
    *(
        Rule(f"top_{n}_gram_share_max", _REPETITION, f"most frequent {n} words repeat", limit, limit, BY_LANGUAGE)
        for n, limit in ((2, 0.2), (3, 0.18), (4, 0.16))
    ),
    *(
        Rule(f"duplicate_{n}_gram_share_max", _REPETITION, f"runs of {n} words repeat", limit, limit, BY_LANGUAGE)
        for n, limit in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.1))
    ),
    Rule("words_min", _QUALITY, "words are few", 50, 50, 50),
    Rule("words_max", _QUALITY, "words are many", 100_000, 100_000, 100_000),
    Rule("mean_word_length_min", _QUALITY, "words are short", 3, 3, BY_LANGUAGE),
    Rule("mean_word_length_max", _QUALITY, "words are long", 10, 10, BY_LANGUAGE),
    Rule("hash_ratio_max", _QUALITY, "text is full of #", 0.1, 0.1, 0.1),
    Rule("ellipsis_ratio_max", _QUALITY, "text is full of ellipses", 0.1, 0.1, 0.1),
    Rule("bullet_line_share_max", _QUALITY, "lines begin with bullets", 0.9, 0.9, 0.9),
    Rule("ellipsis_line_share_max", _QUALITY, "lines end in ellipses", 0.3, 0.3, 0.3),
    Rule("alphabetic_word_share_min", _QUALITY, "words have no letter", 0.8, 0.8, BY_LANGUAGE),
    Rule("stop_words_min", _QUALITY, "words are hardly any of its language's stop words", 2, 2, 2),
    Rule("lorem_ipsum_lines_max", _C4, "text is a placeholder", None, 0, None),
    Rule("curly_bracket_lines_max", _C4, "text is code", None, 0, None),
    Rule("c4_sentences_min", _C4, "sentences are few", None, 5, None),
    Rule("terminal_line_share_min", _FINEWEB, "lines do not end like sentences", None, 0.12, BY_LANGUAGE),
    Rule("short_line_share_max", _FINEWEB, "lines are short", None, 0.67, None),
    Rule("repeated_line_character_share_max", _FINEWEB, "long lines repeat", None, 0.01, 0.1),
    Rule("line_break_ratio_max", _FINEWEB, "text is a list", None, 0.3, BY_LANGUAGE),
    Rule(QUALITY, "pipelines/text/quality_model.py", "text is unlike the corpus that the model was trained to like"),
)
# Gopher's that words of Chinese, of one character or two, and of its like would break in every text.
_OF_WORDS_BETWEEN_SPACES = ("mean_word_length_min", "mean_word_length_max")
RULE_OF_NAME: Mapping[str, Rule] = {rule.name: rule for rule in RULES}


def profile_thresholds(profile: Profile, language: str) -> dict[str, float]:
    """Return the threshold by rule, in the order of RULES. Kyutai's recipe has none: it is a length, a language
    score and `line_dedup: paragraphs`.

    Raises ValueError when the profile was not made for the language.
    """
    if profile in ("none", "kyutai"):
        return {}
    if profile == "gopher":
        left_out = _OF_WORDS_BETWEEN_SPACES if language in UNSPACED else ()
        return {rule.name: rule.gopher for rule in RULES if rule.gopher is not None and rule.name not in left_out}
    if language == "eng":
        return {rule.name: rule.fineweb for rule in RULES if rule.fineweb is not None}
    if language not in FINEWEB2:
        raise ValueError(
            f"profile fineweb2 has no thresholds for {NAME_OF_CODE.get(language, language)}, only for English and the "
            f"{len(FINEWEB2)} languages of fineweb2_thresholds.tsv; take profile gopher or kyutai, or write `rules`"
        )
    limits = {rule.name: rule.fineweb2 for rule in RULES if rule.fineweb2 is not None}
    return {name: FINEWEB2[language][name] if limit == BY_LANGUAGE else limit for name, limit in limits.items()}


def thresholds(profile: Profile, language: str, overrides: Mapping[str, float | Literal[False]]) -> dict[str, float]:
    """Return the threshold by rule of a corpus: that of LANGUAGE_SHARE and the profile's, with `overrides` on top, of
    which False
    takes a rule out.

    Raises ValueError, in a sentence, for an unknown rule, for a profile that was not made for the language, and when
    stop words are asked for of a language without a list.
    """
    for name in overrides.keys() - RULE_OF_NAME.keys():
        near = get_close_matches(name, RULE_OF_NAME, n=1)
        raise ValueError(
            f"rules: there is no rule `{name}`"
            + (f"; did you mean `{near[0]}`?" if near else f"; there are {', '.join(RULE_OF_NAME)}")
        )
    chosen: dict[str, float | Literal[False]] = {
        LANGUAGE_SHARE: MIN_LANGUAGE_SHARE,
        **profile_thresholds(profile, language),
        **overrides,
    }
    if chosen.get("stop_words_min", False) is not False and language not in STOP_WORDS:
        raise ValueError(
            f"rule stop_words_min needs a list, and there is none of {NAME_OF_CODE.get(language, language)}: "
            "set rules.stop_words_min to false"
        )
    limits = {rule.name: chosen.get(rule.name, False) for rule in RULES}
    return {name: limit for name, limit in limits.items() if limit is not False}


# The rules as the table of docs/filters.md: `python -m pipelines.text.rules` prints them.


def rules_table() -> str:
    """Return all rules, with their thresholds by profile, in Markdown."""
    rows = (
        [f"`{rule.name}`", rule.meaning, *map(_shown, (rule.gopher, rule.fineweb, rule.fineweb2)), rule.source]
        for rule in RULES
    )
    head = ["rule and reason", "what it leaves out: its", "gopher", "fineweb2, English", "fineweb2, others", "source"]
    return "\n".join(_table(head, rows))


def _shown(limit: float | str | None) -> str:
    if limit is None or isinstance(limit, str):
        return limit or ""
    return f"{limit:g}"


def _table(head: Sequence[str], rows: Iterator[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    print(rules_table())
