"""A small study, run once for all tests that look at what it leaves behind."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import yaml
from filelock import FileLock

from flows.cli import main
from flows.services.server import environment, prefect
from flows.services.temporary_server import LOG

REPOSITORY = Path(__file__).parents[2]
TASK = """
name: vocabulary
kind: multiple_choice
language: fra
text_domain: quiz
data: { files: [vocabulary.jsonl] }
prompt: "Le mot {{word}} :"
choices: choices
answer: answer
part: kind
"""


def nr(*arguments, cwd):
    call = [sys.executable, "-c", "from flows.cli import main; main()", *map(str, arguments)]
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(call, cwd=cwd, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})


@pytest.fixture
def nr_here(capsys):
    """`nr` in this process, for what starts no server: a process of its own imports torch anew, which takes seconds."""

    def call(*arguments, cwd, typed=""):
        capsys.readouterr()
        code = 0
        with pytest.MonkeyPatch.context() as patch, mock.patch.dict(os.environ):
            patch.chdir(cwd)
            patch.setattr(sys, "argv", ["nr", *map(str, arguments)])
            patch.setattr(sys, "stdin", io.StringIO(typed))
            try:
                main()
            except SystemExit as ended:
                code = ended.code or 0
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return call


@pytest.fixture(autouse=True)
def same_import_path():
    """Prefect puts the folder of a flow's file in front of sys.path, for good: here until the test's end."""
    before = sys.path[:]
    yield
    sys.path[:] = before


@pytest.fixture(autouse=True)
def mark_of_a_server(request):
    """Fail a test that has started Prefect's server unmarked: `make test-fast` would wait for it."""
    marked = request.node.get_closest_marker("server") or "tmp_path" not in request.fixturenames
    folder = None if marked else request.getfixturevalue("tmp_path")
    yield
    if folder is not None:
        logs = [*folder.glob(f".prefect/{LOG}"), *folder.glob(f"*/.prefect/{LOG}")]
        assert not logs, "this test starts Prefect's server: mark it `@pytest.mark.server`"


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory):
    """Make homes of Prefect with an empty database, which its server otherwise makes at its first start, in seconds.

    For tests of what comes later: test_wheel.py and test_access.py have servers that start in a new home.
    """
    made = for_all_workers(tmp_path_factory, "prefect-home")
    with FileLock(f"{made}.lock"):
        if not (made / "finished").exists():
            upgrade = prefect("server", "database", "upgrade", "--yes")
            subprocess.run(upgrade, env={**os.environ, **environment(made)}, check=True, capture_output=True)
            (made / "finished").touch()

    def make(home: Path) -> Path:
        home.mkdir()
        shutil.copy(made / "prefect.db", home)
        return home

    return make


def for_all_workers(tmp_path_factory, name: str) -> Path:
    """Return a place of the session's that xdist's workers share."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory, language_model, prefect_home) -> Path:
    """A folder with study.yaml and the workspace of its run: two methods, three corpora, a text and a task.

    Made once for all workers of xdist, for all tests that only look at it; who changes something takes `own_study`.
    """
    folder = for_all_workers(tmp_path_factory, "finished-study")
    with FileLock(f"{folder}.lock"):
        if not (folder / "finished").exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
            folder.mkdir()
            prefect_home(folder / ".prefect")
            write_study(folder, language_model)
            done = nr("run", "study.yaml", cwd=folder)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
            (folder / "finished").touch()
    return folder


@pytest.fixture(scope="module")
def own_study(finished_study, tmp_path_factory) -> Path:
    """A copy of the finished study, of the tests of one file."""
    return shutil.copytree(finished_study, tmp_path_factory.mktemp("own") / "study")


def write_study(folder: Path, language_model: Path) -> None:
    words = ["jardin", "cuisine", "atelier", "voyage", "rouge", "pomme"]
    rows = [
        {"word": word, "choices": [word[::-1], word, "garden"], "answer": 1, "kind": "seen" if i % 2 else "unseen"}
        for i, word in enumerate(words * 4)
    ]
    (folder / "vocabulary.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "vocabulary.yaml").write_text(TASK)
    (folder / "notice.txt").write_text("The garden is open from nine to five. " * 20)
    config = {
        "extends": str(REPOSITORY / "tests" / "flows" / "tiny.yaml"),
        "name": "study",
        "documents": {"language_model": str(language_model)},
        "methods": [
            {"method": "lora", "learning_rate": 3e-3},
            {"method": "neutral_residues", "learning_rate": 3e-3, "alpha": 3.0},
        ],
        "evaluation": {
            "tasks": ["vocabulary.yaml"],
            "task_data": ".",
            "texts": {"notice": {"path": "notice.txt", "language": "eng", "text_domain": "notices"}},
        },
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
