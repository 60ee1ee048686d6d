"""A small study, run once for all tests that only look at what it leaves behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

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


@pytest.fixture(autouse=True)
def same_import_path():
    """Prefect puts the folder of a flow's file in front of sys.path, for good: here until the test's end."""
    before = sys.path[:]
    yield
    sys.path[:] = before


@pytest.fixture(scope="session")
def study(tmp_path_factory, language_model) -> Path:
    """A folder with study.yaml and the workspace of its run: two methods, three corpora, a text and a task."""
    folder = tmp_path_factory.mktemp("study")
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
    done = nr("run", "study.yaml", cwd=folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder
