"""Fixtures of all packages, and the markers that follow from them."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same commit has the same outcome, on a busy machine too; `pytest --hypothesis-profile explore` draws new examples.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("same")

REPOSITORY = Path(__file__).parent.parent

# Whoever asks for one of these fixtures is marked so; who starts a server without them bears the mark by hand.
STARTS = {"finished_study": "server", "services": "server", "api": "server", "browser": "browser"}

if "PYTEST_XDIST_WORKER" in os.environ:  # two workers on two cores: a thread each
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)  # `-m` selects by these markers
def pytest_collection_modifyitems(items):
    """Mark what starts a server or a browser, and put the files that take longest first: two workers end together.

    One of those that look at the finished study is the very first, and makes it; the others come late enough not to
    wait for that.
    """
    for item in items:
        for fixture in STARTS.keys() & set(item.fixturenames):
            item.add_marker(STARTS[fixture])
    lengths: dict[Path, int] = {}
    for item in items:
        lengths[item.path] = max(lengths.get(item.path, 0), _length(item))
    lookers = dict.fromkeys(item.path for item in items if "finished_study" in item.fixturenames)
    maker = next(iter(lookers), None)
    # Stable: a file's tests stay together, in their order.
    items.sort(key=lambda item: (item.path != maker, -lengths[item.path], item.path in lookers))


def _length(item: pytest.Item) -> int:
    return 2 if item.get_closest_marker("server") else 1 if item.get_closest_marker("slow") else 0


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
