"""Commands on a config: the whole way, or one step of it; its schema, and all that it sets."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import yaml

from flows.cli.app import AT_HOME, AsJson, ConfigFile, Overrides, WorkspaceFolder, app, existing
from flows.config.yaml_files import parse_overrides
from nr_core.imports import without_collecting
from storage.errors import InputError
from storage.locations import at_home

if TYPE_CHECKING:
    from flows.config.study import Config


@app.command()
def run(config: ConfigFile, set_: Overrides = None) -> None:
    """Go the whole way: data, base, training, evaluation, report."""
    from_config(config, set_, "extend_language", needs=("base", "inputs"))


@app.command()
def plan(config: ConfigFile, set_: Overrides = None, json: AsJson = False) -> None:
    """Show what a config would read, download and train. No page is read."""
    from flows.cli.plan import plan_refresh
    from flows.cli.table import print_tables
    from flows.config.inputs import check_inputs
    from flows.config.study import load_config

    settings: Config = load_config(config, parse_overrides(set_ or []))
    check_inputs(settings)
    name_launcher(settings)
    print_tables(plan_refresh(settings, partial(print, file=sys.stderr)), json)


@app.command()
def refresh(config: ConfigFile, set_: Overrides = None) -> None:
    """Read what is new of the sources and publish the corpora."""
    from_config(config, set_, "data_refresh")


@app.command()
def pretrain(config: ConfigFile, set_: Overrides = None) -> None:
    """Make the base ready: find the given one, or pretrain it. It is pretrained on the corpora."""
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
def sweep(config: ConfigFile, set_: Overrides = None, json: AsJson = False) -> None:
    """Train and score methods x rates x alphas x seeds. The Pareto front is marked."""
    from flows.cli.table import print_tables, stdout_for_json
    from flows.config.study import load_config
    from storage.workspace import Workspace

    with stdout_for_json(json):  # the flow prints the table, where it is deployed too
        runs = from_config(config, set_, "sweep", needs=("base", "inputs", "sweep"))
    if json:
        from flows.sweep import TITLE, front

        workspace = Workspace(load_config(config, parse_overrides(set_ or [])).workspace)
        print_tables([(TITLE, front(workspace, runs))], json)


@app.command()
def evaluate(
    what: Annotated[
        Path,
        typer.Argument(metavar="CONFIG|RUN", parser=at_home, help="A YAML file, or a run with --tasks."),
    ],
    set_: Overrides = None,
    tasks: Annotated[
        str | None, typer.Option(help="For a run: tasks by name, with commas between, or task files.")
    ] = None,
    harness: Annotated[Literal["own", "lm_eval"], typer.Option(help="lm_eval: its own tasks and scorer.")] = "own",
    task_data: Annotated[
        Path, typer.Option(**AT_HOME, help="Folder with data of tasks that the hub does not give.")
    ] = Path("task-data"),
    items: Annotated[int | None, typer.Option(help="At most so many items of a task.", min=1)] = None,
    workspace: WorkspaceFolder = Path("workspace"),
    json: Annotated[bool, typer.Option("--json", help="Of a run: print it as JSON, for programs.")] = False,
) -> None:
    """Score base and runs of a config, or one run on --tasks. A config's: on held-out text, and on its tasks."""
    if tasks is None and json:
        raise InputError("--json is for a run with --tasks; of a config's runs `nr results --json` prints the figures")
    if tasks is None:
        from_config(what, set_, "evaluate", needs=("base", "inputs"))
        return
    from flows.cli.evaluate_run import evaluate_run
    from flows.cli.table import print_tables, stdout_for_json
    from storage.workspace import Workspace

    with stdout_for_json(json):
        table = evaluate_run(Workspace(existing(workspace)), str(what), tasks.split(","), harness, task_data, items)
    print_tables([table], json)


def from_config(
    path: Path, overrides: list[str] | None, module: str, flow: str | None = None, needs: tuple[str, ...] = ()
) -> Any:
    """Read the config, refuse what is wrong with it, and only then start Prefect and the flow; return its result."""
    from importlib import import_module

    from flows.cli.app import leaving_on_interrupt
    from flows.config.inputs import check_inputs
    from flows.config.study import load_config
    from flows.steps.finished_study import changeable_elsewhere, is_finished
    from storage.workspace import Workspace

    config: Config = load_config(path, parse_overrides(overrides or []))
    check_inputs(config, *needs)
    name_launcher(config)
    workspace = Workspace(config.workspace, config.bucket)
    if module != "sweep" and is_finished(config):
        from flows.report.page import report_file  # here: it imports matplotlib

        path = report_file(workspace, config.name)
        print(f"nothing to do: study {config.name} is finished, and all that it read and made stands; report: {path}")
        return None
    elsewhere = changeable_elsewhere(config)
    if elsewhere and workspace.catalog.exists():
        print(f"looking whether anything is to do, for this may have changed: {elsewhere}", file=sys.stderr)
    home = Path(os.environ.get("PREFECT_HOME") or ".prefect").expanduser()
    found = find_server(home)
    with leaving_on_interrupt():
        if not found:
            start_server(home)
        with without_collecting():
            found_in = import_module(f"flows.{module}")
        return getattr(found_in, flow or module)(config)


def name_launcher(config: "Config") -> None:
    """Tell which command a config has run: somebody else's config is code where it names one."""
    if config.resources.launcher is not None:
        print(
            f"resources.launcher: trainings are started by the command `{config.resources.launcher}`", file=sys.stderr
        )


def find_server(home: Path) -> bool:
    """Have Prefect talk to the server that PREFECT_API_URL names, that `nr up` started in `home`, or that the user's
    files of Prefect name; False if there is none. Raises InputError for one that does not answer."""
    from flows.services.addresses import LOOPBACK, address, refuse_unusable_proxies, without_proxy
    from flows.services.server import environment, running
    from flows.services.user_prefect_settings import API, refuse_dead, take_own_settings

    refuse_unusable_proxies()
    services, named = running(home), os.environ.get(API)
    ours = services is not None and (not named or services.is_at(named))
    if not ours:
        named = take_own_settings()
    for name, value in environment(home).items():
        os.environ.setdefault(name, value)
    if services is not None and ours:
        os.environ.update(services.settings)
    elif named:
        os.environ.update(without_proxy(address(LOOPBACK, 0)))
        refuse_dead(named)
    return ours or bool(named)


def start_server(home: Path) -> None:
    from flows.services.temporary_server import TemporaryServer

    server = TemporaryServer(home)  # refuses what cannot be used
    print("starting Prefect's server for this command; `nr up` keeps one", file=sys.stderr)
    os.environ.update(server.settings)
    with without_collecting():
        import prefect.main  # noqa: F401 (takes as long as the server takes to start)

    server.wait()


config_app = typer.Typer(help="Config files: their schema, and all that one sets.", no_args_is_help=True)
app.add_typer(config_app, name="config")


@config_app.command()
def schema(
    of: Annotated[Literal["study", "task"], typer.Argument(help="Whose: a study's or an evaluation task's.")] = "study",
) -> None:
    """Print the JSON schema of config files, for editors."""
    from flows.config.json_schemas import study_schema, task_schema

    print(study_schema() if of == "study" else task_schema(), end="")


@config_app.command()
def show(config: ConfigFile, set_: Overrides = None) -> None:
    """Print the whole config: what it extends put in, overrides and defaults too."""
    from flows.cli.table import for_terminal
    from flows.config.study import load_config

    settings = load_config(config, parse_overrides(set_ or []))
    print(for_terminal(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)), end="")
