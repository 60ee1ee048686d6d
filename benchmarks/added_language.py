"""Measures what it costs to add a language to a config, beside reading anew, and in how many rows the two differ.

    python benchmarks/added_language.py [FOLDER] [--had hun] [--add dan fra eng]

Each WARC file of FOLDER (default: ../shared/data/crawl) is read for the language that a config had, then, for each
language to add, once with that one from the earlier documents and once anew, in this process. The last line is JSON, by
languages: CPU seconds of the three, the share of records that were read again, and rows that differ, by what of them.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines.documents.added_languages import records_again
from pipelines.documents.stage import process_unit
from pipelines.settings import DocumentSettings
from pipelines.sources.fetch_unit import Earlier, Fetched
from pipelines.sources.work_units import WorkUnit, documents_file
from pipelines.text.identify import load_identifier


def read(units: list[WorkUnit], settings: DocumentSettings, folder: Path, earlier: Earlier | None = None) -> float:
    """Return the CPU seconds of reading units into a folder."""
    load_identifier(settings)
    begun = time.process_time()
    for unit in units:
        report = process_unit(unit, settings, folder, Fetched(unit.path, earlier=earlier))
        if report.status != "done":
            sys.exit(f"{unit.path}: {report.error}")
    return time.process_time() - begun


def rows(units: list[WorkUnit], folder: Path) -> Iterator[dict[str, Any]]:
    for unit in units:
        yield from pq.read_table(documents_file(folder, unit.unit_id)).to_pylist()


def differences(units: list[WorkUnit], added: Path, anew: Path, language: str) -> Counter[str]:
    """Count rows, texts in the added language, those of them that are not found, and what else differs."""
    found = Counter[str]()
    for one, other in zip(rows(units, added), rows(units, anew), strict=True):
        is_wanted = other["reason"] == "kept" and other["language"] == language
        found["rows"] += 1
        found["texts"] += is_wanted
        if one["reason"] != other["reason"]:
            found["texts_lost" if is_wanted else f"other_reason_{other['reason']}"] += 1
        else:
            changed = [name for name in one if one[name] != other[name]]
            found["columns_" + "_".join(changed)] += bool(changed)
    return +found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("../shared/data/crawl"))
    parser.add_argument("--had", default="hun")
    parser.add_argument("--add", nargs="+", default=["dan", "fra", "eng"])
    arguments = parser.parse_args()
    files = sorted(arguments.folder.glob("*.warc.gz"))
    if not files:
        sys.exit(f"{arguments.folder} holds no *.warc.gz: give the folder of some archives")
    units = [WorkUnit(file.name, "web", "warc", str(file), 0, {}) for file in files]
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        had = Path(folder) / "had"
        before = read(units, DocumentSettings(languages=(arguments.had,)), had)
        for language in arguments.add:
            both = DocumentSettings(languages=(arguments.had, language))
            added, anew = Path(folder) / f"{language}-added", Path(folder) / f"{language}-anew"
            seconds = read(units, both, added, Earlier(str(had), [arguments.had]))
            of_anew = read(units, both, anew)
            again = sum(len(records_again(documents_file(had, unit.unit_id), {language})) for unit in units)
            found = differences(units, added, anew, language)
            figures[f"{arguments.had}, {language}"] = {
                "cpu_seconds_before": round(before, 1),
                "cpu_seconds_added": round(seconds, 1),
                "cpu_seconds_anew": round(of_anew, 1),
                "read_again": round(again / found["rows"], 3),
                **found,
            }
            print(language, figures[f"{arguments.had}, {language}"], flush=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
