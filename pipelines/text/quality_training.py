"""Trains a fastText classifier: `python -m pipelines.text.quality_training TEXTS MODEL RATE EPOCHS DIMENSIONS`.

In a process of its own, whose large blocks of memory come from the kernel and are zero (FRESH_MEMORY): on one thread
fastText 0.9.3 initialises a tenth of its matrix and takes the rest as the allocator gives it, so that in a process that
has freed memory before, two trainings differ, or end in NaN.
"""

import sys
from collections.abc import Mapping

FRESH_MEMORY: Mapping[str, str] = {"MALLOC_MMAP_THRESHOLD_": "65536"}


def main() -> None:
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
