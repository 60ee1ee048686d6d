"""Live figures of a training for an experiment tracker: trackio, wandb or MLflow, whichever the user has.

Where they go is the tracker's own business (its environment variables: TRACKIO_DIR, WANDB_*, MLFLOW_TRACKING_URI). No
secret of the environment stands in what is said of a tracker that fails, and one that fails on the way costs figures,
not the training. steps.parquet is written whether or not something is tracked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor

from nr_core.errors import ModelError
from nr_core.progress import Progress
from nr_core.settings import Tracker
from nr_core.specs import TrainSpec
from nr_core.training.step_figures import StepFigures
from nr_core.tuner.model import EMBEDDING

SECRET_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|AUTH", re.IGNORECASE)
IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
TAG = "neutral_residues.run"
Log = Callable[[int, Mapping[str, float]], None]


@contextmanager
def tracked(spec: TrainSpec) -> Iterator[Log | None]:
    """Yield what takes the figures of a step, by name; None where nothing is tracked.

    A run that goes on from a checkpoint goes on in the tracker. Raises ModelError where the tracker is not installed
    or cannot be started.
    """
    if spec.tracking == "none":
        yield None
        return
    if find_spec(spec.tracking) is None:
        raise ModelError(f"tracking: {spec.tracking} is not installed; pip install {spec.tracking}, or track nothing.")
    try:
        log, finish = (_mlflow if spec.tracking == "mlflow" else _wandb_api)(spec)
    except Exception as error:  # noqa: BLE001 (a network, no login, a library's own errors: told in one sentence)
        raise ModelError(
            f"tracking: {spec.tracking} could not be started ({_told(error)}); see to it, or track nothing."
        ) from None
    done = False
    try:
        yield _forgiving(log, spec.tracking)
        done = True
    finally:
        _forgiving(lambda step, figures: finish(done), spec.tracking)(0, {})


def step_figures(row: Mapping[str, Any], figures: StepFigures, forgetting: float | None) -> dict[str, float]:
    """Return the figures of a step by the names that trackers show: the numbers of a row of steps.parquet, gates by
    role and layer (the share of a role's tokens that open a layer's gate), and the forgetting in bits per byte, last
    measured.
    """
    named = {name: float(value) for name, value in row.items() if isinstance(value, int | float) and name != "step"}
    roles: list[tuple[str, Tensor | None, int]] = [
        ("new", figures.open_new, figures.tokens_new),
        ("original", figures.open_original, figures.tokens_original),
    ]
    for role, opened, tokens in roles:
        if opened is not None and tokens:
            rates = (opened.double() / tokens).tolist()
            named |= {f"gates/{role}/{_called(at)}": rate for at, rate in zip(figures.layers, rates, strict=True)}
    return named if forgetting is None else {**named, "forgetting": forgetting}


def _called(layer: int) -> str:
    return "embedding" if layer == EMBEDDING else f"layer_{layer:02d}"


def _wandb_api(spec: TrainSpec) -> tuple[Log, Callable[[bool], None]]:
    """Start a run of wandb, or of trackio, which has the same functions."""
    module = import_module(spec.tracking)
    name = {"name": f"{_label(spec)} {_run_id(spec)}"}
    if spec.tracking == "wandb":
        name = {"name": _label(spec), "id": _run_id(spec)}
    run = module.init(project=spec.tracking_project, config=_config(spec), resume="allow", **name)

    def finish(done: bool) -> None:
        if spec.tracking == "wandb":
            run.finish(exit_code=0 if done else 1)
        else:
            run.finish()

    return lambda step, figures: run.log(dict(figures), step=step), finish


def _mlflow(spec: TrainSpec) -> tuple[Log, Callable[[bool], None]]:
    mlflow: Any = import_module("mlflow")
    client = mlflow.MlflowClient()
    found = client.get_experiment_by_name(spec.tracking_project)
    experiment = client.create_experiment(spec.tracking_project) if found is None else found.experiment_id
    runs = client.search_runs([experiment], f"tags.`{TAG}` = '{_run_id(spec)}'", max_results=1)
    if runs:
        run_id = runs[0].info.run_id
        client.update_run(run_id, status="RUNNING")
    else:
        run_id = client.create_run(experiment, tags={TAG: _run_id(spec)}, run_name=_label(spec)).info.run_id
        for name, value in _config(spec).items():
            client.log_param(run_id, name, value)

    def log(step: int, figures: Mapping[str, float]) -> None:
        now = mlflow.utils.time.get_current_time_millis()
        metrics = [mlflow.entities.Metric(name, value, now, step) for name, value in figures.items()]
        client.log_batch(run_id, metrics=metrics)

    return log, lambda done: client.set_terminated(run_id, "FINISHED" if done else "FAILED")


def _label(spec: TrainSpec) -> str:
    return spec.label or _run_id(spec)


def _run_id(spec: TrainSpec) -> str:
    """Return the id of the run whose folder is filled: the flow has it made under a temporary name."""
    return spec.out.name.removeprefix(".").removesuffix(".partial")


def _config(spec: TrainSpec) -> dict[str, Any]:
    """Return what a tracker shows of a run: settings, without paths of this machine."""
    base = spec.base.model
    facts = {"base": Path(base).name if os.path.exists(base) else base, "seed": spec.seed}
    for part in (spec.method, spec.training):
        facts |= {name: value for name, value in part.model_dump(mode="json").items() if value is not None}
    shares = {f"share_{one.role}_{one.language}": one.share for one in spec.inputs}
    return {**facts, **shares, "run": _run_id(spec)}


def _forgiving(log: Log, tracker: Tracker) -> Log:
    """Return `log`, which says once what a tracker failed with, and is not asked again."""
    failed = False

    def call(step: int, figures: Mapping[str, float]) -> None:
        nonlocal failed
        if failed:
            return
        try:
            log(step, figures)
        except Exception as error:  # noqa: BLE001 (a network, a full disk: none is worth a training)
            failed = True
            Progress.log(f"tracking: {tracker} takes no more figures ({_told(error)}); the training goes on without")

    return call


def _told(error: BaseException) -> str:
    """Return the first line of an error, without the values of secrets in the environment and in addresses."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    for name, value in os.environ.items():
        if SECRET_NAMES.search(name) and len(value) >= 4:
            text = text.replace(value, "***")
    return IN_ADDRESS.sub("***", text)
