"""Measures what it costs to read a crawl: CPU seconds a GB of WARC and pages a CPU second, for docs/scale.md.

    python benchmarks/reading.py [FOLDER] [--rounds 2]

FOLDER holds webpages-*.warc.gz (default: ../shared/data/crawl). Each archive is read as a refresh reads it, in this
process: once for every language, once for English and Hungarian, once for Hungarian alone, whose pages are hardly
there. The last line is JSON, by languages: the better of the rounds, and GB of documents for each GB of WARC.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from pipelines.documents.stage import process_unit
from pipelines.settings import DocumentSettings
from pipelines.sources.work_units import WorkUnit, documents_file

LANGUAGES: dict[str, list[str] | None] = {"every": None, "eng, hun": ["eng", "hun"], "hun": ["hun"]}


def read(files: list[Path], settings: DocumentSettings) -> tuple[float, int, int]:
    """Return CPU seconds, records and bytes of documents."""
    begun, records, written = time.process_time(), 0, 0
    for file in files:
        with tempfile.TemporaryDirectory() as out:
            report = process_unit(WorkUnit("unit", "web", "warc", str(file), 0, {}), settings, Path(out))
            records += report.records
            written += documents_file(Path(out), "unit").stat().st_size
    return time.process_time() - begun, records, written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("../shared/data/crawl"))
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    files = sorted(arguments.folder.glob("webpages-*.warc.gz"))
    if not files:
        sys.exit(f"{arguments.folder} holds no webpages-*.warc.gz: give the folder of some archives")
    size = sum(file.stat().st_size for file in files)
    figures = {}
    for name, languages in LANGUAGES.items():
        settings = DocumentSettings() if languages is None else DocumentSettings(languages=languages)
        seconds, records, written = min(read(files, settings) for _ in range(arguments.rounds))
        figures[name] = {
            "cpu_seconds_a_gb": round(seconds / size * 1e9),
            "pages_a_cpu_second": round(records / seconds),
            "documents_gb_a_gb": round(written / size, 3),
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
