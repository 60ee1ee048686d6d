"""All topics of the sample crawl: which language each is in, and how its text is composed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pipelines.sample_crawl.grammar import Grammar, Inflect
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
