"""Commands on config files: the schema for editors, and what a file means with all its defaults."""

import json
from typing import TYPE_CHECKING

import typer
import yaml

from flows.cli.app import ConfigFile, Overrides, app
from flows.config.yaml_files import parse_overrides

if TYPE_CHECKING:
    from pydantic import JsonValue

config_app = typer.Typer(help="Config files: their schema, and all that one sets.", no_args_is_help=True)
app.add_typer(config_app, name="config")


def schema_text() -> str:
    """Return the JSON schema of a config file (draft 2020-12): every key with its type, reason and default."""
    from flows.config.study import Config

    schema: dict[str, JsonValue] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    # What a file may leave to the one that it extends is not required; `nr` itself says what is missing.
    return json.dumps({**schema, **Config.model_json_schema(), "required": []}, indent=1) + "\n"


@config_app.command()
def schema() -> None:
    """Print the JSON schema of config files, for editors."""
    print(schema_text(), end="")


@config_app.command()
def show(config: ConfigFile, set_: Overrides = None) -> None:
    """Print the whole config: what it extends put in, overrides and defaults too."""
    from flows.cli.table import for_terminal
    from flows.config.study import load_config

    settings = load_config(config, parse_overrides(set_ or []))
    print(for_terminal(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)), end="")
