"""Commands on a config: the whole way, or one step of it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli.app import ConfigFile, Overrides, WorkspaceFolder, app, existing
from flows.cli.overrides import parse_overrides

if TYPE_CHECKING:
    from flows.config import Config


@app.command()
def run(config: ConfigFile, set_: Overrides = None) -> None:
    """The whole way: data, base, training, evaluation, report."""
    from_config(config, set_, "extend_language", needs=("base", "inputs"))


@app.command()
def plan(config: ConfigFile, set_: Overrides = None) -> None:
    """Show what a refresh would read and download, and read no page."""
    from flows.config import load_config
    from flows.inputs import check_inputs
    from flows.plan import plan_refresh
    from flows.table import print_table

    settings: Config = load_config(config, parse_overrides(set_ or []))
    check_inputs(settings)
    for title, result in plan_refresh(settings, print):
        print_table(result, title)


@app.command()
def refresh(config: ConfigFile, set_: Overrides = None) -> None:
    """Read what is new of the sources and publish the corpora."""
    from_config(config, set_, "data_refresh")


@app.command()
def pretrain(config: ConfigFile, set_: Overrides = None) -> None:
    """Make the base ready: pretrain it on the corpora, or find the given one."""
    from_config(config, set_, "base", "pretrain", needs=("base",))


@app.command()
def train(
    config: ConfigFile,
    set_: Overrides = None,
    add_to: Annotated[str | None, typer.Option(help="Keep this run's adapters active: one more language.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Go on from this run, after a data refresh.")] = None,
) -> None:
    """Train one run for each method and seed."""
    builds_on = {"add_to": add_to, "start_from": from_}
    overrides = [*(set_ or []), *(f'{name}="{run}"' for name, run in builds_on.items() if run)]
    from_config(config, overrides, "train", needs=("base", "inputs"))


@app.command()
def sweep(config: ConfigFile, set_: Overrides = None) -> None:
    """Train and score methods x rates x alphas x seeds, and mark the Pareto front."""
    from_config(config, set_, "sweep", needs=("base", "inputs", "sweep"))


@app.command()
def evaluate(
    what: Annotated[Path, typer.Argument(metavar="CONFIG|RUN", help="A YAML file, or the id of a run with --tasks.")],
    set_: Overrides = None,
    tasks: Annotated[
        str | None, typer.Option(help="For a run: tasks by name, with commas between, or task files.")
    ] = None,
    harness: Annotated[Literal["own", "lm_eval"], typer.Option(help="lm_eval: its own tasks and scorer.")] = "own",
    task_data: Annotated[Path, typer.Option(help="Folder with data of tasks that the hub does not give.")] = Path(
        "task-data"
    ),
    items: Annotated[int | None, typer.Option(help="At most so many items of a task.", min=1)] = None,
    workspace: WorkspaceFolder = Path("workspace"),
) -> None:
    """Score the base and the runs of a config on held-out text and tasks; or a run and its base on tasks."""
    if tasks is None:
        from_config(what, set_, "evaluate", needs=("base", "inputs"))
        return
    from flows.evaluate_run import evaluate_run
    from storage.workspace import Workspace

    evaluate_run(Workspace(existing(workspace)), str(what), tasks.split(","), harness, task_data, items)


def from_config(
    path: Path, overrides: list[str] | None, module: str, flow: str | None = None, needs: tuple[str, ...] = ()
) -> None:
    """Read the config, refuse what is wrong with it, and only then start Prefect and the flow."""
    from importlib import import_module

    from flows.config import load_config
    from flows.inputs import check_inputs
    from flows.interrupt import leaving_on_interrupt
    from flows.server import environment, running
    from storage.workspace import Workspace

    config: Config = load_config(path, parse_overrides(overrides or []))
    check_inputs(config, *needs)
    Workspace(config.workspace, config.bucket)
    home = Path(os.environ.get("PREFECT_HOME", ".prefect"))
    services = None if "PREFECT_API_URL" in os.environ else running(home)
    for name, value in environment(home, services.url if services else None).items():
        os.environ.setdefault(name, value)
    with leaving_on_interrupt():
        if "PREFECT_API_URL" not in os.environ:
            start_server(home)
        getattr(import_module(f"flows.{module}"), flow or module)(config)


def start_server(home: Path) -> None:
    from flows.temporary_server import TemporaryServer

    server = TemporaryServer(home)
    os.environ["PREFECT_API_URL"] = server.api
    import prefect.main  # noqa: F401 (takes as long as the server takes to start)

    server.wait()
