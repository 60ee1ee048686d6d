"""The command line `nr`. Heavy rooms are imported in the commands, so that `nr --help` answers at once."""

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import yaml

from storage.errors import InputError

if TYPE_CHECKING:
    from flows.config import Config

app = typer.Typer(
    help="Extend a language model to a new language without losing what it knows.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
catalog_app = typer.Typer(help="The DuckDB catalog of a workspace.", no_args_is_help=True)
app.add_typer(catalog_app, name="catalog")

ConfigFile = Annotated[Path, typer.Argument(help="A YAML file, like configs/demo.yaml.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Override a field: --set training.steps=100 (may be repeated).")
]
WorkspaceFolder = Annotated[Path, typer.Option("--workspace", help="The folder that holds the results.")]
RunToUse = Annotated[str, typer.Argument(help="A run's id, or its folder.")]
MaxTokens = Annotated[int, typer.Option(help="Longest text.", min=1)]
Temperature = Annotated[float, typer.Option(help="Of the sampling; 0 takes the likeliest token each time.", min=0)]
SamplingSeed = Annotated[int, typer.Option("--seed", help="Of the sampling.", min=0)]
Home = Annotated[Path, typer.Option(help="Folder for the state and logs of server and worker.")]


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


@app.command()
def generate(
    run: RunToUse,
    prompt: Annotated[str, typer.Argument(help="Text to go on from.")],
    workspace: WorkspaceFolder = Path("workspace"),
    max_tokens: MaxTokens = 200,
    temperature: Temperature = 0.0,
    seed: SamplingSeed = 0,
) -> None:
    """Let a run go on from a text, shown as it is made."""
    from flows.talk import generate as write
    from flows.talk import run_folder

    write(run_folder(run, workspace), prompt, max_new_tokens=max_tokens, temperature=temperature, seed=seed)


@app.command()
def chat(
    run: RunToUse,
    workspace: WorkspaceFolder = Path("workspace"),
    max_tokens: MaxTokens = 200,
    temperature: Temperature = 0.7,
    seed: SamplingSeed = 0,
) -> None:
    """Talk to a run, a line at a time; Ctrl-D ends."""
    from flows.talk import chat as talk
    from flows.talk import run_folder

    talk(run_folder(run, workspace), max_new_tokens=max_tokens, temperature=temperature, seed=seed)


@app.command()
def push(
    run: RunToUse,
    hub_id: Annotated[str, typer.Argument(help="Where to: user-or-organisation/name.")],
    workspace: WorkspaceFolder = Path("workspace"),
    base: Annotated[str | None, typer.Option(help="Hub id of the base, where the run's was a folder.")] = None,
    private: Annotated[bool, typer.Option(help="Visible to you only.")] = True,
) -> None:
    """Put a run's adapter or model on the Hugging Face hub (token: HF_TOKEN of the environment)."""
    from flows.hub import push as upload
    from flows.talk import run_folder

    print(upload(run_folder(run, workspace), hub_id, base, private, workspace))


@app.command()
def sample(
    model: Annotated[str, typer.Argument(help="Folder or hub id of the base.")],
    out: Annotated[Path, typer.Option(help="JSONL file to write: a text source for a config.")],
    documents: Annotated[int, typer.Option(help="How many documents.", min=1)] = 1000,
    max_tokens: Annotated[int, typer.Option(help="Longest document.", min=2)] = 512,
    seed: Annotated[int, typer.Option(help="Of the sampling.", min=0)] = 0,
) -> None:
    """Let a base write replay text, where none of its own training data is at hand."""
    from nr_core.sample_text import sample_text
    from nr_core.settings import BaseSpec

    def show(done: int, total: int) -> None:
        print(f"\r{done} of {total} documents", end="", file=sys.stderr)

    sample_text(BaseSpec(model=model), out, documents, max_tokens, seed, show)
    print(f"\n{out}", file=sys.stderr)


@app.command()
def train_quality(
    good: Annotated[str, typer.Argument(help="Published corpus that good texts are like.")],
    random: Annotated[str, typer.Argument(help="Published corpus of random pages, in the same language.")],
    out: Annotated[Path, typer.Option(help="Model to write: .bin, or .ftz for a quantised one.")],
    workspace: WorkspaceFolder = Path("workspace"),
    documents: Annotated[int, typer.Option(help="At most so many texts of each.", min=100)] = 50_000,
    learning_rate: Annotated[float, typer.Option(help="Of fastText; halved where it diverges.", max=1)] = 0.1,
    epochs: Annotated[int, typer.Option(help="Passes over the texts.", min=1)] = 5,
) -> None:
    """Train a classifier of good text against random pages, for documents.quality_model."""
    from flows.train_quality import train_quality as train_on_corpora
    from pipelines.settings import QualityModelSettings
    from storage.workspace import Workspace

    if learning_rate <= 0:
        raise InputError(f"--learning-rate {learning_rate}: give a number above 0, such as 0.1")
    settings = QualityModelSettings(documents=documents, learning_rate=learning_rate, epochs=epochs)
    card = train_on_corpora(Workspace(existing(workspace)), good, random, settings, out)
    print(
        f"{out}: {card['held_out_accuracy']:.3f} of {card['held_out_documents']} held-out texts told right; "
        f"set documents.quality_model to it, and corpora.NAME.rules.quality_min to a threshold"
    )


@app.command()
def report(
    workspace: WorkspaceFolder = Path("workspace"),
    title: Annotated[str, typer.Option(help="Its title.")] = "results",
    figures: Annotated[bool, typer.Option("--figures", help="Write its pictures for papers too, PNG and SVG.")] = False,
) -> None:
    """Write the HTML report of a workspace and print its path."""
    from flows.report import write_report
    from storage.workspace import Workspace

    print(write_report(Workspace(existing(workspace)), title=title))
    if figures:
        from flows.report.figures import write_figures

        for path in write_figures(Workspace(workspace)):
            print(path)


@app.command()
def results(workspace: WorkspaceFolder = Path("workspace")) -> None:
    """Show what every run learned and forgot, and its tasks."""
    from flows.results import results as tables
    from flows.table import print_table
    from storage.workspace import Workspace

    for title, result in tables(Workspace(existing(workspace))):
        print_table(result, title)


@app.command()
def compare(
    run_a: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, or its beginning.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN", help="The other.")],
    workspace: WorkspaceFolder = Path("workspace"),
) -> None:
    """Hold two runs against each other: their settings, and their figures item by item."""
    from flows.results import compare as tables
    from flows.table import print_table
    from storage.workspace import Workspace

    for title, result in tables(Workspace(existing(workspace)), run_a, run_b):
        print_table(result, title)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="Folder to write to.")],
    workspace: WorkspaceFolder = Path("workspace"),
    format: Annotated[
        Literal["parquet", "csv", "mlflow"], typer.Option(help="mlflow: CSV of MLflow's tables and columns.")
    ] = "parquet",
) -> None:
    """Write every table and view of the results to a file."""
    from flows.results import export as write
    from storage.workspace import Workspace

    for path in write(Workspace(existing(workspace)), out, format):
        print(path)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help='For example "from learning_vs_forgetting".')],
    workspace: WorkspaceFolder = Path("workspace"),
    format: Annotated[Literal["table", "json", "csv"], typer.Option(help="For people or for programs.")] = "table",
) -> None:
    """Query the results with DuckDB SQL."""
    from storage.query import query as run_query
    from storage.workspace import Workspace

    result = run_query(Workspace(existing(workspace)), query)
    if format == "table":
        from flows.table import print_table

        print_table(result)
    else:
        print(result.as_json() if format == "json" else result.as_csv(), end="" if format == "csv" else "\n")


@app.command()
def inspect(
    corpus: Annotated[str, typer.Argument(help="Its name.")],
    reason: Annotated[str, typer.Option(help="Why they left: a reason of the corpus's funnel, such as near_copy.")],
    pages: Annotated[int, typer.Option(help="How many.", min=1)] = 3,
    characters: Annotated[int, typer.Option(help="Of each text.", min=1)] = 1500,
    workspace: WorkspaceFolder = Path("workspace"),
) -> None:
    """Show pages that left a corpus for a reason, beside such as stayed."""
    from flows.inspect_pages import inspect_pages
    from flows.table import print_pairs
    from storage.workspace import Workspace

    print_pairs(inspect_pages(Workspace(existing(workspace)), corpus, reason, pages), reason, characters)


@app.command()
def rollback(
    corpus: Annotated[str, typer.Argument(help="Its name.")],
    version: Annotated[str | None, typer.Argument(help="Version to go to; none: the one before.")] = None,
    reason: Annotated[str | None, typer.Option(help="Is recorded.")] = None,
    workspace: WorkspaceFolder = Path("workspace"),
) -> None:
    """Make an earlier version of a corpus the one in use."""
    from flows.rollback import roll_back
    from storage.workspace import Workspace

    before, after = roll_back(Workspace(existing(workspace)), corpus, version, reason)
    print(f"{corpus}: version {after} is in use, before it {before} was")
    print(f"a refresh from the same sources and settings brings {before} again: change them first")


@app.command()
def forget(
    host: Annotated[str, typer.Argument(help="Such as example.org; its subdomains go too.")],
    reason: Annotated[str, typer.Option(help="Is recorded beside the host.")] = "asked for",
    workspace: WorkspaceFolder = Path("workspace"),
) -> None:
    """Take a host's pages out of all corpora for good, and list the runs trained on them."""
    from flows.forget import forget_host
    from flows.table import print_table
    from storage.workspace import Workspace

    found = forget_host(Workspace(existing(workspace)), host, reason, print)
    print_table(found.corpora, "new versions")
    print_table(found.versions, "versions that hold pages of it")
    print_table(found.runs, "runs trained on these versions")


@app.command()
def verify(
    corpus: Annotated[str | None, typer.Argument(help="Check its versions only; none: the whole workspace.")] = None,
    workspace: WorkspaceFolder = Path("workspace"),
) -> None:
    """Check all files against the checksums recorded when they were written."""
    from flows.verify import verify as check
    from storage.workspace import Workspace

    def show(done: int, files: int, name: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{done} of {files} files  {name[-80:]}", end="", file=sys.stderr)

    damages = check(Workspace(existing(workspace)), corpus, show)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    for damage in damages:
        print(f"{damage.path}: {damage.wrong}; {damage.fix}")
    print(f"{len(damages)} damaged" if damages else "all is as it was written")
    if damages:
        raise typer.Exit(1)


@catalog_app.command()
def rebuild(workspace: WorkspaceFolder = Path("workspace")) -> None:
    """Make the catalog anew from the record files."""
    from storage.catalog import rebuild_catalog
    from storage.workspace import Workspace

    rebuild_catalog(Workspace(existing(workspace)))


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Port of Prefect's server, on loopback.")] = 4200,
    home: Home = Path(".prefect"),
    host: Annotated[str, typer.Option(help="Address to listen on; others than loopback let others in.")] = "127.0.0.1",
) -> None:
    """Start Prefect's server, deploy prefect.yaml and start a worker. Twice does no harm."""
    from flows import server

    services = server.up(home, port, Path.cwd(), host)
    print(f"Prefect: {services.url}  (state and logs in {home}; `nr down` stops it)")
    print(f"to use it from this shell: export PREFECT_API_URL={services.url}/api PREFECT_HOME={home.resolve()}")


@app.command()
def down(home: Home = Path(".prefect")) -> None:
    """Stop what `nr up` started."""
    from flows import server

    print("stopped" if server.stop(home) else f"nothing was started in {home}")


@app.command()
def notify(
    url: Annotated[str, typer.Argument(envvar="NR_ALERT_URL", help="Where to POST {text: ...}, as chats take it.")],
    home: Home = Path(".prefect"),
) -> None:
    """Call a webhook when a flow run fails, crashes or is late."""
    from flows import server

    services = server.running(home)
    if services is None:
        raise InputError(f"no server runs in {home}: start it with `nr up`")
    os.environ.update(services.environment)
    from flows.notifications import NAME
    from flows.notifications import notify as make_automation

    make_automation(url)
    print(f"automation {NAME}: failed, crashed and late flow runs of {services.url}")


@app.command()
def gc(
    workspace: WorkspaceFolder = Path("workspace"),
    versions: Annotated[int, typer.Option(help="Newest versions of each corpus to keep.", min=1)] = 3,
    days: Annotated[float, typer.Option(help="Days that unfinished work stays.", min=0)] = 30,
    prefect_days: Annotated[float, typer.Option(help="Days that Prefect's finished flow runs stay.", min=0)] = 90,
    home: Home = Path(".prefect"),
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this, say what would go.")] = False,
) -> None:
    """Remove what a workspace no longer needs; what a version in use or a run needs stays."""
    from flows import server
    from flows.housekeeping import Keep, find_waste, remove
    from storage.workspace import Workspace

    opened = Workspace(existing(workspace))
    waste = find_waste(opened, Keep(versions=versions, days=days))
    for item in waste:
        print(f"{item.bytes / 1e6:10.1f} MB  {item.path.relative_to(opened.root)}  ({item.why})")
    services = server.running(home)
    old_runs = services.old_runs(prefect_days) if services else []
    print(f"{len(waste)} folders and {len(old_runs)} flow runs of Prefect {'go' if yes else 'would go; give --yes'}")
    if yes:
        remove(waste, opened)
        if services:
            services.delete_runs(old_runs)


@app.command()
def doctor(
    port: Annotated[int, typer.Option(help="Port that `nr up` is to have.")] = 4200,
    home: Home = Path(".prefect"),
    workspace: WorkspaceFolder = Path("workspace"),
) -> None:
    """Look for what is wrong with this machine or installation, and say the fix. Exit code 1 if anything is."""
    from flows.doctor import examine

    wrong = 0
    for finding in examine(home, port, workspace):
        wrong += bool(finding.fix)
        print(f"{'WRONG' if finding.fix else 'ok':<6}{finding.what}: {finding.says}", flush=True)
        if finding.fix:
            print(f"      fix: {finding.fix}")
    sys.exit(1 if wrong else 0)


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
    Workspace(config.workspace)
    home = Path(".prefect")
    services = None if "PREFECT_API_URL" in os.environ else running(home)
    settings = environment(home, services.port if services else None)
    os.environ.update({name: value for name, value in settings.items() if name not in os.environ})
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


def parse_overrides(overrides: list[str]) -> dict[str, Any]:
    """Turn `training.steps=100` into {"training": {"steps": 100}}; values are YAML."""
    tree: dict[str, Any] = {}
    for override in overrides:
        field, equals, value = override.partition("=")
        if not equals or not field:
            raise InputError(f"--set {override}: write it as field=value, like --set training.steps=100")
        branch = tree
        *parents, leaf = field.split(".")
        for parent in parents:
            branch = branch.setdefault(parent, {})
            if not isinstance(branch, dict):
                raise InputError(f"--set {override}: {parent} was given a value of its own before; give one of the two")
        try:
            branch[leaf] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--set {override}: the value is not YAML: {' '.join(str(error).split())}") from error
    return tree


def existing(workspace: Path) -> Path:
    if not (workspace / "workspace.json").exists():
        raise InputError(f"{workspace} is not a workspace: give the folder of one with --workspace")
    return workspace


def main() -> None:
    """Entry point: bad input ends with one sentence and exit code 2."""
    from nr_core.errors import ModelError

    try:
        app()
    except (InputError, ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        if not is_disk_full(error):
            raise
        print(f"error: the disk is full ({error}): free some space, and the same command goes on", file=sys.stderr)
        sys.exit(2)


def is_disk_full(error: Exception) -> bool:
    # DuckDB and Arrow tell it in words of their own.
    return getattr(error, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(error)
