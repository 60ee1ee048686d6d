"""Inflection and spelling of the sample crawl's languages.

English: plurals, forms of verbs, `an` before vowels. French: gender and number, elision and contractions. German,
Spanish, Hungarian and Danish, which a corpus must keep out: as far as their grammars need it.
"""

import re
from collections.abc import Callable

from pipelines.sample_crawl.grammar import Forms

ENGLISH_FEATURES = ("s", "p")  # singular, plural

_ENGLISH_VOWELS = "aeiou"
_AN = re.compile(r"\b([Aa]) (?=(?:[aeioAEIO](?!ne\b|nce\b)|u(?!s|ni)|hour|honest|heirloom))")


def inflect_english(speech: str, entry: str) -> Forms:
    """Return the forms of an entry: s and p of a noun; s, p, past, done and ing of a verb; else the word itself."""
    if speech == "noun":
        singular, _, plural = entry.partition("/")
        return {"s": singular, "p": plural or _with_s(singular)}
    if speech == "verb":
        head, _, rest = entry.partition(" ")
        base, *irregular = head.split("/")
        past = irregular[0] if irregular else _with_ed(base)
        done = irregular[1] if len(irregular) > 1 else past
        ing = irregular[2] if len(irregular) > 2 else _with_ing(base)
        forms = {"s": _with_s(base), "p": base, "past": past, "done": done, "ing": ing}
        return {name: f"{form} {rest}".rstrip() for name, form in forms.items()}
    return {"": entry}


def polish_english(text: str) -> str:
    """Return the text with `an` before vowels."""
    return _AN.sub(r"\1n ", text)


def _with_s(word: str) -> str:
    if re.search(r"(s|x|z|ch|sh|[^aeiou]o)$", word):
        return word + "es"
    if word.endswith("y") and word[-2] not in _ENGLISH_VOWELS:
        return word[:-1] + "ies"
    return word + "s"


def _doubles(word: str) -> bool:
    one_syllable = len(re.findall(r"[aeiou]+|y(?![aeiou])", word)) == 1
    return one_syllable and bool(re.search(r"[^aeiou][aeiou][^aeiouwxy]$", "_" + word))


def _with_ed(word: str) -> str:
    if word.endswith("e"):
        return word + "d"
    if word.endswith("y") and word[-2] not in _ENGLISH_VOWELS:
        return word[:-1] + "ied"
    return (word + word[-1] if _doubles(word) else word) + "ed"


def _with_ing(word: str) -> str:
    if word.endswith("ie"):
        return word[:-2] + "ying"
    if word.endswith("e") and not word.endswith("ee"):
        return word[:-1] + "ing"
    return (word + word[-1] if _doubles(word) else word) + "ing"


FRENCH_FEATURES = ("ms", "fs", "mp", "fp")  # gender and number

_FRENCH_VOWELS = "aeiouyàâéèêëîïôûœh"
# h aspiré, and other words before which nothing is elided
_NO_ELISION = r"(?!haricot|haie|hache|houe|hangar|halle|homard|hall|haut|hors|huit|onze|yaourt|hachis|hach|hibou|houx)"
_BEFORE_VOWEL = rf"(?=[{_FRENCH_VOWELS}])" + _NO_ELISION
_FRENCH_SPELLING: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
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


def polish_french(text: str) -> str:
    """Return the text with elisions (l'arbre) and contractions (du, aux)."""
    for pattern, replacement in _FRENCH_SPELLING:
        text = pattern.sub(replacement, text)
    return text


def inflect_french(speech: str, entry: str) -> Forms:
    """Return an entry's forms.

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
    return dict(zip(FRENCH_FEATURES, [masculine, feminine, *plurals], strict=True))


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


def inflect_german(speech: str, entry: str) -> Forms:
    """Return the German forms of an entry. nm, nf, nn: the noun under its gender; adj: b (as it stands), e, en; verb:
    inf, s, done."""
    if speech in ("nm", "nf", "nn"):
        return {speech[1]: entry}
    if speech == "adj":
        return {"b": entry, "e": entry + "e", "en": entry.removesuffix("e") + "en"}
    if speech == "verb":
        return dict(zip(("inf", "s", "done"), entry.split("/"), strict=True))
    return {"": entry}


def inflect_spanish(speech: str, entry: str) -> Forms:
    """Return the Spanish forms of an entry. nm, nf: singular and plural; adj: ms fs mp fp; verb: the same (third
    person) and inf."""
    parts = entry.split("/")
    if speech in ("nm", "nf"):
        return {speech[1] + "s": parts[0], speech[1] + "p": parts[1] if len(parts) > 1 else parts[0] + "s"}
    if speech == "adj":
        stem = entry[:-1]
        return {"ms": entry, "fs": stem + "a", "mp": entry + "s", "fp": stem + "as"}
    if speech == "verb":
        head, _, rest = parts[0].partition(" ")
        regular = [f"{head[:-1]} {rest}".strip(), f"{head[:-1]}n {rest}".strip()]
        singular, plural = parts[1:] or regular
        return {"inf": parts[0], "ms": singular, "fs": singular, "mp": plural, "fp": plural}
    return {"": entry}


def inflect_hungarian(speech: str, entry: str) -> Forms:
    """Return the Hungarian forms of an entry. noun: s, acc, in; verb: s (third person, definite object) and inf."""
    parts = entry.split("/")
    if speech == "noun":
        return dict(zip(("s", "acc", "in"), parts, strict=True))
    return {"s": parts[1], "inf": parts[2]} if speech == "verb" else {"": entry}


def inflect_danish(speech: str, entry: str) -> Forms:
    """Return the Danish forms of an entry. nc, nt: c or t (indefinite), with def and p added (cdef, cp); adj: c, t, p;
    verb: inf, s, past."""
    parts = entry.split("/")
    if speech in ("nc", "nt"):
        return {speech[1] + form: word for form, word in zip(("", "def", "p"), parts, strict=True)}
    if speech == "adj":
        return dict(zip(("c", "t", "p"), parts, strict=True))
    return {"inf": parts[0], "s": parts[0] + "r", "past": parts[1]} if speech == "verb" else {"": entry}


def polish_german(text: str) -> str:
    """Contract a preposition and its article (im, am)."""
    return re.sub(r"\b(i)n dem\b|\b(a)n dem\b", lambda match: (match[1] or match[2]) + "m", text)


def polish_spanish(text: str) -> str:
    """Contract de el and a el."""
    return re.sub(r"\b(de|a) el\b", lambda match: "del" if match[1] == "de" else "al", text)


def polish_hungarian(text: str) -> str:
    """Write `az` for `a` before a vowel."""
    return re.sub(r"\ba (?=[aáeéiíoóöőuúüű])", "az ", text)
