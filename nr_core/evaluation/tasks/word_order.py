"""Word order as a task: a treebank's sentence beside its own corruption, which a model should find less likely.

In the manner of ScaLA (Nielsen 2023) the corruption deletes one word or swaps two neighbours. The tags that may be
touched are chosen so that what comes out is ungrammatical as a rule: adjectives, adverbs, determiners and numbers are
not deleted, nor is one of two nouns that stand side by side; neighbours are swapped only where their tags differ. Drawn
by a seed, so that every model is asked the same.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from nr_core.errors import ModelError
from nr_core.evaluation.tasks.items import Item, Row
from nr_core.evaluation.tasks.settings import TaskSettings

SEED = 0
SHORTEST = 5  # words: shorter sentences are headings and fragments
NOT_DELETED = {"ADJ", "ADV", "DET", "INTJ", "NUM", "PUNCT", "SYM", "X", "_"}
NOT_SWAPPED = {"INTJ", "PUNCT", "SYM", "X", "_"}
NOUNS = {"NOUN", "PROPN"}


def word_order_items(task: TaskSettings, rows: Sequence[Row], examples: Sequence[Row] = ()) -> list[Item]:
    """Set each sentence of a treebank against a corruption of it; those that are too short are left out."""
    draw = random.Random(SEED)
    made = []
    for row in rows:
        words, tags, spaces = _sentence(task, row)
        corrupted = corrupt(words, tags, spaces, draw)
        if corrupted is not None:
            kind, sentence = corrupted
            pairs = [("", task.delimiter + text) for text in (joined(words, spaces), sentence)]
            made.append(Item(pairs, 0, kind))
    return made


def _sentence(task: TaskSettings, row: Row) -> tuple[Any, ...]:
    """Return the words of a sentence, their tags, and whether a space follows each."""
    parts = tuple(row.get(name) for name in ("words", "tags", "spaces"))
    if not all(isinstance(part, list) for part in parts) or len({len(part) for part in parts}) > 1:  # type: ignore[arg-type]
        raise ModelError(
            f"Task {task.name}: a row is no sentence of a treebank: words, tags and spaces are three lists of one "
            f"length, and it has {', '.join(map(str, row))}; give CoNLL-U (data.format: conllu), or such rows."
        )
    return parts


def corrupt(
    words: Sequence[str], tags: Sequence[str], spaces: Sequence[bool], draw: random.Random
) -> tuple[str, str] | None:
    """Return (delete or swap, the corrupted sentence); None where the sentence is short or nothing in it may be
    touched."""
    if sum(tag != "PUNCT" for tag in tags) < SHORTEST:
        return None
    choices = [("delete", i) for i in range(len(words)) if _may_go(tags, i)]
    choices += [("swap", i) for i in range(len(words) - 1) if _may_swap(words, tags, spaces, i)]
    if not choices:
        return None
    kind = draw.choice(sorted({kind for kind, _ in choices}))
    place = draw.choice([i for other, i in choices if other == kind])
    changed, gaps = list(words), list(spaces)
    if kind == "delete":
        # What follows keeps the gap that stood before the deleted word.
        del changed[place], gaps[place]
    else:
        changed[place], changed[place + 1] = changed[place + 1], changed[place]
    if place == 0:
        # The capital stays where it was: it alone must not give the answer away.
        first = words[0]
        if first[:1].isupper() and len(first) > 1 and tags[0] != "PROPN" and kind == "swap":
            changed[1] = first[0].lower() + first[1:]
        changed[0] = changed[0][:1].upper() + changed[0][1:] if first[:1].isupper() else changed[0]
    return kind, joined(changed, gaps)


def joined(words: Sequence[str], spaces: Sequence[bool]) -> str:
    return "".join(word + (" " if space else "") for word, space in zip(words, spaces, strict=True)).strip()


def _may_go(tags: Sequence[str], i: int) -> bool:
    neighbours = {tags[j] for j in (i - 1, i + 1) if 0 <= j < len(tags)}
    return tags[i] not in NOT_DELETED and not (tags[i] in NOUNS and neighbours & NOUNS)


def _may_swap(words: Sequence[str], tags: Sequence[str], spaces: Sequence[bool], i: int) -> bool:
    pair = {tags[i], tags[i + 1]}
    same = words[i].lower() == words[i + 1].lower()
    return spaces[i] and len(pair) == 2 and not pair & NOT_SWAPPED and pair != NOUNS and not same
