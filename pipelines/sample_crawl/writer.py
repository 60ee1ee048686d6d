"""Composes text from a grammar."""

import random

from pipelines.sample_crawl.grammar import Grammar, choices

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
        """Returns one expansion of the symbol, as the grammar spells it: before elision and capitals."""
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
