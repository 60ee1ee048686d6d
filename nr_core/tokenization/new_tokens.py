"""Tokens for a new language, behind a base's own: merges of lower priority than all it has, with rows for each.

A byte-level BPE applies its merges by priority, so what is added last sees the base's own tokens of a word and joins
some of them. A merge is taken only if no word of the original text has its pair side by side: that text is then
tokenised as before, which is proved by tokenising it anew. A token that the proof finds is dropped, with those made of
it.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nr_core.base.load_base import load_base
from nr_core.errors import ModelError
from nr_core.files import write_json, writing
from nr_core.settings import BaseSpec
from nr_core.tokenization.new_token_head import sample_windows, silence, window_of
from nr_core.tokenization.tokenize_shards import ENCODE_BATCH, fast_codec
from nr_core.tokenization.tokenizer import largest_id, load_tokenizer, texts_of

Pair = tuple[str, str]
SEEN = 2  # times that a pair must occur in the new text


@dataclass(frozen=True)
class Added:
    """Merges, each of a pair of tokens that stand before it, in the order of their priority."""

    merges: list[Pair]

    def without(self, tokens: set[str]) -> Added:
        """Return the merges that need none of some tokens."""
        gone, kept = set(tokens), []
        for pair in self.merges:
            if "".join(pair) in gone or gone.intersection(pair):
                gone.add("".join(pair))
            else:
                kept.append(pair)
        return Added(kept)

    def pieces(self, known: dict[str, int]) -> dict[str, list[str]]:
        """Return the tokens of the base that each new one is made of, in order."""
        parts: dict[str, list[str]] = {}
        for left, right in self.merges:
            parts[left + right] = [piece for side in (left, right) for piece in parts.get(side, [side])]
        assert all(piece in known for pieces in parts.values() for piece in pieces)
        return parts


def add_tokens(
    base: BaseSpec,
    new: Sequence[Path],
    original: Sequence[Path],
    count: int,
    out: Path,
    replay: Sequence[Path],
    say: Callable[[str], None] = lambda step: None,
) -> dict[str, Any]:
    """Write a base with up to `count` more tokens to the folder `out`: the model, its tokenizer and new_tokens.json.

    new, original: Parquet shards (column `text`) of the language to learn, and of all text whose tokens must stay:
    replay and evaluation sets. Each new row of the embedding and of the output head is the mean of its pieces' rows;
    those of the head are then made silent on `replay`, shards of the old language (see silent_rows). say: told each
    step as it begins. Returns what new_tokens.json holds. Raises ModelError where the tokenizer is no byte-level BPE,
    or where no merge is left.
    """
    tokenizer = load_tokenizer(base)
    rules = _rules(tokenizer, base.model)
    say("counting the words of the new text")
    words = _words(tokenizer, new)
    say("counting the words of the text that stays tokenised as it is")
    kept = _words(tokenizer, original)
    say(f"learning {count:,} tokens")
    added = learn_merges(words, kept, set(tokenizer.get_vocab()), count)
    first, learned = largest_id(tokenizer) + 1, len(added.merges)
    say("tokenising the text that stays as it is, for proof")
    while (found := _found_in(original, _extended(rules, added, first), first)) and added.merges:
        added = added.without({"".join(added.merges[number - first]) for number in found})
    if not added.merges:
        raise ModelError(f"No two tokens of {base.model} can be joined: the new text is too short, or joins none.")
    extended = _extended(rules, added, first)
    say("tokenising the new text before and after")
    tokens = [_tokens(new, one) for one in (rules, extended)]
    figures = {
        "tokens": len(added.merges),
        "dropped": learned - len(added.merges),
        "first_token": first,
        "tokens_before": tokens[0],
        "tokens_after": tokens[1],
        "fertility_before": tokens[0] / sum(words.values()),
        "fertility_after": tokens[1] / sum(words.values()),
    }
    say("making the new rows of the output head silent on the old language")
    with writing(out) as partial:
        _write(base, tokenizer, extended, added, first, [_encoded(text, extended) for text in (new, replay)], partial)
        write_json(partial / "new_tokens.json", figures)
    return figures


def learn_merges(
    words: Counter[tuple[str, ...]], original: Iterable[tuple[str, ...]], known: set[str], count: int
) -> Added:
    """Return merges by how often their pair occurs in some words, of ties the first by its letters.

    words: of the new text, as the base's tokens, with how often each occurs; original: words of the text that must
    stay, as tokens; known: all tokens of the base.
    """
    barred = {pair for word in original for pair in pairwise(word)}
    spelt, weights = [list(word) for word in words], list(words.values())
    counts: Counter[Pair] = Counter()
    places: defaultdict[Pair, set[int]] = defaultdict(set)
    for place, word in enumerate(spelt):
        for pair in pairwise(word):
            counts[pair] += weights[place]
            places[pair].add(place)
    heap = [(-seen, pair) for pair, seen in counts.items()]
    heapq.heapify(heap)
    merges: list[Pair] = []
    known = set(known)
    while heap and len(merges) < count:
        seen, pair = heapq.heappop(heap)
        if -seen != counts[pair] or pair in barred or "".join(pair) in known:
            continue  # counted anew since, or not ours to join
        if -seen < SEEN:
            break
        merges.append(pair)
        known.add("".join(pair))
        changed: set[Pair] = set()
        for place in places.pop(pair):
            before, spelt[place] = spelt[place], _joined(spelt[place], pair)
            for sign, word in ((-1, before), (1, spelt[place])):
                for near in pairwise(word):
                    counts[near] += sign * weights[place]
                    changed.add(near)
                    if sign > 0:
                        places[near].add(place)
        for near in changed:
            heapq.heappush(heap, (-counts[near], near))
    return Added(merges)


def _joined(word: list[str], pair: Pair) -> list[str]:
    joined: list[str] = []
    for token in word:
        if joined and (joined[-1], token) == pair:
            joined[-1] += token
        else:
            joined.append(token)
    return joined


def _rules(tokenizer: Any, name: str) -> str:
    """Return a tokenizer's JSON. Raises ModelError where merges behind its own would not do what is said above."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = str(backend.to_str()) if backend is not None and backend.pre_tokenizer is not None else ""
    model = json.loads(rules)["model"] if rules else {}
    odd = ("byte_fallback", "dropout", "continuing_subword_prefix", "end_of_word_suffix")
    if model.get("type") != "BPE" or any(model.get(field) for field in odd):
        raise ModelError(f"The tokenizer of {name} is no byte-level BPE; tokens can be added to such alone.")
    return rules


def _words(tokenizer: Any, shards: Sequence[Path]) -> Counter[tuple[str, ...]]:
    """Count the words of some text, as the tokenizer's tokens; a word is what no token crosses."""
    backend = tokenizer.backend_tokenizer
    counted: Counter[str] = Counter()
    for text in texts_of(shards):
        plain = text if backend.normalizer is None else backend.normalizer.normalize_str(text)
        counted.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(plain))
    return Counter(
        {tuple(token.value for token in backend.model.tokenize(word)): seen for word, seen in counted.items()}
    )


def _extended(rules: str, added: Added, first: int) -> str:
    """Return a tokenizer's JSON with more merges, the ids of whose tokens begin at `first`."""
    content = json.loads(rules)
    model = content["model"]
    as_text = bool(model["merges"]) and isinstance(model["merges"][0], str)
    model["merges"] += [" ".join(pair) if as_text else list(pair) for pair in added.merges]
    model["vocab"] |= {"".join(pair): first + i for i, pair in enumerate(added.merges)}
    return json.dumps(content, ensure_ascii=False)


def _encoded(shards: Sequence[Path], rules: str) -> Iterable[Sequence[int]]:
    codec, batch = fast_codec(rules), []
    for text in texts_of(shards):
        batch.append(text)
        if len(batch) == ENCODE_BATCH:
            yield from codec.encode(batch)
            batch = []
    yield from codec.encode(batch)


def _found_in(shards: Sequence[Path], rules: str, first: int) -> set[int]:
    """Return the new tokens that occur in a text. Where none does, no new merge applied: its tokens are as before."""
    return {number for ids in _encoded(shards, rules) for number in ids if number >= first}


def _tokens(shards: Sequence[Path], rules: str) -> int:
    return sum(len(ids) for ids in _encoded(shards, rules))


def _write(
    base: BaseSpec,
    tokenizer: Any,
    rules: str,
    added: Added,
    first: int,
    texts: Sequence[Iterable[Sequence[int]]],
    out: Path,
) -> None:
    from tokenizers import Tokenizer

    known = tokenizer.get_vocab()
    tokenizer._tokenizer = Tokenizer.from_str(rules)
    tokenizer.save_pretrained(out)
    again = load_tokenizer(str(out)).get_vocab()
    new = {"".join(pair): first + i for i, pair in enumerate(added.merges)}
    if again != known | new:
        raise ModelError(
            f"The tokenizer of {base.model} gives its special tokens other ids where its vocabulary grows; tokens "
            "cannot be added to it."
        )
    model = load_base(base)
    rows = model.get_input_embeddings().weight.shape[0]
    model.resize_token_embeddings(max(rows, first + len(new)), mean_resizing=False)
    for table in (model.get_input_embeddings(), model.get_output_embeddings()):
        _fill(table, {new[token]: [known[one] for one in pieces] for token, pieces in added.pieces(known).items()})
    silence(model, slice(first, first + len(new)), *(sample_windows(text, window_of(model)) for text in texts))
    model.save_pretrained(out)


@torch.no_grad()
def _fill(table: nn.Module | None, pieces: dict[int, list[int]]) -> None:
    for part in [] if table is None else table.parameters(recurse=False):
        for row, of in pieces.items():
            part[row] = part[of].mean(0)
