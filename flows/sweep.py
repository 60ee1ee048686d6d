"""Flow sweep: methods x learning rates x alphas x seeds, each run once, and which of them make the Pareto front."""

from collections.abc import Mapping, Sequence

from prefect import flow
from prefect.logging import get_run_logger

from flows.cli.results import off_the_front
from flows.cli.table import print_table
from flows.config.runs import refuse_wrong_teachers
from flows.config.study import Config
from flows.evaluate import evaluate
from flows.services.killed_runs import record_process
from flows.steps.base import prepare_base
from flows.steps.last_failure import remembering_failure
from flows.steps.tokens import current_versions
from flows.train import planned_runs, train
from nr_core.settings import MethodSettings
from nr_core.settings.method_table import METHODS
from storage.errors import InputError
from storage.query import Result, query
from storage.workspace import Workspace

TABLE = """SELECT CASE WHEN run_id IN (SELECT run_id FROM pareto_front) THEN '*' ELSE '' END AS front,
       name, seed, learning, forgetting, forgetting_in_replay, run_id
FROM learning_vs_forgetting WHERE run_id IN (SELECT unnest(?)) ORDER BY forgetting, name, seed"""
TITLE = "sweep (* = on the Pareto front of this base and language)"
SHORT = {"learning_rate": "lr", "alpha": "alpha"}  # in names


@flow(name="sweep", on_running=[record_process])
@remembering_failure
def sweep(config: Config) -> list[str]:
    """Train and score every point; those that are done are left alone. Returns the run ids."""
    wide = expanded(config)
    versions = current_versions(wide)
    base = prepare_base(wide, versions)
    get_run_logger().info("%d points, %d seeds", len(wide.methods), len(wide.seeds))
    trained = train(wide, versions, base, return_state=True)
    evaluate(wide, versions, base)
    runs = [run.run_id for run in planned_runs(wide, versions, base)]
    table = front(Workspace(wide.workspace), runs)
    print_table(table, TITLE)
    if said := off_the_front(table):
        print(said)
    trained.result()  # a run that failed fails the flow, now that the others have been measured
    return runs


def front(workspace: Workspace, runs: list[str]) -> Result:
    return query(workspace, TABLE, [runs])


def expanded(config: Config) -> Config:
    """Return the config with a method for each point of its sweep."""
    if config.sweep is None:
        raise InputError("`sweep` is missing: say what to vary, like `sweep: {learning_rates: [1.0e-3, 3.0e-3]}`")
    points = {
        method.label: [
            _point(method, {**rate, **alpha})
            for rate in _each("learning_rate", config.sweep.learning_rates)
            for alpha in _each("alpha", config.sweep.alphas if _has_alpha(method) else [])
        ]
        for method in config.methods
    }
    methods = [_with_teacher(point, points) for of_method in points.values() for point in of_method]
    refuse_wrong_teachers(methods)
    seeds = config.sweep.seeds or config.seeds
    return config.model_copy(update={"methods": methods, "seeds": seeds, "sweep": None})


def _with_teacher(point: MethodSettings, points: Mapping[str, list[MethodSettings]]) -> MethodSettings:
    """Name a teacher as its point is called, where its method has one point alone."""
    match points.get(point.distil_from or ""):
        case [teacher]:
            return point.model_copy(update={"distil_from": teacher.label})
    return point


def _each(field: str, values: Sequence[float]) -> list[dict[str, float]]:
    return [{field: value} for value in values] or [{}]


def _has_alpha(method: MethodSettings) -> bool:
    weighed = method.variant("local_loss") != "none" and method.max_forgetting is None
    return "alpha" in METHODS[method.method].fields and weighed


def _point(method: MethodSettings, varied: Mapping[str, float]) -> MethodSettings:
    """Return the method at these values, its name with what was varied."""
    name = " ".join([method.label, *(f"{SHORT[field]} {value:g}" for field, value in varied.items())])
    return MethodSettings.model_validate({**method.model_dump(), **varied, "name": name})
