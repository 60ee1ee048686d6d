"""Fixtures of all packages."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same commit has the same outcome, on a busy machine too; `pytest --hypothesis-profile explore` draws new examples.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("same")

REPOSITORY = Path(__file__).parent.parent

if "PYTEST_XDIST_WORKER" in os.environ:  # two workers on two cores: a thread each
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """Under `pytest -n 2 --dist loadgroup` a file's tests stay in one worker, with the fixtures that they share."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))


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
    from pipelines.settings import DocumentSettings
    from pipelines.text.identify import find_language_model

    return Path(find_language_model(DocumentSettings()))
