"""All topics of the sample crawl: which language each is in, and how its text is composed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pipelines.sample_crawl import english, french, other_languages
from pipelines.sample_crawl.grammar import Grammar, Inflect


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
    return Topic(name, "eng", files, english.FEATURES, english.inflect, english.polish)


def _french(name: str) -> Topic:
    return Topic(name, "fra", ("french", name), french.FEATURES, french.inflect, french.polish)


O1 = [_english(name, "general", "english", name) for name in ("garden", "kitchen", "workshop")]
O2 = [_english("observatory", "general", "narrative")]
N = [_french(name) for name in ("jardin", "cuisine", "voyage")]

_other = other_languages
OTHERS = [
    Topic("stadt", "deu", ("german",), ("m", "f", "n"), _other.inflect_german, _other.polish_german),
    Topic("pueblo", "spa", ("spanish",), french.FEATURES, _other.inflect_spanish, _other.polish_spanish),
    Topic("falu", "hun", ("hungarian",), ("",), _other.inflect_hungarian, _other.polish_hungarian),
    Topic("by", "dan", ("danish",), ("",), _other.inflect_danish, str),
]
TOPICS = {topic.name: topic for topic in (*O1, *O2, *N, *OTHERS)}
