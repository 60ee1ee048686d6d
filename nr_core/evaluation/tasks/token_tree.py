"""Token trees: sequences that begin alike are computed once up to where they part.

A tree is one row of a batch: its nodes are tokens, a node sees its ancestors and itself, and its position is its depth.
So a question with four answers costs the question once, and questions of a subject its few-shot examples once, in one
ordinary forward pass with a mask. https://arxiv.org/abs/2305.09781 (SpecInfer) calls it tree attention.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SHARED_SHARE = 0.5  # a sequence joins a tree where at least this share of it stands there: attention is quadratic
MOST_NODES = 512  # of a tree that is longer than twice its first sequence


@dataclass
class Tree:
    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)  # -1 of the root
    depths: list[int] = field(default_factory=list)
    paths: dict[int, list[int]] = field(default_factory=dict)  # sequence -> its nodes

    def add(self, number: int, sequence: Sequence[int], path: list[int]) -> None:
        """Add a sequence whose first tokens are the nodes of `path`."""
        path = list(path)
        for token in sequence[len(path) :]:
            self.parents.append(path[-1] if path else -1)
            self.depths.append(len(path))
            path.append(len(self.tokens))
            self.tokens.append(token)
        self.paths[number] = path

    @property
    def branches(self) -> bool:
        return any(parent != node - 1 for node, parent in enumerate(self.parents))

    def ancestors(self, size: int) -> np.ndarray[Any, Any]:
        """Return (size, size) bool: what each node sees; padding sees itself only."""
        seen = np.eye(size, dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                seen[node] |= seen[parent]
        return seen


def trees_of(sequences: Sequence[Sequence[int]], sharing: bool = True, reach: int | None = None) -> list[Tree]:
    """Return the sequences as trees, each in one; sharing False: a tree of its own for each.

    reach: how far back the model's attention sees, where that is bounded: longer sequences get a tree of their own,
    since a node that saw all of its ancestors would see more than the model lets it.
    """
    trees: list[Tree] = []
    before: Sequence[int] = ()
    path: list[int] = []
    limit = 0
    # In lexicographic order a sequence shares the most with the one before it.
    for number in sorted(range(len(sequences)), key=lambda i: tuple(sequences[i])):
        sequence = sequences[number]
        shared = _shared(before, sequence)
        short = reach is None or max(len(before), len(sequence)) <= reach
        joins = sharing and short and trees and shared >= SHARED_SHARE * len(sequence)
        if not (joins and len(trees[-1].tokens) + len(sequence) - shared <= limit):
            trees.append(Tree())
            shared, path, limit = 0, [], max(MOST_NODES, 2 * len(sequence))
        trees[-1].add(number, sequence, path[:shared])
        before, path = sequence, trees[-1].paths[number]
    return trees


def batches_of(trees: Sequence[Tree], batch_tokens: int) -> Iterator[list[Tree]]:
    """Yield trees of like size, the largest first: at most `batch_tokens` with their padding, or one tree.

    Those that branch come first and alone: they need a mask, and plain sequences are not to get one.
    """
    batch: list[Tree] = []
    for tree in sorted(trees, key=lambda tree: (not tree.branches, -len(tree.tokens))):
        full = batch and len(batch[0].tokens) * (len(batch) + 1) > batch_tokens
        if full or (batch and batch[0].branches != tree.branches):
            yield batch
            batch = []
        batch.append(tree)
    if batch:
        yield batch


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))
