"""Our tasks ask for the data set, subset and split that lm_eval's own tasks of the same names ask for."""

from pathlib import Path

import pytest
import yaml

from flows.steps.tasks import all_tasks

NOT_THEIRS = {"mcsqa_de", "mcsqa_en", "mcsqa_fr"}  # seen in the data set's card: docs/evaluation.md
ALL_SUBJECTS = "_default_template_yaml"  # what the harness's tasks of MMLU, one a subject, have in common
THEIR_FILE = {"mmlu": ALL_SUBJECTS, "mmlu_zero_shot": ALL_SUBJECTS, "commonsense_qa": "default"}


class Loader(yaml.SafeLoader):
    """YAML with the harness's tags, whose functions are of no concern here."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


@pytest.fixture(scope="module")
def theirs():
    harness = pytest.importorskip("lm_eval", reason="needs the extra `eval`: pip install 'neutral-residues[eval]'")
    files = {}
    for folder in ("arc", "belebele", "commonsense_qa", "hellaswag", "lambada", "mmlu/default", "okapi"):
        for path in (Path(harness.__file__).parent / "tasks" / folder).rglob("*"):
            files[path.name.removesuffix(".yaml")] = path
    return files


def read(path):
    content = yaml.load(path.read_text(encoding="utf-8"), Loader)
    included = content.pop("include", None)
    return {**(read(path.parent / included) if included else {}), **content}


@pytest.mark.parametrize("task", [task for task in all_tasks() if task.data.hub], ids=lambda task: task.name)
def test_the_data_is_what_the_harness_asks_for(task, theirs):
    if task.name in NOT_THEIRS:
        pytest.skip("lm_eval has no such task")
    content = read(theirs[THEIR_FILE.get(task.name, task.name)])
    assert task.data.hub == content["dataset_path"]
    assert task.data.split == (content.get("test_split") or content["validation_split"])
    if THEIR_FILE.get(task.name) != ALL_SUBJECTS:
        assert task.data.subset == (content.get("dataset_name") or "default")
    elif task.few_shot:
        assert task.few_shot.split == content["fewshot_split"]
