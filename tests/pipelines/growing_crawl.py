"""A crawl that grows, and the versions of corpora that are made of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines.corpus.build import CorpusReport, build_corpus
from pipelines.documents.stage import documents_key, process_unit, process_units
from pipelines.settings import CorpusSettings, DocumentSettings, WarcSource
from pipelines.sources.work_units import WorkUnit, list_work_units
from storage.workspace import Workspace
from tests.pipelines.warc_files import ENGLISH, Page, html, prose

WriteWarc = Callable[..., Path]


def english(seed: int, host: int | None = None) -> Page:
    return Page(html(prose(ENGLISH, seed)), f"https://host{seed % 10 if host is None else host}.example/{seed}.html")


class Crawl:
    """A source of WARC files that grows, and the corpora made of it."""

    def __init__(self, write_warc: WriteWarc, workspace: Workspace, documents: DocumentSettings) -> None:
        self.write_warc, self.workspace, self.documents = write_warc, workspace, documents
        self.folder: Path | None = None

    def add(self, name: str, pages: Sequence[Page]) -> None:
        # Records have ids of their own, as in any crawl.
        self.folder = self.write_warc(pages, name, 1000 * ord(name[0])).parent

    def units(self) -> list[WorkUnit]:
        units = list_work_units({"crawl": WarcSource(paths=[f"{self.folder}/*"])}, self.workspace)
        if self.workspace.bucket is None:  # read here: a worker's start takes longer than all else in a test
            folder = self.workspace.documents(documents_key(self.documents))
            for unit in units:
                process_unit(unit, self.documents, folder)
        process_units(units, self.documents, self.workspace, 1, lambda report: None)
        return units

    def build(self, name: str = "english", **fields: Any) -> CorpusReport:
        chosen = {"language": "eng", "text_domain": "x", "sources": ["crawl"], "held_out_min_documents": 2, **fields}
        return build_corpus(name, CorpusSettings.model_validate(chosen), self.units(), self.documents, self.workspace)

    def read(self, report: CorpusReport, files: str) -> list[dict[str, Any]]:
        folder = self.workspace.corpus_version(report.name, report.version)
        return [row for file in sorted(folder.glob(files)) for row in pq.read_table(file).to_pylist()]


def funnel(report: CorpusReport) -> dict[tuple[str, str], int]:
    return {(row["stage"], row["reason"]): row["documents"] for row in report.funnel}
