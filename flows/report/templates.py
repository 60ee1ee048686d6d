"""The templates of the pages, and what all of them have: style, script and its hash, numbers in words, no folders."""

import re
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flows.report import series
from pipelines.pages.characters import without_controls

ASSETS = Path(__file__).parent / "assets"
# The folders of an absolute path; not those of an address.
FOLDERS = re.compile(r"file:///(?:[^\s/'\"<>]+/)+|(?<![\w:/.~}…*-])~?/(?:[^\s/'\"<>]+/)+")


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


def without_folders(text: str | None) -> str:
    """Cut folders off file names: a page is made to be shared, and where a file lies is nobody's business."""
    return FOLDERS.sub("…/", text or "")


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
    return environment


def _visible(value: Any) -> Any:
    return without_controls(value, "\N{REPLACEMENT CHARACTER}") if type(value) is str else value
