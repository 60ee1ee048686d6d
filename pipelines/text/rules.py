"""The one table of rules over scores, and the profiles: published recipes, each a choice of rules and thresholds.

A rule is named after its score and its direction: `words_min` leaves out documents whose score `words` is less than the
threshold, `words_max` those whose score is more. The name is the reason in the funnel, and the key under which
a config overrides the threshold. Out of this table come the SQL of the filter and the table in docs/filters.md.

After a change of a threshold raise CORPUS_STAGE_VERSION (pipelines/corpus/lineage.py).

FineWeb2's thresholds by language: Penedo et al. 2025 (https://arxiv.org/abs/2506.20920), out of
github.com/huggingface/fineweb-2, configs/<language>_<script>.yml, read in November 2026 (ekk, lvs and nob stand for
est, lav and nor). Those of lav, lit, mlt, nor, tur and ukr are of commit baedee44, the others of 05e6729: no commit
was at hand for all. They differ where both were (hun: top 2-grams .095 and .226, terminal lines .167 and .067, line
breaks .278 and .231), so those six are stricter on repetition than the others. FineWeb2's thresholds of the language
score are GlotLID's and are not used here: pipelines/text/languages.py holds ours for lid.176.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from pipelines.text.languages import NAME_OF_CODE
from pipelines.text.stop_words import STOP_WORDS
from pipelines.text.words import UNSPACED

_FINEWEB2_COLUMNS = (
    "duplicate_line_share_max",
    *(f"top_{n}_gram_share_max" for n in (2, 3, 4)),
    *(f"duplicate_{n}_gram_share_max" for n in (5, 6, 7, 8, 9, 10)),
    "terminal_line_share_min",
    "line_break_ratio_max",
    *("mean_word_length_min", "mean_word_length_max"),
    "alphabetic_word_share_min",
)
_FINEWEB2_TABLE = """
bul .317 .173 .157 .139 .170 .158 .144 .131 .120 .108 .154 .142 3 10 .756
cat .294 .216 .189 .168 .159 .149 .137 .126 .116 .105 .154 .118 2 11 .832
ces .311 .206 .183 .165 .168 .157 .145 .133 .121 .109 .060 .182 3 11 .781
dan .305 .367 .297 .232 .169 .158 .147 .134 .123 .112 .100 .182 3 11 .798
deu .263 .169 .153 .137 .141 .134 .126 .117 .108 .098 .000 .152 0 15 .774
ell .310 .194 .175 .156 .174 .163 .153 .142 .130 .119 .167 .116 3 11 .809
est .363 .345 .268 .215 .172 .161 .150 .139 .125 .113 .143 .213 3 13 .722
fin .293 .253 .202 .179 .153 .143 .133 .122 .112 .101 .114 .161 3 14 .755
fra .264 .161 .149 .134 .150 .141 .131 .121 .111 .100 .100 .185 2 11 .812
gle .395 .533 .421 .379 .203 .181 .181 .155 .145 .132 .000 .214 2 11 .816
hrv .312 .215 .190 .165 .173 .162 .150 .138 .126 .113 .099 .198 2 11 .751
hun .322 .226 .198 .172 .169 .159 .148 .136 .124 .112 .067 .231 3 15 .766
ita .246 .198 .156 .133 .144 .136 .127 .118 .109 .100 .025 .200 3 21 .807
lav .364 .147 .162 .178 .199 .177 .157 .142 .124 .110 .200 .222 3 13 .727
lit .353 .098 .126 .152 .213 .190 .173 .159 .147 .136 .273 .250 3 11 .688
mlt .458 .533 .607 .596 .267 .232 .207 .189 .171 .149 .200 .207 4 12 .823
nld .296 .213 .182 .158 .156 .146 .136 .126 .115 .104 .102 .154 3 17 .828
nor .312 .087 .107 .131 .163 .153 .134 .122 .115 .112 .200 .219 3 11 .783
pol .320 .222 .198 .176 .172 .160 .148 .136 .123 .111 .087 .158 3 12 .726
por .287 .371 .191 .163 .163 .153 .141 .130 .119 .108 .077 .186 3 13 .814
ron .289 .161 .146 .131 .160 .149 .138 .127 .117 .106 .081 .207 1 14 .779
rus .322 .184 .164 .146 .168 .156 .145 .133 .121 .109 .231 .139 3 11 .713
slk .319 .316 .218 .171 .176 .165 .152 .140 .127 .115 .000 .214 2 11 .752
slv .317 .262 .225 .189 .170 .158 .146 .135 .123 .111 .045 .273 2 12 .781
spa .252 .156 .140 .125 .145 .136 .127 .117 .108 .099 .182 .138 3 14 .825
swe .292 .242 .195 .174 .156 .147 .136 .125 .116 .105 .200 .135 3 12 .841
tur .303 .094 .114 .136 .168 .151 .135 .123 .116 .107 .200 .273 3 21 .773
ukr .333 .086 .108 .129 .176 .157 .139 .125 .113 .102 .308 .211 3 11 .694
"""

FINEWEB2: Mapping[str, Mapping[str, float]] = {
    line[:3]: dict(zip(_FINEWEB2_COLUMNS, map(float, line[4:].split()), strict=True))
    for line in _FINEWEB2_TABLE.strip().splitlines()
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
    """Threshold by rule, in the order of RULES. Kyutai's recipe has none: it is a length, a language
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
            f"profile fineweb2 has no thresholds for {NAME_OF_CODE.get(language, language)}, only for "
            f"{', '.join(sorted({'eng', *FINEWEB2}))}; take profile gopher or kyutai, or write `rules`"
        )
    limits = {rule.name: rule.fineweb2 for rule in RULES if rule.fineweb2 is not None}
    return {name: FINEWEB2[language][name] if limit == BY_LANGUAGE else limit for name, limit in limits.items()}


def thresholds(profile: Profile, language: str, overrides: Mapping[str, float | Literal[False]]) -> dict[str, float]:
    """Threshold by rule of a corpus: that of LANGUAGE_SHARE and the profile's, with `overrides` on top, of which False
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


# The rules as the tables of docs/filters.md: `python -m pipelines.text.rules` prints them.


def rules_table() -> str:
    """Return all rules, with their thresholds by profile, in Markdown."""
    rows = (
        [f"`{rule.name}`", rule.meaning, *map(_shown, (rule.gopher, rule.fineweb, rule.fineweb2)), rule.source]
        for rule in RULES
    )
    head = ["rule and reason", "what it leaves out: its", "gopher", "fineweb2, English", "fineweb2, others", "source"]
    return "\n".join(_table(head, rows))


def fineweb2_table() -> str:
    """FineWeb2's thresholds by language, in Markdown."""
    columns = next(iter(FINEWEB2.values()))
    rows = ([language, *(f"{limit:g}" for limit in limits.values())] for language, limits in FINEWEB2.items())
    return "\n".join(_table(["language", *(f"`{name}`" for name in columns)], rows))


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
    print(rules_table(), fineweb2_table(), sep="\n\n")
