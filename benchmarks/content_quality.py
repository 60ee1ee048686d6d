"""Main-content quality: how much of the true article text comes out, and how little else.

    python benchmarks/content_quality.py [FOLDER] [--peer PYTHON]

FOLDER is scrapinghub/article-extraction-benchmark (ground-truth.json, html/*.html.gz; MIT), by default
../shared/data/extraction. The measure is that benchmark's: multisets of 4-grams of `\\w+` tokens, precision and recall
averaged over the pages, F1 of the two. Pages per second are CPU seconds of parsing and extraction, on one core. With
--peer, the Python of an environment that has trafilatura, that is measured on the same pages right after.
The last line is JSON: f1, precision, recall, pages_per_second, and vs_trafilatura (ratio of speeds, null without it).
"""

import argparse
import gzip
import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

_TOKEN = re.compile(r"\w+")
_TRAFILATURA = """
import gzip, json, sys, time
from pathlib import Path
import trafilatura
texts, seconds = {}, 0.0
for file in sorted(Path(sys.argv[1], "html").glob("*.html.gz")):
    html = gzip.decompress(file.read_bytes()).decode("utf-8", "replace")
    started = time.process_time()
    texts[file.name.split(".")[0]] = trafilatura.extract(html, favor_precision=True, include_comments=False) or ""
    seconds += time.process_time() - started
print(json.dumps([texts, seconds]))
"""


def grams(text: str) -> Counter[tuple[str, ...]]:
    tokens = _TOKEN.findall(text)
    return (
        Counter(tuple(tokens[start : start + 4]) for start in range(max(1, len(tokens) - 3))) if tokens else Counter()
    )


def quality(texts: Mapping[str, str], truth: Mapping[str, str]) -> dict[str, float]:
    """Precision and recall of 4-grams, averaged over pages, and their F1."""
    precisions, recalls = [], []
    for page, expected in truth.items():
        found, wanted = grams(texts[page]), grams(expected)
        common = (found & wanted).total()
        precisions.append(common / max(1, found.total()))
        recalls.append(common / max(1, wanted.total()))
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return {"f1": 2 * precision * recall / (precision + recall), "precision": precision, "recall": recall}


def extract_all(pages: Mapping[str, str], extract: Callable[[str], str]) -> tuple[dict[str, str], float]:
    """Texts, and the CPU seconds of the faster of two passes."""
    seconds = []
    for _ in range(2):
        started = time.process_time()
        texts = {name: extract(html) for name, html in pages.items()}
        seconds.append(time.process_time() - started)
    return texts, min(seconds)


def main() -> None:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    from pipelines.pages.extract import main_content
    from pipelines.settings import ExtractionSettings

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("../shared/data/extraction"))
    parser.add_argument("--peer", help="Python of an environment with trafilatura")
    arguments = parser.parse_args()
    truth_file = arguments.folder / "ground-truth.json"
    if not truth_file.is_file():
        parser.error(f"{truth_file} is not there: give the folder of the article extraction benchmark")
    truth = {name: page["articleBody"] for name, page in json.loads(truth_file.read_text()).items()}
    pages = {
        name: gzip.decompress((arguments.folder / "html" / f"{name}.html.gz").read_bytes()).decode("utf-8", "replace")
        for name in truth
    }

    def show(name: str, figures: Mapping[str, float], seconds: float) -> None:
        shown = "  ".join(f"{key} {figures[key]:.4f}" for key in ("f1", "precision", "recall"))
        print(f"{name:24} {shown}  {len(pages) / seconds:.0f} pages/s")

    plain, plain_seconds = extract_all(pages, lambda html: extract_plain_text(HTMLTree.parse(html), main_content=True))
    show("resiliparse, defaults", quality(plain, truth), plain_seconds)
    settings = ExtractionSettings()
    ours, our_seconds = extract_all(pages, lambda html: main_content(HTMLTree.parse(html), settings))
    figures = quality(ours, truth)
    show("pipelines.pages.extract", figures, our_seconds)
    ratio = None
    if arguments.peer:
        done = subprocess.run(
            [arguments.peer, "-c", _TRAFILATURA, str(arguments.folder)], capture_output=True, text=True, check=True
        )
        theirs, their_seconds = json.loads(done.stdout)
        show("trafilatura, precision", quality(theirs, truth), their_seconds)
        ratio = their_seconds / our_seconds
    print(json.dumps({**figures, "pages_per_second": len(pages) / our_seconds, "vs_trafilatura": ratio}))


if __name__ == "__main__":
    main()
