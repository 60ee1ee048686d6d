"""English: inflection and spelling."""

import re

from pipelines.sample_crawl.grammar import Forms

FEATURES = ("s", "p")  # singular, plural

_VOWELS = "aeiou"
_AN = re.compile(r"\b([Aa]) (?=(?:[aeioAEIO](?!ne\b|nce\b)|u(?!s|ni)|hour|honest|heirloom))")


def inflect(speech: str, entry: str) -> Forms:
    """Returns the forms of an entry: s and p of a noun; s, p, past, done and ing of a verb; else the word itself."""
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


def polish(text: str) -> str:
    """Returns the text with `an` before vowels."""
    return _AN.sub(r"\1n ", text)


def _with_s(word: str) -> str:
    if re.search(r"(s|x|z|ch|sh|[^aeiou]o)$", word):
        return word + "es"
    if word.endswith("y") and word[-2] not in _VOWELS:
        return word[:-1] + "ies"
    return word + "s"


def _doubles(word: str) -> bool:
    one_syllable = len(re.findall(r"[aeiou]+|y(?![aeiou])", word)) == 1
    return one_syllable and bool(re.search(r"[^aeiou][aeiou][^aeiouwxy]$", "_" + word))


def _with_ed(word: str) -> str:
    if word.endswith("e"):
        return word + "d"
    if word.endswith("y") and word[-2] not in _VOWELS:
        return word[:-1] + "ied"
    return (word + word[-1] if _doubles(word) else word) + "ed"


def _with_ing(word: str) -> str:
    if word.endswith("ie"):
        return word[:-2] + "ying"
    if word.endswith("e") and not word.endswith("ee"):
        return word[:-1] + "ing"
    return (word + word[-1] if _doubles(word) else word) + "ing"
