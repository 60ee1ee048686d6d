"""Fixtures of all rooms."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real archives and texts, kept outside the repository: NR_SHARED_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("NR_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not at hand: {folder} is not a folder (set NR_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def language_model() -> Path:
    """fastText's identifier: the one that `make setup` fetched."""
    from pipelines.identify import find_language_model
    from pipelines.settings import DocumentSettings

    return Path(find_language_model(DocumentSettings()))
