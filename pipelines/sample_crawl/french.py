"""French: inflection with gender and number, elision and contractions."""

import re
from collections.abc import Callable

from pipelines.sample_crawl.grammar import Forms

FEATURES = ("ms", "fs", "mp", "fp")  # gender and number

_VOWELS = "aeiouyàâéèêëîïôûœh"
# h aspiré, and other words before which nothing is elided
_NO_ELISION = r"(?!haricot|haie|hache|houe|hangar|halle|homard|hall|haut|hors|huit|onze|yaourt|hachis|hach|hibou|houx)"
_BEFORE_VOWEL = rf"(?=[{_VOWELS}])" + _NO_ELISION
_SPELLING: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(rf"\b(beau|nouveau) {_BEFORE_VOWEL}"), lambda match: {"b": "bel ", "n": "nouvel "}[match[1][0]]),
    (re.compile(rf"\bce {_BEFORE_VOWEL}"), "cet "),
    (re.compile(rf"\bdu {_BEFORE_VOWEL}"), "de l'"),
    (re.compile(rf"\b(l|d|n|s|c|qu|lorsqu|puisqu)e {_BEFORE_VOWEL}"), r"\1'"),
    (re.compile(rf"\bla {_BEFORE_VOWEL}"), "l'"),
    (re.compile(r"\bde le "), "du "),
    (re.compile(r"\bde les "), "des "),
    (re.compile(r"\bde (?:des |du |de l'|de la )"), "de "),
    (re.compile(r"\bà le "), "au "),
    (re.compile(r"\bà les "), "aux "),
    (re.compile(r"\bsi (?=ils?\b)"), "s'"),
]


def polish(text: str) -> str:
    """Returns the text with elisions (l'arbre) and contractions (du, aux)."""
    for pattern, replacement in _SPELLING:
        text = pattern.sub(replacement, text)
    return text


def inflect(speech: str, entry: str) -> Forms:
    """Returns an entry's forms.

    nm, nf: nouns, singular and plural of one gender; mm, mf: nouns without plural; adj: four forms;
    verb: ms, fs, mp, fp (third person present), inf, ant (present participle), vous, and pms … pfp (past participle).
    """
    parts = entry.split("/")
    if speech in ("nm", "nf"):
        gender = speech[1]
        return {gender + "s": parts[0], gender + "p": parts[1] if len(parts) > 1 else _plural(parts[0])}
    if speech in ("mm", "mf"):
        return {speech[1] + "s": entry}
    if speech == "adj":
        return _adjective(parts)
    if speech == "verb":
        return _verb(parts)
    return {"": entry}


def _plural(word: str) -> str:
    head, _, rest = word.partition(" de ")
    if rest:
        return f"{_plural(head)} de {rest}"
    if word[-1] in "sxz":
        return word
    if word.endswith("al"):
        return word[:-2] + "aux"
    return word + ("x" if word.endswith(("eau", "eu")) else "s")


def _feminine(word: str) -> str:
    for ending, feminine in (("e", "e"), ("eux", "euse"), ("if", "ive"), ("er", "ère"), ("en", "enne")):
        if word.endswith(ending):
            return word.removesuffix(ending) + feminine
    return word + "e"


def _adjective(parts: list[str]) -> Forms:
    masculine = parts[0]
    feminine = parts[1] if len(parts) > 1 else _feminine(masculine)
    plurals = parts[2:] if len(parts) > 2 else [_plural("bleus" if masculine == "bleu" else masculine), feminine + "s"]
    return dict(zip(FEATURES, [masculine, feminine, *plurals], strict=True))


def _verb(parts: list[str]) -> Forms:
    infinitive, singular, plural, done, ant, vous = parts if len(parts) > 1 else _regular(parts[0])
    forms = {"ms": singular, "fs": singular, "mp": plural, "fp": plural, "inf": infinitive, "ant": ant, "vous": vous}
    return forms | {"p" + name: form for name, form in _adjective([done, done + "e"]).items()}


def _regular(entry: str) -> list[str]:
    infinitive, _, rest = entry.partition(" ")
    stem = infinitive[:-2]
    if infinitive.endswith("ir"):
        forms = [stem + "it", stem + "issent", stem + "i", stem + "issant", stem + "issez"]
    else:
        mute = re.sub(r"[eé]([^aeiouéhy]|[ct]h)$", r"è\1", stem)  # semer: sème; sécher: sèche
        mute = mute[:-1] + "i" if mute.endswith(("oy", "uy")) else mute
        soft = {"g": stem + "e", "c": stem[:-1] + "ç"}.get(stem[-1], stem)
        forms = [mute + "e", mute + "ent", stem + "é", soft + "ant", stem + "ez"]
    return [f"{form} {rest}".rstrip() for form in [infinitive, *forms]]
