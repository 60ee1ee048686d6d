"""The text of one page: composed from a topic's grammar, or altered from another page's to a chosen Jaccard similarity."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from pipelines.sample_crawl.grammar import Writer
from pipelines.sample_crawl.languages import Topic

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
    """What a page says, without its site's furniture."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def paragraphs(self) -> list[str]:
        return [block.rows[0][0] for block in self.blocks if block.kind == "p"]


def compose(topic: Topic, source: random.Random, words: int) -> Article:
    """Returns an article whose paragraphs have at least `words` words."""
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
        return [Block("table", tuple((write("cell"), write("value"), str(source.randint(2, 90))) for _ in range(count)))]
    return []


def alter(article: Article, topic: Topic, source: random.Random, jaccard: float) -> Article:
    """Returns a copy with words exchanged for others of the same form, so that the two texts' sets of word 5-shingles,
    title and tables included, have the given Jaccard similarity as nearly as whole words allow. Lists stay out of the
    count: main-content extraction takes short list items for navigation and drops them."""
    counted = [block for block in article.blocks if block.kind != "ul"]
    texts = [article.title, *(cell for block in counted for row in block.rows for cell in row)]
    exchangeable = [False, *(block.kind == "p" for block in counted for row in block.rows for _ in row)]
    words = [(text, at) for text in range(len(texts)) for at in range(len(texts[text].split()))]
    split = [text.split() for text in texts]
    shingles = len(words) - SHINGLE + 1
    to_change = round(shingles * (1 - jaccard) / (1 + jaccard))
    changed: set[int] = set()
    order = [place for place, (text, _) in enumerate(words) if exchangeable[text]]
    source.shuffle(order)
    for place in order:
        touched = changed | {start for start in range(place - SHINGLE + 1, place + 1) if 0 <= start < shingles}
        text, at = words[place]
        other = _exchanged(split[text][at], topic, source)
        if len(touched) <= to_change and other is not None:
            changed, split[text][at] = touched, other
    altered = iter([" ".join(parts) for parts in split])
    title = next(altered)
    blocks = [
        block if block.kind == "ul" else replace(block, rows=tuple(tuple(next(altered) for _ in row) for row in block.rows))
        for block in article.blocks
    ]
    return Article(title, tuple(blocks))


def _exchanged(token: str, topic: Topic, source: random.Random) -> str | None:
    match = WORD.match(token)
    group = topic.grammar.substitutes.get(match[2].lower(), []) if match else []
    others = [word for word in group if word[0] == match[2][0].lower()] if match else []  # keeps elisions right
    others = [word for word in others or group if match and word != match[2].lower()]
    if match is None or not others:
        return None
    word = source.choice(others)
    return match[1] + (_capitalised(word) if match[2][0].isupper() else word) + match[3]


def _capitalised(text: str) -> str:
    """Returns the text with a capital after the beginning and after each full stop or question mark."""
    return re.sub(r"(^\W*|[.?!] \W*)(\w)", lambda match: match[1] + match[2].upper(), text)
