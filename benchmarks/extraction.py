"""Speed of the documents step, held against its limit: the bare library kernels called in a loop on the same file.

    python benchmarks/extraction.py [WARC] [--language fra] [--peer PYTHON]

WARC is by default ../shared/data/crawl/webpages-00000.warc.gz. All figures are of one run, in CPU seconds of one core,
the best of three passes each; only two_process_speedup is in wall time. With --peer, the Python of an environment that
has datatrove, its reader, Trafilatura and JSONL writer (no filter at all) read the same file.
The last line is JSON:

    one_language         kernels' time (read, decode, parse, all text, language) over ours, where one language of a
                         mixed crawl is wanted
    full_chain           kernels' time (read, decode, parse, main content, language) over ours, where all pages go the
                         whole way, with all scores and Parquet written, MinHash left out
    two_process_speedup  wall time of four copies of the file in one process over that in two
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
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding
from resiliparse.parse.html import HTMLTree

from pipelines import document
from pipelines.documents import process_unit, process_units
from pipelines.identify import load_identifier
from pipelines.settings import DocumentSettings
from pipelines.work_units import WorkUnit
from storage.workspace import Workspace

PASSES = 3
_DATATROVE = """
import resource, sys, tempfile
from pathlib import Path
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.readers import WarcReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
def seconds():
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in both)
if __name__ == "__main__":
    file = Path(sys.argv[1])
    started = seconds()
    with tempfile.TemporaryDirectory() as out:
        data = WarcReader(str(file.parent), glob_pattern=file.name)()
        for step in (Trafilatura(favour_precision=True, timeout=5), JsonlWriter(out)):
            data = step(data)
        for _ in data:
            pass
    print(seconds() - started)
"""


def cpu_seconds(run: Callable[[], object]) -> float:
    """CPU seconds of the fastest of some passes."""
    seconds = []
    for _ in range(PASSES):
        started = time.process_time()
        run()
        seconds.append(time.process_time() - started)
    return min(seconds)


def kernels(file: Path, settings: DocumentSettings, main_content: bool) -> int:
    """The bare library calls, as short as they can be written. Returns how many pages there were."""
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


def without_minhash(run: Callable[[], None]) -> Callable[[], None]:
    """The same run without shingles and signatures."""

    def bare() -> None:
        none = np.zeros(1, dtype=np.uint32)
        with (
            mock.patch.object(document, "shingle_hashes", lambda *_: none),
            mock.patch.object(document, "signature", lambda *_: none),
        ):
            run()

    return bare


def unit_of(file: Path, number: int = 0) -> WorkUnit:
    return WorkUnit(f"unit{number}", "benchmark", "warc", str(file), file.stat().st_size, {})


def two_process_speedup(file: Path, settings: DocumentSettings) -> float:
    """Wall time of four copies of the file read by one worker process over that by two."""
    seconds = {}
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            units = []
            for number in range(4):
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
    parser.add_argument("--peer", help="Python of an environment with datatrove")
    arguments = parser.parse_args()
    file: Path = arguments.warc
    if not file.is_file():
        parser.error(f"{file} is not there: give a WARC file")
    everything, wanted = DocumentSettings(), DocumentSettings(languages=(arguments.language,))
    pages = kernels(file, everything, main_content=True)
    print(f"{file.name}: {pages} responses; load average {os.getloadavg()[0]:.1f}", flush=True)

    figures: dict[str, float | None] = {}
    rows = (
        ("one_language", False, lambda: ours(file, wanted)),
        ("full_chain", True, without_minhash(lambda: ours(file, everything))),
    )
    for name, main_content, run in rows:
        run()  # loads the identifier
        limit = cpu_seconds(lambda main_content=main_content: kernels(file, everything, main_content))
        spent = cpu_seconds(run)
        figures[name] = limit / spent
        print(f"{name:14} kernels {pages / limit:7.1f} pages/s, ours {pages / spent:7.1f} pages/s", flush=True)
    whole = cpu_seconds(lambda: ours(file, everything))
    print(f"with MinHash   ours {pages / whole:.1f} pages/s", flush=True)
    figures["two_process_speedup"] = two_process_speedup(file, everything)
    figures["worker_peak_rss_mb"] = worker_peak_rss_mb()
    figures["vs_datatrove"] = None
    if arguments.peer:
        with tempfile.TemporaryDirectory() as folder:  # a script, since its extractor starts processes
            script = Path(folder) / "peer.py"
            script.write_text(_DATATROVE)
            command = [arguments.peer, str(script), str(file.resolve())]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        if done.returncode:
            sys.exit(f"{arguments.peer} could not run datatrove's chain: has that environment datatrove[all]?")
        theirs = float(done.stdout.split()[-1])
        print(f"datatrove      {pages / theirs:.1f} pages/s (WARC, Trafilatura, JSONL; no filter)", flush=True)
        figures["vs_datatrove"] = theirs / whole
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
