"""The text of a page: composed from a topic's grammar, or altered from another page's to a chosen similarity.

The topics too: which language each is in, and how its text is composed.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from pipelines.sample_crawl.grammar import Grammar, Inflect, Writer
from pipelines.sample_crawl.inflection import (
    ENGLISH_FEATURES,
    FRENCH_FEATURES,
    inflect_danish,
    inflect_english,
    inflect_french,
    inflect_german,
    inflect_hungarian,
    inflect_spanish,
    polish_english,
    polish_french,
    polish_german,
    polish_hungarian,
    polish_spanish,
)


@dataclass(frozen=True)
class Topic:
    """A topic: its hosts end in `.<name>.example`; its grammar is joined from files of grammars/.

    `polish` spells what words do to their neighbours: a/an, elision, contraction.
    """

    name: str
    language: str
    files: tuple[str, ...]
    features: Sequence[str]
    inflect: Inflect
    polish: Callable[[str], str]

    @property
    def grammar(self) -> Grammar:
        """The topic's grammar, read once a process."""
        return _read(self)


@cache
def _read(topic: Topic) -> Grammar:
    folder = resources.files("pipelines.sample_crawl") / "grammars"
    texts = [(folder / f"{name}.txt").read_text(encoding="utf-8") for name in topic.files]
    return Grammar(texts, topic.features, topic.inflect)


def _english(name: str, *files: str) -> Topic:
    return Topic(name, "eng", files, ENGLISH_FEATURES, inflect_english, polish_english)


def _french(name: str) -> Topic:
    return Topic(name, "fra", ("french", name), FRENCH_FEATURES, inflect_french, polish_french)


O1 = [_english(name, "general", "english", name) for name in ("garden", "kitchen", "workshop")]
O2 = [_english("observatory", "general", "narrative")]
N = [_french(name) for name in ("jardin", "cuisine", "voyage")]

OTHERS = [
    Topic("stadt", "deu", ("german",), ("m", "f", "n"), inflect_german, polish_german),
    Topic("pueblo", "spa", ("spanish",), FRENCH_FEATURES, inflect_spanish, polish_spanish),
    Topic("falu", "hun", ("hungarian",), ("",), inflect_hungarian, polish_hungarian),
    Topic("by", "dan", ("danish",), ("",), inflect_danish, str),
]
TOPICS = {topic.name: topic for topic in (*O1, *O2, *N, *OTHERS)}


SHINGLE = 5
WORD = re.compile(r"^(\W*)(\w+)(\W*)$")
FINISH = [(re.compile(r"\s+"), " "), (re.compile(r" (?=[,;.])"), ""), (re.compile(r",(?=[.,;?])"), "")]


@dataclass(frozen=True)
class Block:
    """A part of an article: kind is h2, p, ul or table; rows holds one text, the items, or the cells of each row."""

    kind: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Article:
    """The content of a page, without its site's furniture."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def paragraphs(self) -> list[str]:
        return [block.rows[0][0] for block in self.blocks if block.kind == "p"]


def compose(topic: Topic, source: random.Random, words: int) -> Article:
    """Return an article whose paragraphs have at least `words` words."""
    writer = Writer(topic.grammar, source)

    def write(symbol: str) -> str:
        text = topic.polish(writer.write(symbol))
        for pattern, replacement in FINISH:
            text = pattern.sub(replacement, text)
        return _capitalised(text.strip())

    title, blocks, written = write("title"), [], 0
    extras = ["ul", "table", "none"]
    source.shuffle(extras)
    while written < words:
        sentences: list[str] = []
        while len(sentences) < 2 or (len(sentences) < 7 and source.random() < 0.8 and written < words):
            sentences.append(write("sentence"))
            written += sentences[-1].count(" ") + 1
        blocks.append(Block("p", ((" ".join(sentences),),)))
        if written < words and len(blocks) > 1 and source.random() < 0.6:
            blocks.extend(_extra(extras.pop() if extras else "none", write, source))
            blocks.append(Block("h2", ((write("heading"),),)))
    return Article(title, tuple(blocks))


def _extra(kind: str, write: Callable[[str], str], source: random.Random) -> list[Block]:
    count = source.randint(3, 5)
    if kind == "ul":
        return [Block("ul", tuple((write("item"),) for _ in range(count)))]
    if kind == "table":
        rows = ((write("cell"), write("value"), str(source.randint(2, 90))) for _ in range(count))
        return [Block("table", tuple(rows))]
    return []


def alter(article: Article, topic: Topic, source: random.Random, jaccard: float) -> Article:
    """Return a copy with words of paragraphs exchanged for others of the same form, so that the two texts' sets of
    word 5-shingles (title, headings, tables included) have the given Jaccard similarity as nearly as words allow."""
    texts = [article.title, *(cell for block in article.blocks for row in block.rows for cell in row)]
    exchangeable = [False, *(block.kind == "p" for block in article.blocks for row in block.rows for _ in row)]
    split = [text.split() for text in texts]
    words = [(text, at) for text in range(len(texts)) for at in range(len(split[text]))]
    shingles = len(words) - SHINGLE + 1
    to_change = round(shingles * (1 - jaccard) / (1 + jaccard))
    changed: set[int] = set()  # starts of the shingles that an exchanged word is in
    order = [place for place, (text, _) in enumerate(words) if exchangeable[text]]
    source.shuffle(order)
    for place in order:
        text, at = words[place]
        touched = changed | set(range(max(0, place - SHINGLE + 1), min(place + 1, shingles)))
        other = _exchanged(split[text][at], topic, source)
        if len(touched) <= to_change and other is not None:
            changed, split[text][at] = touched, other
    altered = iter([" ".join(parts) for parts in split])
    return Article(
        next(altered),
        tuple(
            replace(block, rows=tuple(tuple(next(altered) for _ in row) for row in block.rows))
            for block in article.blocks
        ),
    )


def _exchanged(token: str, topic: Topic, source: random.Random) -> str | None:
    match = WORD.match(token)
    if match is None:
        return None
    before, word, after = match.groups()
    # The same first letter keeps a/an and elisions right.
    group = topic.grammar.substitutes.get(word.lower(), [])
    others = [other for other in group if other != word.lower() and other[0] == word[0].lower()]
    others = others or [other for other in group if other != word.lower()]
    if not others:
        return None
    other = source.choice(others)
    return before + (_capitalised(other) if word[0].isupper() else other) + after


def _capitalised(text: str) -> str:
    """Return the text with a capital after the beginning and after each full stop or question mark."""
    return re.sub(r"(^\W*|[.?!] \W*)(\w)", lambda match: match[1] + match[2].upper(), text)
