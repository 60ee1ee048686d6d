"""The templates of the pages, and what all of them have: style, script and its hash, numbers in words, no folders."""

from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flows.report import series
from pipelines.pages.characters import without_controls
from storage.locations import values_without_folders, without_folders

ASSETS = Path(__file__).parent / "assets"


def render(template: str, **values: Any) -> str:
    """Fill a template of assets/. Its policy allows one script, by its hash, and nothing from elsewhere."""
    script = "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in ("copy.js", "filter.js"))
    return (
        _environment()
        .get_template(template)
        .render(
            written=datetime.now(UTC),
            style=Markup((ASSETS / "style.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_hash="sha256-" + b64encode(sha256(script.encode()).digest()).decode(),
            **values,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    names = ("bits", "count", "short", "share", "duration", "memory", "rate")
    environment.filters.update({name: getattr(series, name) for name in names})
    environment.filters["without_folders"] = without_folders
    environment.filters["without_folder"] = values_without_folders  # of what is a path, whole
    return environment


def _visible(value: Any) -> Any:
    return without_controls(value, "\N{REPLACEMENT CHARACTER}") if type(value) is str else value
