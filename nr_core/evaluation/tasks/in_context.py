"""A probe of in-context learning that needs no data: a rule shown by a few examples, to be applied to two new words.

The words are invented, so that no language helps. Each of four rules is right equally often, and the four choices are
what the four rules make of the same two words: a model that likes one rule, say to copy, is right in a quarter of the
cases, as one that guesses. Bits per byte alone can hide that the ability is lost: continued pretraining without English
has taken it away within its first steps (Elhady et al. 2025, arXiv 2506.00288).
"""

from __future__ import annotations

import random
from typing import Any

SEED = 0
ROWS_A_RULE = 100
EXAMPLES = 4
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
RULES = {
    "copy": lambda first, second: f"{first} {second}",
    "swap": lambda first, second: f"{second} {first}",
    "first": lambda first, second: f"{first} {first}",
    "last": lambda first, second: f"{second} {second}",
}


def rows() -> list[dict[str, Any]]:
    """Make the rows, the same each time: prompt, choices, answer (index of the right one) and rule."""
    draw = random.Random(SEED)
    return [_row(draw, rule) for _ in range(ROWS_A_RULE) for rule in RULES]


def _row(draw: random.Random, rule: str) -> dict[str, Any]:
    words = _words(draw, 2 * (EXAMPLES + 1))
    *shown, asked = zip(words[::2], words[1::2], strict=True)
    examples = [f"{first} {second} -> {RULES[rule](first, second)}\n" for first, second in shown]
    rules = draw.sample(list(RULES), len(RULES))
    return {
        "prompt": "".join(examples) + f"{asked[0]} {asked[1]} ->",
        "choices": [RULES[other](*asked) for other in rules],
        "answer": rules.index(rule),
        "rule": rule,
    }


def _words(draw: random.Random, count: int) -> list[str]:
    """Return so many words of two syllables, no two alike."""
    syllables = [consonant + vowel for consonant in CONSONANTS for vowel in VOWELS]
    words: dict[str, None] = {}
    while len(words) < count:
        words[draw.choice(syllables) + draw.choice(syllables)] = None
    return list(words)
