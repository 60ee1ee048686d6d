"""Adds to the pages of this folder, for mkdocs: the project's own files, and the reference, made from the code.

Links that lead out of this folder, to code and configs, become plain names: the site may stand anywhere.
"""

import importlib
import inspect
import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import duckdb
import typer
import typer.main
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.cli import get_docs_for_click

ROOT = Path(__file__).parents[1]
OWN_FILES = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
PUBLIC = (
    "nr_core.peft.NeutralResiduesConfig",
    "nr_core.peft.find_taps",
    "nr_core.peft.skip_closed_gates",
    "nr_core.training.loss.local_loss",
    "nr_core.trainer.LocalLossMixin",
    "nr_core.runs.build_on_earlier.load_together",
    "nr_core.tuner.wider_ffn.export_wider",
    "storage.workspace.Workspace",
    "storage.query.query",
)


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    pages = {page: (ROOT / name).read_text() for page, name in OWN_FILES.items()}
    pages |= {
        "reference/settings.md": settings_page(),
        "reference/commands.md": commands_page(),
        "reference/tables.md": tables_page(),
        "reference/python.md": python_page(),
        "notebook.md": notebook_page(),
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **rest: Any) -> str:
    """Point links of the project's own files to the pages here, and leave those to code as plain names."""
    if page.file.src_uri == "concepts.md":
        page.meta["hide"] = ["toc"]  # the drawings need its room
    folder = ROOT / "docs" / Path(page.file.src_uri).parent
    if page.file.src_uri in OWN_FILES:
        markdown = re.sub(r"\((?:\./)?docs/", "(", markdown).replace('src="docs/', 'src="')
        folder = ROOT
    pages = {name: page for page, name in OWN_FILES.items()}

    def place(link: re.Match[str]) -> str:
        text, target = link.groups()
        path, _, anchor = target.partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return link[0]
        own = (folder / path).resolve()
        name = str(own.relative_to(ROOT)) if own.is_relative_to(ROOT) else ""
        if name in pages:
            return f"[{text}]({'../' * page.file.src_uri.count('/')}{pages[name]}{'#' + anchor if anchor else ''})"
        inside = own.is_relative_to(ROOT / "docs") or (
            page.file.src_uri in OWN_FILES and (ROOT / "docs" / path).exists()
        )
        return link[0] if inside else text

    return re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", place, markdown)


def notebook_page() -> str:
    """Return the notebook with what it printed and drew when it was last saved."""
    lines: list[str] = []
    for cell in json.loads((ROOT / "docs" / "notebook.ipynb").read_text())["cells"]:
        source = "".join(cell["source"])
        lines += [source, ""] if cell["cell_type"] == "markdown" else ["```python", source, "```", ""]
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            text = "".join(output.get("text") or data.get("text/plain", ""))
            if "image/png" in data:
                lines += [f"![What the cell draws](data:image/png;base64,{''.join(data['image/png']).strip()})", ""]
            elif text.strip():
                lines += ["```", text.rstrip(), "```", ""]
    return "\n".join([*lines, "[The notebook itself](notebook.ipynb)"]) + "\n"


def settings_page() -> str:
    """Every setting of a config, a section a model: key, what it may be, default, what it means."""
    from flows.config.study import Config

    lines = [
        "# Settings",
        "",
        "The whole tree of a config, from the code. `nr config show FILE` prints it filled in, `nr config schema` as "
        "JSON schema. A wrong key or value is refused with a sentence before anything runs.",
    ]
    for model in _models(Config):
        lines += ["", f"## {model.__name__}", "", _first(model.__doc__), "", "| key | value | default | meaning |"]
        lines.append("|---|---|---|---|")
        for name, field in model.model_fields.items():
            value, default = _type(field.annotation), _default(field)
            cells = [f"`{field.alias or name}`", value, default, field.description or ""]
            lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines) + "\n"


def _models(tree: type[BaseModel]) -> list[type[BaseModel]]:
    """Return the models of a tree in the order in which they occur, each once."""
    found: list[type[BaseModel]] = []

    def look(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in found:
            found.append(annotation)
            for field in annotation.model_fields.values():
                look(field.annotation)
        for part in get_args(annotation):
            look(part)

    look(tree)
    return found


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _type(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_type(part) for part in get_args(annotation))
    if get_origin(annotation) in (list, tuple):
        return f"list of {_type(get_args(annotation)[0])}"
    if get_origin(annotation) is dict:
        return f"mapping of {_type(get_args(annotation)[1])}"
    if annotation is type(None):
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    words = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    name = getattr(annotation, "__name__", str(annotation))
    return words.get(name, name)


def _default(field: Any) -> str:
    if field.is_required():
        return "**needed**"
    default = field.default
    if isinstance(default, BaseModel):
        return "its own"
    if default is PydanticUndefined:
        return "none" if field.default_factory in (list, dict) else "see meaning"
    shown = [one.model_dump(exclude_defaults=True) for one in default] if _holds_models(default) else default
    return f"`{'null' if shown is None else shown}`"


def _holds_models(default: Any) -> bool:
    return isinstance(default, list) and any(isinstance(one, BaseModel) for one in default)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _first(doc: str | None) -> str:
    return " ".join(inspect.cleandoc(doc or "").split("\n\n")[0].split())


def commands_page() -> str:
    from flows.cli import app

    command = typer.main.get_command(app)
    for each in _subcommands(command):  # else a list of commands breaks off after 45 characters
        each.short_help = re.split(r"(?<=\.)\s", each.help or "", maxsplit=1)[0]
    found = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name="nr"), name="nr")
    return re.sub(r"^# `nr`", "# Commands", found, count=1, flags=re.MULTILINE)


def _subcommands(group: Any) -> Iterator[Any]:
    for each in getattr(group, "commands", {}).values():
        yield each
        yield from _subcommands(each)


def tables_page() -> str:
    """Tables, views and macros of a catalog, with their columns, as they are documented in the database."""
    with duckdb.connect() as connection:
        for name in ("schema.sql", "views.sql"):
            connection.execute((ROOT / "storage" / name).read_text())
        lines = ["# Tables and views", "", 'What `nr sql` asks. In a terminal: `nr sql "from guide"`.']
        for kind, name, comment in connection.execute("FROM guide").fetchall():
            lines += ["", f"## {name}", "", f"*{kind}.* {comment}", ""]
            columns = connection.execute(
                "SELECT column_name, data_type, comment FROM duckdb_columns() WHERE table_name = ? AND NOT internal",
                [name],
            ).fetchall()
            if columns:
                lines += ["| column | type | |", "|---|---|---|"]
                lines += [f"| `{column}` | {kind} | {_cell(text or '')} |" for column, kind, text in columns]
    return "\n".join(lines) + "\n"


def python_page() -> str:
    return "\n".join(["# Python", "", "What is meant to be used from outside.", *_entries()]) + "\n"


def _entries() -> Iterator[str]:
    for path in PUBLIC:
        module, name = path.rsplit(".", 1)
        thing = getattr(importlib.import_module(module), name)
        signature = str(inspect.signature(thing)).replace(" -> None", "")
        yield from ("", f"## {path}", "", "```python", f"{name}{signature}", "```", "", inspect.getdoc(thing) or "")
