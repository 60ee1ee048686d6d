"""Evaluation tasks by name: their YAML files, and their items, pinned in the workspace."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flows.config.errors import first_sentence
from flows.config.extends import PROJECT
from flows.config.yaml_files import read_yaml
from flows.steps.result_records import record_settings, record_task_set
from nr_core.evaluation.tasks.settings import TaskSettings, variants_of
from nr_core.specs import TaskItems
from storage.errors import InputError
from storage.files import write_atomically
from storage.keys import hash_of
from storage.locations import at_home
from storage.workspace import Workspace

TASK_STAGE_VERSION = 3
FOLDER = PROJECT / "configs" / "tasks"


@dataclass(frozen=True)
class PinnedTask:
    """A task whose items lie in the workspace; eval_id names exactly these items."""

    settings: TaskSettings
    eval_id: str
    items: Path

    @property
    def scoring(self) -> dict[str, Any]:
        """Return what bears on a figure beside the model and the items."""
        return {
            "kind": self.settings.kind,
            "few_shot": self.settings.few_shot.examples if self.settings.few_shot else 0,
            "empty_context": "the begin-of-text token, else the end-of-text token",
            "too_long": "cut at its beginning to the model's context",
            "stderr": "bootstrap over items, 1,000 resamples",
        }

    @property
    def spec(self) -> TaskItems:
        return TaskItems(eval_id=self.eval_id, called=self.settings.name, kind=self.settings.kind, items=self.items)

    @property
    def settings_hash(self) -> str:
        return hash_of(self.scoring, TASK_STAGE_VERSION)


def find_tasks(names: Sequence[str]) -> list[TaskSettings]:
    """Find tasks of configs/tasks by name, or all tasks of a YAML file given by its path.

    Raises:
        InputError: no task or file of that name, or a wrong field in its file.
    """
    found: list[TaskSettings] = []
    for name in names:
        if name.endswith((".yaml", ".yml")):
            if not at_home(name).is_file():
                raise InputError(f"`evaluation.tasks`: there is no file {name}; correct the path")
            found += _tasks_of(at_home(name))
        else:
            known = {task.name: task for task in all_tasks()}
            if name not in known:
                raise InputError(
                    f"`evaluation.tasks`: there is no task {name!r}; give a task's YAML file, or one of "
                    f"{', '.join(sorted(known))}"
                )
            found.append(known[name])
    return found


def all_tasks() -> list[TaskSettings]:
    return [task for path in sorted(FOLDER.glob("*.yaml")) for task in _tasks_of(path)]


def _tasks_of(path: Path) -> Iterator[TaskSettings]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a mapping, like those of {FOLDER}")
    try:
        tasks = variants_of(content)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    for values in tasks:
        try:
            yield TaskSettings.model_validate(values)
        except ValidationError as error:
            raise InputError(f"{path}: {first_sentence(error, TaskSettings)}") from error


def pin_tasks(names: Sequence[str], data: str, most: int | None, workspace: Workspace) -> list[PinnedTask]:
    return [pin_task(task, Path(data).expanduser(), most, workspace) for task in find_tasks(names)]


def pin_task(task: TaskSettings, data: Path, most: int | None, workspace: Workspace) -> PinnedTask:
    """Make a task's items, write them into the workspace and record the set and how it is scored.

    Raises:
        ModelError: its data is not to be had (the sentence says what to put where) or does not fit the task.
    """
    from nr_core.evaluation.tasks.items import as_lines, content_hash
    from nr_core.evaluation.tasks.kinds import chance, make_items

    items = make_items(task, data, most)
    digest = content_hash(items)
    eval_id = hash_of("task", task.name, task.kind, digest)
    path = workspace.task_items(eval_id)
    if not path.exists():
        write_atomically(path, as_lines(items))
    guessed = chance(task.kind, items)
    record_task_set(workspace, eval_id, task.name, task.language, task.text_domain, digest, guessed)
    pinned = PinnedTask(task, eval_id, path)
    record_settings(workspace, pinned.settings_hash, pinned.scoring)
    return pinned
