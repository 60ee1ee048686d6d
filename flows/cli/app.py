"""The Typer app of `nr`, and the options that its commands share."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from storage.errors import InputError
from storage.locations import at_home

app = typer.Typer(
    help="Extend a language model to a new language without losing what it knows.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"neutral-residues {version('neutral-residues')}")
        raise typer.Exit


@app.callback()
def _of_all(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


# No shell puts the home in behind an option's =.
AT_HOME: Any = {"parser": at_home, "metavar": "PATH"}

ConfigFile = Annotated[Path, typer.Argument(**AT_HOME, help="A YAML file, like configs/demo.yaml.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Override a field: --set training.steps=100 (may be repeated).")
]
WorkspaceFolder = Annotated[Path, typer.Option("--workspace", **AT_HOME, help="The folder that holds the results.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")]


def existing(workspace: Path) -> Path:
    if not (workspace / "workspace.json").exists():
        raise InputError(f"{workspace} is not a workspace: give the folder of one with --workspace")
    return workspace
