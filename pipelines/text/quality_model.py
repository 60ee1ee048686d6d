"""A fastText classifier that tells texts like those of a chosen corpus from random pages, and its score.

As in DCLM (Li et al. 2024, https://arxiv.org/abs/2406.11794, section 4.4) and dactory: what is chosen decides what
"quality" means. Trained on one thread, so that the same texts give the same model on the same kind of machine, and in a
process of its own: `python -m pipelines.text.quality_model TEXTS MODEL RATE EPOCHS DIMENSIONS`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import xxhash

from pipelines.pages.characters import normalise
from pipelines.settings import DocumentSettings, QualityModelSettings
from pipelines.text.identify import fasttext_line
from pipelines.workers.child_processes import python_command, python_environment
from storage.errors import InputError
from storage.files import write_atomically
from storage.keys import file_sha256

GOOD, RANDOM = "__label__good", "__label__random"
MAX_CHARACTERS = 5000  # of a text, in training and in use: one novel must not outweigh a hundred pages
_HELD_OUT_ONE_IN = 10
_MIN_DOCUMENTS = 100


class QualityModel:
    """Scores a text: the probability, in [0, 1], that it is one of the chosen."""

    def __init__(self, path: Path) -> None:
        import fasttext

        try:
            self._model = fasttext.load_model(str(path))
        except ValueError as error:
            raise InputError(f"{path} is not a fastText model ({error}): train one with `nr train-quality`") from None
        if GOOD not in self._model.get_labels():
            raise InputError(f"{path} knows no label {GOOD}: train a model with `nr train-quality`")

    def __call__(self, text: str) -> float:
        predicted = self._model.f.predict(_line(text), 2, 0.0, "strict")
        return next((min(float(score), 1.0) for score, label in predicted if label == GOOD), 0.0)


@lru_cache(maxsize=2)
def load_quality_model(settings: DocumentSettings) -> QualityModel | None:
    """Return the model of these settings, loaded once in a process; None where they name none.

    Raises InputError when it is missing, or is no such model.
    """
    if settings.quality_model is None:
        return None
    path = Path(settings.quality_model).expanduser()
    if not path.is_file():
        raise InputError(f"documents.quality_model: {path} is not a file; train one with `nr train-quality`")
    return QualityModel(path)


def train_quality_model(
    good: Iterable[str], random: Iterable[str], settings: QualityModelSettings, path: Path
) -> dict[str, Any]:
    """Train on texts, write the model to `path` (.bin, or .ftz: quantised) and a card to the same name with .json.

    The card has the model's sha256, the settings, how many texts there were and the accuracy on the tenth of them that
    was held out. Of both kinds as many are taken, by their hash. Raises InputError when there are too few, or when
    fastText diverges at every rate.
    """
    if path.suffix not in (".bin", ".ftz"):
        raise InputError(f"{path}: a quality model's name ends in .bin, or in .ftz to have it quantised")
    kinds = {GOOD: _sample(good, settings.documents), RANDOM: _sample(random, settings.documents)}
    count = min(map(len, kinds.values()))
    if count < _MIN_DOCUMENTS:
        raise InputError(
            f"{len(kinds[GOOD])} good and {len(kinds[RANDOM])} random texts: a quality model needs {_MIN_DOCUMENTS} of "
            "each; give larger corpora"
        )
    rows = sorted((key, label, line) for label, lines in kinds.items() for key, line in lines[:count])
    held_out = [(label, line) for key, label, line in rows if key % _HELD_OUT_ONE_IN == 0]
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "train.txt"
        texts.write_text("".join(f"{label} {line}" for key, label, line in rows if key % _HELD_OUT_ONE_IN))
        model, rate = _train(texts, settings)
        if path.suffix == ".ftz":
            model.quantize(retrain=False)
        found = [model.f.predict(line, 1, 0.0, "strict")[0][1] == label for label, line in held_out]
        written = Path(folder) / path.name
        model.save_model(str(written))
        write_atomically(path, written.read_bytes())
    card = {
        "sha256": file_sha256(path),
        "settings": settings.model_dump() | {"learning_rate": rate},
        "documents": count,
        "held_out_documents": len(found),
        "held_out_accuracy": sum(found) / max(len(found), 1),
    }
    write_atomically(path.with_suffix(".json"), json.dumps(card, indent=1) + "\n")
    return card


def _train(texts: Path, settings: QualityModelSettings) -> tuple[Any, float]:
    """Return the model and the rate at which it was trained: at some rates fastText ends in NaN, then half is tried."""
    import fasttext

    rates = [settings.learning_rate / 2**halving for halving in range(4)]
    trained = texts.with_suffix(".bin")
    for rate in rates:
        arguments = map(str, (texts, trained, rate, settings.epochs, settings.dimensions))
        done = subprocess.run(
            python_command("pipelines.text.quality_model", *arguments),
            env={**os.environ, **python_environment(), **FRESH_MEMORY},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if not done.returncode:
            return fasttext.load_model(str(trained)), rate
        if "NaN" not in done.stderr:
            raise InputError(f"fastText could not train on these texts: {done.stderr.strip()[-500:]}")
    raise InputError(f"fastText diverged at the rates {rates}: lower the learning rate, or give more varied texts")


def _sample(texts: Iterable[str], count: int) -> list[tuple[int, str]]:
    """Return different texts with their hashes, in the order of these: the same whatever order they come in."""
    lines = {xxhash.xxh3_64_intdigest(line.encode()): line for line in map(_line, texts) if line.strip()}
    return sorted(lines.items())[:count]


def _line(text: str) -> str:
    return fasttext_line(normalise(text[:MAX_CHARACTERS]).lower())


# Large blocks of memory that come from the kernel and are zero: on one thread fastText 0.9.3 initialises a tenth of its
# matrix and takes the rest as the allocator gives it, so that in a process that has freed memory before, two trainings
# differ, or end in NaN.
FRESH_MEMORY: Mapping[str, str] = {"MALLOC_MMAP_THRESHOLD_": "65536"}


def main() -> None:
    """Train a classifier, as this module's first lines say."""
    import fasttext

    texts, model, rate, epochs, dimensions = sys.argv[1:]
    fasttext.train_supervised(
        texts,
        lr=float(rate),
        epoch=int(epochs),
        dim=int(dimensions),
        wordNgrams=2,
        bucket=200_000,
        minCount=2,
        thread=1,
        verbose=0,
    ).save_model(model)


if __name__ == "__main__":
    main()
