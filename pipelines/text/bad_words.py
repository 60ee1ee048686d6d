"""C4's bad words: a document that holds a word of a list leaves. No list comes with this project.

Raffel et al. 2020, section 2.2 (https://jmlr.org/papers/v21/20-074.html), whose list is LDNOOBW's
(https://github.com/LDNOOBW/List-of-Dirty-Naughty-Obscene-and-Otherwise-Bad-Words). The rule is that of C4's code: text
and list in lower case, whole words only, but anywhere in languages that are written without spaces.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from pipelines.settings import CorpusSettings
from pipelines.text.words import UNSPACED, is_whole_word, whole_words
from storage.errors import InputError
from storage.keys import hash_of

BAD_WORDS = "bad_words"  # the reason, and the field of a corpus
# Far beyond any of LDNOOBW's, the longest of which has some 400 entries: each phrase is looked for in each text.
MAX_WORDS, MAX_BYTES = 5_000, 1 << 20


class BadWords:
    """A list of words and phrases, in lower case."""

    def __init__(self, words: Iterable[str], language: str) -> None:
        lower = sorted({word.lower() for word in words})
        self.content_hash = hash_of(lower)
        self._number = len(lower)
        self._anywhere = lower if language in UNSPACED else []
        spaced = [] if language in UNSPACED else lower
        self._words = frozenset(word for word in spaced if is_whole_word(word))
        # What is no single word for \w, looked for one by one: an alternation would be tried at each place of a text.
        self._phrases = [
            (phrase, re.compile(rf"(?:\W|^){re.escape(phrase)}(?:\W|$)"))
            for phrase in spaced
            if phrase not in self._words
        ]

    def __len__(self) -> int:
        return self._number

    def found_in(self, text: str) -> bool:
        text = text.lower()
        return (
            any(word in text for word in self._anywhere)
            or not self._words.isdisjoint(whole_words(text))
            or any(phrase in text and bounded.search(text) for phrase, bounded in self._phrases)
        )


def read_bad_words(corpus: str, settings: CorpusSettings) -> BadWords | None:
    """Return the list that corpora.<corpus>.bad_words names: UTF-8, a word or phrase a line, blank lines aside.

    Raises InputError, naming the field, for a list that is not there, not UTF-8, empty or too long.
    """
    if settings.bad_words is None:
        return None
    field, path = f"corpora.{corpus}.{BAD_WORDS}", Path(settings.bad_words).expanduser()
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        lines = content.decode("utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"`{field}`: {path} cannot be read ({error.strerror}); correct the path") from None
    except UnicodeDecodeError:
        raise InputError(f"`{field}`: {path} is not UTF-8; convert it, a word or phrase a line") from None
    words = [word for line in lines if (word := line.strip())]
    if not words:
        raise InputError(f"`{field}`: {path} is empty; write a word or phrase a line, or leave the field out")
    if len(content) > MAX_BYTES or len(words) > MAX_WORDS:
        raise InputError(
            f"`{field}`: {path} has more than {MAX_WORDS:,} entries or {MAX_BYTES >> 20} MB, which takes too long for "
            "each text; shorten it"
        )
    return BadWords(words, settings.language)
