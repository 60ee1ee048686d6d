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

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores: a thread each
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)  # `-m` selects by these markers
def pytest_collection_modifyitems(items):
    """Mark what starts a server or a browser, and put the files in the order of `FromBothEnds`.

    In front those with a server, of which one that looks at the finished study is the first and makes it; at the end
    the slow ones without, which compute; between them what is soon done, so that the workers end together.
    """
    for item in items:
        for fixture in STARTS.keys() & set(item.fixturenames):
            item.add_marker(STARTS[fixture])
    maker = next((item.path for item in items if "finished_study" in item.fixturenames), None)
    marked = {mark: {item.path for item in items if item.get_closest_marker(mark)} for mark in ("server", "slow")}

    def place(item: pytest.Item) -> tuple[bool, bool, bool]:
        waits = item.path in marked["server"]
        return item.path != maker, not waits, not waits and item.path in marked["slow"]

    items.sort(key=place)  # stable: a file's tests stay together, in their order


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give one worker the files with servers, the others those that compute: the first waits for much of its time."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class FromBothEnds(LoadFileScheduling):
        """One file after the other, to the first worker from the front, to the others from the end."""

        def _assign_work_unit(self, node):
            if node is not self.nodes[0]:
                self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
            super()._assign_work_unit(node)

    return FromBothEnds(config, log)


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
