"""A generative grammar with agreement, read from the .txt files of grammars/.

A grammar file has two kinds of entries; an entry goes on over indented lines, `#` starts a comment line:

    noun tool: spade, knife/knives          part of speech, symbol, comma-separated words (slash: irregular forms)
    clause = {np.*} {happen.*} | ...        symbol, alternatives separated by a bar, with slots in braces

A slot names a symbol and a form: `{tool.p}`, a plural. In a rule `*` stands for one agreement feature of the language,
the same in the whole alternative: `{np.*} {verb.*}` is `{np.s} {verb.s}` or `{np.p} {verb.p}`. A rule named `np.*`
becomes one rule a feature.
"""

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

SLOT = re.compile(r"\{([a-z_]+)(?:\.([a-z*]+))?\}")
WORDS = re.compile(r"^(\w+) (\w+): *(.*)$")
RULE = re.compile(r"^([a-z_]+(?:\.[a-z*]+)?) = *(.*)$")

Forms = dict[str, str]
Inflect = Callable[[str, str], Forms]
Alternative = list[str | tuple[str, str]]


class Grammar:
    """Rules and word lists of one topic in one language.

    Args:
        texts: contents of grammar files; where two define a symbol, word lists are joined and alternatives too.
        features: the agreement features that `*` ranges over, such as ("s", "p").
        inflect: (part of speech, entry) -> the word's forms by name ("" is the form of a slot that names none).

    Raises:
        ValueError: a line that is neither rule nor words, or a slot that names nothing; both are errors of our files.
    """

    def __init__(self, texts: Iterable[str], features: Sequence[str], inflect: Inflect) -> None:
        self.words: dict[str, list[Forms]] = {}
        self.rules: dict[tuple[str, str], list[list[Alternative]]] = {}
        for line in (line for text in texts for line in _entries(text)):
            if match := WORDS.match(line):
                speech, symbol, entries = match.groups()
                forms = [inflect(speech, entry.strip()) for entry in entries.split(",") if entry.strip()]
                self.words.setdefault(symbol, []).extend(forms)
            elif match := RULE.match(line):
                name, alternatives = match.groups()
                for alternative in alternatives.split(" | "):
                    self._add_rule(name, alternative.strip(), features)
            else:
                raise ValueError(f"grammar line is neither words nor a rule: {line!r}")
        self._check()

    def _add_rule(self, name: str, alternative: str, features: Sequence[str]) -> None:
        symbol, _, form = name.partition(".")
        variants = [_parse(alternative.replace("*", feature)) for feature in features]
        if form == "*":
            for feature, variant in zip(features, variants, strict=True):
                self.rules.setdefault((symbol, feature), []).append([variant])
        else:
            self.rules.setdefault((symbol, form), []).append(variants if "*" in alternative else variants[:1])

    def _check(self) -> None:
        for name, alternatives in self.rules.items():
            for part in (part for variants in alternatives for variant in variants for part in variant):
                if not isinstance(part, str) and part not in self.rules and not choices(self.words, *part):
                    raise ValueError(f"the grammar's rule {name} has a slot {part} that names nothing")

    @cached_property
    def substitutes(self) -> dict[str, list[str]]:
        """For each single word: the single words that may stand in its place without breaking agreement."""
        found: dict[str, list[str]] = {}
        for symbol, entries in self.words.items():
            for form in sorted({form for forms in entries for form in forms}):
                group = [word for word in choices(self.words, symbol, form) if word.isalpha()]
                for word in group if len(group) >= 8 else ():
                    found.setdefault(word, group)
        return found


def choices(words: Mapping[str, list[Forms]], symbol: str, form: str) -> list[str]:
    """Return the words of a list that have the form."""
    return [forms[form] for forms in words.get(symbol, ()) if form in forms]


def _entries(text: str) -> Iterable[str]:
    entry = ""
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0].isspace():
            entry += " " + line.strip()
            continue
        if entry:
            yield entry
        entry = line.rstrip()
    if entry:
        yield entry


def _parse(alternative: str) -> Alternative:
    parts: Alternative = []
    at = 0
    for match in SLOT.finditer(alternative):
        if match.start() > at:
            parts.append(alternative[at : match.start()])
        parts.append((match[1], match[2] or ""))
        at = match.end()
    if at < len(alternative):
        parts.append(alternative[at:])
    return parts


# Composes text from a grammar.


SHARE, AT_LEAST = 0.5, 12  # of a word list, for one page


class Writer:
    """Composes one page: draws from its own part of every word list, so that a page has a subject of its own."""

    def __init__(self, grammar: Grammar, source: random.Random) -> None:
        self.grammar, self.source = grammar, source
        self.words = {
            symbol: source.sample(forms, min(len(forms), max(AT_LEAST, round(SHARE * len(forms)))))
            for symbol, forms in grammar.words.items()
        }
        self._chosen: dict[tuple[str, str], list[str]] = {}

    def write(self, symbol: str, form: str = "") -> str:
        """Return one expansion of the symbol, as the grammar spells it: before elision and capitals."""
        out: list[str] = []
        self._expand((symbol, form), out)
        return "".join(out)

    def _expand(self, slot: tuple[str, str], out: list[str]) -> None:
        alternatives = self.grammar.rules.get(slot)
        if alternatives is None:
            words = self._chosen.get(slot)
            if words is None:  # a form that no word of this page's part has (a gender) is taken from the whole list
                words = choices(self.words, *slot) or choices(self.grammar.words, *slot)
                self._chosen[slot] = words
            out.append(words[int(self.source.random() * len(words))])
            return
        variants = alternatives[int(self.source.random() * len(alternatives))]
        for part in variants[int(self.source.random() * len(variants))]:
            if isinstance(part, str):
                out.append(part)
            else:
                self._expand(part, out)
