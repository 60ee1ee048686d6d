"""Speed of the documents step, held against its limit: the bare library kernels called in a loop on the same file.

    python benchmarks/extraction.py [WARC] [--language fra] [--also WARC ...] [--peer PYTHON]

WARC is by default ../shared/data/crawl/webpages-00000.warc.gz. All figures are of one run, in CPU seconds of one core:
kernels and ours take turns, the best of nine passes each. Only two_process_speedup is in wall time. full_chain is
printed for the files of --also too, early_recall is of all of them. With --peer, the Python of an environment that has
datatrove[io,processing], lxml_html_clean and spacy, datatrove's chain reads the same file: WARC, Trafilatura, lid.176,
Gopher's repetition and quality, FineWeb's filters, JSONL. It leaves a document at its first filter, while ours takes
every score of every page.
The last line is JSON:

    one_language         kernels' time (read, decode, parse, all text, language) over ours, where one language of a
                         mixed crawl is wanted. Aim: 2
    early_recall         of the pages whose main content is in a language, the share that does not leave before it is
                         parsed where this language is wanted: the least of the languages with 500 pages in all files
                         given, those with fewer taken together. Limit: .998
    full_chain           kernels' time (read, decode, parse, main content, language) over ours, where all pages go the
                         whole way: every score of every profile, Parquet written, the filter of profile fineweb2 with
                         all kept, MinHash left out. Aim: .75
    full_chain_minhash   the same with shingles and MinHash signatures. Aim: .6
    two_process_speedup  wall time of sixteen copies of the file in one process over that in two
    worker_peak_rss_mb   peak resident memory of a worker process that read the file
    vs_datatrove         our pages a second, MinHash included, over datatrove's; null without --peer
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding
from resiliparse.parse.html import HTMLTree

from pipelines.corpus.filter import filter_documents
from pipelines.dedup import compared_text
from pipelines.documents import row as document_row
from pipelines.documents.stage import process_unit, process_units
from pipelines.pages.warc import Capture, read_warc
from pipelines.settings import CorpusSettings, DocumentSettings
from pipelines.sources.work_units import WorkUnit, documents_file
from pipelines.text.identify import find_language_model, load_identifier
from pipelines.text.other_language import other_language
from pipelines.text.rules import profile_thresholds
from storage.workspace import Workspace

PASSES = 9
_DATATROVE = """
import resource, sys, tempfile
from pathlib import Path
import fasttext
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.readers import WarcReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
def identify(data, rank=0, world_size=1):  # as its LanguageFilter does, which would download the model
    model = fasttext.load_model(sys.argv[2])
    for document in data:
        [label], [score] = model.predict(document.text.replace("\\n", " "))
        document.metadata |= {"language": label, "language_score": float(score)}
        yield document
def seconds():
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in both)
if __name__ == "__main__":
    file = Path(sys.argv[1])
    started = seconds()
    with tempfile.TemporaryDirectory() as out:
        data = WarcReader(str(file.parent), glob_pattern=file.name)()
        filters = (GopherRepetitionFilter(), GopherQualityFilter(), FineWebQualityFilter())
        for step in (Trafilatura(favour_precision=True, timeout=5), identify, *filters, JsonlWriter(out)):
            data = step(data)
        for _ in data:
            pass
    print(seconds() - started)
"""


def cpu_seconds(*runs: Callable[[], object]) -> list[float]:
    """CPU seconds of the fastest of some passes of each, taken in turns: what else runs here slows all alike."""
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(PASSES):
        for run, taken in zip(runs, seconds, strict=True):
            started = time.process_time()
            run()
            taken.append(time.process_time() - started)
    return list(map(min, seconds))


def kernels(file: Path, settings: DocumentSettings, main_content: bool) -> int:
    """Call the bare libraries, as shortly as can be written, and return how many pages there were."""
    identify, pages = load_identifier(settings), 0
    with file.open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
            payload = record.reader.read()
            try:
                html = payload.decode()
            except UnicodeDecodeError:
                html = bytes_to_str(payload, detect_encoding(payload))
            tree = HTMLTree.parse(html)
            text = extract_plain_text(tree, main_content=main_content, preserve_formatting=main_content)
            identify(text)
            pages += 1
    return pages


def ours(file: Path, settings: DocumentSettings) -> None:
    with tempfile.TemporaryDirectory() as folder:
        process_unit(unit_of(file), settings, Path(folder))


def judged(file: Path, settings: DocumentSettings, rules: CorpusSettings) -> None:
    """Ours, with the filter over the documents."""
    with tempfile.TemporaryDirectory() as folder:
        report = process_unit(unit_of(file), settings, Path(folder))
        filter_documents([documents_file(Path(folder), report.unit_id)], {report.unit_id: 0}, rules, Path(folder))


def without_minhash(run: Callable[[], None]) -> Callable[[], None]:
    """Return the same run without shingles and signatures."""

    def bare() -> None:
        none = np.zeros(1, dtype=np.uint32)
        with (
            mock.patch.object(compared_text, "shingle_hashes", lambda *_: none),
            mock.patch.object(document_row, "signatures", lambda of_texts, *_: [none] * len(of_texts)),
        ):
            run()

    return bare


def unit_of(file: Path, number: int = 0) -> WorkUnit:
    return WorkUnit(f"unit{number}", "benchmark", "warc", str(file), file.stat().st_size, {})


def early_recall(files: Sequence[Path], settings: DocumentSettings) -> float:
    """Return the least recall of a language, as above, and print what leaves early."""
    identify, [wanted] = load_identifier(settings), settings.languages or ()
    everything = settings.model_copy(update={"languages": None})
    kept, lost, told, pages = Counter[str](), Counter[str](), 0, 0
    for file in files:
        for capture in read_warc(file, settings.max_bytes):
            if not isinstance(capture, Capture) or (row := document_row.capture_document(capture))["reason"]:
                continue
            page = document_row.open_page(row, capture, everything)
            if not isinstance(page, document_row.HtmlPage):
                continue
            row = document_row.extract_page(page, everything, identify)
            if row["reason"] == "kept":
                document_row.measure([row], everything, identify)
                pages += 1
                kept[row["language"]] += 1
                lost[row["language"]] += other_language(page.decoded.text, (row["language"],), identify) is not None
                told += other_language(page.decoded.text, (wanted,), identify) is not None
    print(
        f"early          {told / pages:.3f} of {pages} pages leave where {wanted} is wanted; lost: {+lost}", flush=True
    )
    many = [language for language, count in kept.items() if count >= 500]
    few = kept.total() - sum(kept[language] for language in many)
    recalls = [1 - lost[language] / kept[language] for language in many]
    if few:
        recalls.append(1 - (lost.total() - sum(lost[language] for language in many)) / few)
    return min(recalls)


def two_process_speedup(file: Path, settings: DocumentSettings) -> float:
    """Wall time of sixteen copies of the file read by one worker process over that by two: long enough that what it
    takes to start a worker, a second, weighs little, as it does on a WARC of 1 GB."""
    seconds = {}
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            units = []
            for number in range(16):
                copy = Path(folder) / f"{number}-{file.name}"
                shutil.copyfile(file, copy)
                units.append(unit_of(copy, number))
            started = time.monotonic()
            process_units(units, settings, Workspace(Path(folder) / "workspace"), workers, lambda report: None)
            seconds[workers] = time.monotonic() - started
    return seconds[1] / seconds[2]


def worker_peak_rss_mb() -> float:
    """Of the largest worker so far. Workers are the only children of this process until the peer is started."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("warc", nargs="?", type=Path, default=Path("../shared/data/crawl/webpages-00000.warc.gz"))
    parser.add_argument("--language", default="fra", help="the wanted language of one_language")
    parser.add_argument("--also", nargs="*", type=Path, default=[], help="files for which full_chain is printed")
    parser.add_argument("--peer", help="Python of an environment with datatrove")
    arguments = parser.parse_args()
    file: Path = arguments.warc
    if not file.is_file():
        parser.error(f"{file} is not there: give a WARC file")
    everything, wanted = DocumentSettings(), DocumentSettings(languages=(arguments.language,))
    # Every rule of the profile, with thresholds that none is beyond.
    lenient = {name: -1e9 if name.endswith("_min") else 1e9 for name in profile_thresholds("fineweb2", "fra")}
    rules = CorpusSettings(
        language="fra", text_domain="web", sources=["s"], profile="fineweb2", rules=lenient, min_characters=1
    )
    pages = kernels(file, everything, main_content=True)
    print(f"{file.name}: {pages} responses; load average {os.getloadavg()[0]:.1f}", flush=True)

    def compare(name: str, file: Path, main_content: bool, run: Callable[[], None]) -> float:
        run()  # loads the identifier
        pages = kernels(file, everything, main_content)
        limit, spent = cpu_seconds(lambda: kernels(file, everything, main_content), run)
        print(
            f"{name:14} kernels {pages / limit:7.1f} pages/s, ours {pages / spent:7.1f} pages/s: {limit / spent:.2f}  "
            f"({file.name})",
            flush=True,
        )
        return limit / spent

    figures: dict[str, float | None] = {}
    figures["one_language"] = compare("one_language", file, False, lambda: ours(file, wanted))
    figures["early_recall"] = early_recall([file, *arguments.also], wanted)
    for other in (file, *arguments.also):
        run = without_minhash(lambda other=other: judged(other, everything, rules))
        ratio = compare("full_chain", other, True, run)
        figures.setdefault("full_chain", ratio)
    figures["full_chain_minhash"] = compare("with MinHash", file, True, lambda: judged(file, everything, rules))
    [whole] = cpu_seconds(lambda: ours(file, everything))
    print(f"documents      ours {pages / whole:.1f} pages/s", flush=True)
    figures["two_process_speedup"] = two_process_speedup(file, everything)
    figures["worker_peak_rss_mb"] = worker_peak_rss_mb()
    figures["vs_datatrove"] = None
    if arguments.peer:
        with tempfile.TemporaryDirectory() as folder:  # a script, since its extractor starts processes
            script = Path(folder) / "peer.py"
            script.write_text(_DATATROVE)
            command = [arguments.peer, str(script), str(file.resolve()), str(find_language_model(everything))]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        if done.returncode:
            sys.exit(f"{arguments.peer} needs datatrove[io,processing], lxml_html_clean and spacy")
        theirs = float(done.stdout.split()[-1])
        print(f"datatrove      {pages / theirs:.1f} pages/s", flush=True)
        figures["vs_datatrove"] = theirs / whole
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
