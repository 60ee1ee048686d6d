"""All topics of the sample crawl: which language each is in, and how its text is composed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pipelines.sample_crawl import english, french, other_languages
from pipelines.sample_crawl.grammar import Grammar, Inflect


@dataclass(frozen=True)
class Topic:
    """A topic: its hosts end in `.<name>.example`; grammars are names of files in grammars/."""

    name: str
    language: str
    grammars: tuple[str, ...]
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
    texts = [(folder / f"{name}.txt").read_text(encoding="utf-8") for name in topic.grammars]
    return Grammar(texts, topic.features, topic.inflect)


O1 = [Topic(name, "eng", english.TOPICS[name], english.FEATURES, english.inflect, english.polish) for name in ("garden", "kitchen", "workshop")]
O2 = [Topic("observatory", "eng", english.TOPICS["observatory"], english.FEATURES, english.inflect, english.polish)]
N = [Topic(name, "fra", grammars, french.FEATURES, french.inflect, french.polish) for name, grammars in french.TOPICS.items()]
OTHERS = [
    Topic("stadt", "deu", ("german",), ("m", "f", "n"), other_languages.inflect_german, other_languages.polish_german),
    Topic("pueblo", "spa", ("spanish",), ("ms", "fs", "mp", "fp"), other_languages.inflect_spanish, other_languages.polish_spanish),
    Topic("falu", "hun", ("hungarian",), ("s",), other_languages.inflect_hungarian, other_languages.polish_hungarian),
    Topic("by", "dan", ("danish",), ("s",), other_languages.inflect_danish, str),
]
