"""Flow train-on-new-text: trains after a refresh, by `after_refresh` of the config."""

from collections.abc import Iterator

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from flows.config.runs import refuse_wrong_teachers
from flows.config.study import Config
from flows.evaluate import evaluate
from flows.services.killed_runs import record_process
from flows.steps.base import PreparedBase, prepare_base
from flows.steps.checks import check_corpora
from flows.steps.last_failure import remembering_failure
from flows.steps.tokens import current_versions
from flows.train import train
from nr_core.settings import MethodSettings
from storage.query import query
from storage.workspace import Workspace

LAST_RUN = """SELECT run_id FROM runs
WHERE base_model_id = ? AND name = ? AND seed = ? AND status = 'done' ORDER BY created DESC LIMIT 1"""
# Text that the last run on this base had of a corpus: the version of that name that it was trained on.
CHARACTERS_BEFORE = """SELECT c.name, max_by(c.characters, r.created) FROM runs r
JOIN run_inputs i USING (run_id) JOIN corpora c ON c.version = i.corpus_version
WHERE r.base_model_id = ? AND r.status = 'done' GROUP BY c.name"""
CHARACTERS_NOW = "SELECT name, characters FROM corpora WHERE version IN (SELECT unnest(?))"


@flow(name="train-on-new-text", on_running=[record_process])
@remembering_failure
def train_on_new_text(config: Config) -> list[str]:
    """Train and evaluate on the corpora as they are now, if enough text has come since the last run. Returns run ids.

    Too little of it is a success: there is nothing to do.
    """
    if config.base is None or not config.inputs:
        get_run_logger().info("the config names no `base` or no `inputs`: nothing is trained")
        return []
    versions = current_versions(config)
    base = prepare_base(config, versions)
    if not enough_is_new(config, versions, base):
        return []
    check_corpora(config.checks, versions, Workspace(config.workspace))
    runs: list[str] = []
    for step in steps(config, base):
        runs += train(step, versions, base)
        evaluate(step, versions, base)
    return runs


@task(cache_policy=NO_CACHE)
def enough_is_new(config: Config, versions: dict[str, str], base: PreparedBase) -> bool:
    gained, wanted = new_characters(config, versions, base), config.after_refresh.new_characters
    says = "training" if gained >= wanted else "too few, nothing to do"
    get_run_logger().info("%d new characters since the last run, %d wanted: %s", gained, wanted, says)
    return gained >= wanted


def new_characters(config: Config, versions: dict[str, str], base: PreparedBase) -> int:
    """Count characters of the new languages' corpora beyond those that the last run on this base was trained on."""
    workspace = Workspace(config.workspace)
    before = dict(query(workspace, CHARACTERS_BEFORE, [base.model_id]).rows)
    now = dict(query(workspace, CHARACTERS_NOW, [list(versions.values())]).rows)
    learned = [item.corpus for item in config.inputs if item.corpus is not None and item.role == "new"]
    return sum(max(0, now[name] - before.get(name, 0)) for name in learned)


def steps(config: Config, base: PreparedBase) -> Iterator[Config]:
    """Return configs to train one after the other: each method and seed from its own last run, or all of them
    afresh.
    """
    if config.after_refresh.start == "afresh":
        yield config
        return
    refuse_wrong_teachers(config.methods, "its last run (after_refresh.start)")
    for seed in config.seeds:
        for method in config.methods:
            yield config.model_copy(
                update={"methods": [method], "seeds": [seed], "start_from": last_run(config, base, method, seed)}
            )


def last_run(config: Config, base: PreparedBase, method: MethodSettings, seed: int) -> str | None:
    rows = query(Workspace(config.workspace), LAST_RUN, [base.model_id, method.label, seed]).rows
    return str(rows[0][0]) if rows else None
