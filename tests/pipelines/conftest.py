"""Fixtures of the pipeline's tests."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipelines.settings import DocumentSettings
from pipelines.text.identify import FETCHED_MODEL
from storage.workspace import Workspace
from tests.pipelines.growing_crawl import Crawl
from tests.pipelines.warc_files import Page, warc_bytes


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def write_warc(tmp_path: Path) -> Callable[..., Path]:
    def write(pages: Sequence[Page], name: str = "crawl.warc.gz", first_id: int = 0) -> Path:
        path = tmp_path / "crawl" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(warc_bytes(pages, first_id)[0])
        return path

    return write


@pytest.fixture(scope="session")
def document_settings(request: pytest.FixtureRequest) -> DocumentSettings:
    """Settings with the fetched identifier, else with the one among the shared data, else they fetch it."""
    if not FETCHED_MODEL.exists():
        shared = Path(__file__).parents[3] / "shared" / "data" / "lid" / "lid.176.ftz"
        if shared.exists():
            return DocumentSettings(language_model=str(shared))
    return DocumentSettings()


@pytest.fixture
def crawl(write_warc: Callable[..., Path], workspace: Workspace, document_settings: DocumentSettings) -> Crawl:
    return Crawl(write_warc, workspace, document_settings)
