"""A picture of matplotlib's as SVG in the page: in the colours of light or dark, with points that the tab key reaches.

What an artist's gid says becomes the class of its group, and the numbers behind a colon, as in `label:0 2`, what it is
of: filter.js takes it away with these. Artists of one gid `point-N` become one group, which shows the N-th tip when it
is pointed at or has the focus. No ids are left, so that pictures do not meet in one page.
"""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from pipelines.pages.characters import without_controls

# Colours that stand for the variables of style.css: they follow the reader's scheme.
VARIABLES = {
    f"#0a000{number}": name for number, name in enumerate(("ink", "quiet", "faint", "rule", "paper", "accent"))
}
SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
CLASSES = ("base", "front", "error", "leader", "label", "curve", "bell", "mark")  # that gids may name
NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FONT = re.compile(r"\s*font-family:[^;]*;?")
_LONG = re.compile(r"-?\d+\.\d{2,}")


def inline_svg(
    figure: Figure,
    css_class: str,
    name: str,
    tips: Sequence[str] = (),
    tip_at: tuple[float, float] = (0, 0),
    below: Markup | None = None,
    numbers: Sequence[int] = (),
) -> Markup:
    """Draw a figure for the page.

    name: what it is, for whoever does not see it; tips: what each point tells, shown at `tip_at` (pixels from the upper
    left); below: SVG under all that is drawn; numbers: what each point is of.
    """
    root = ElementTree.fromstring(_drawn(figure))
    shapes = {shape.get("id"): shape for shape in root.iter(f"{SVG}path") if shape.get("id")}
    content = ElementTree.Element("g")
    points: dict[str, ElementTree.Element] = {}
    _copy(root.find(f"{SVG}g"), content, shapes, points)
    for number, tip in enumerate(tips):
        _describe(points[f"point-{number}"], shown(tip), tip_at)
    for point, number in enumerate(numbers):
        points[f"point-{point}"].set("data-of", str(number))
    size = " ".join(f"{length * 72:g}" for length in figure.get_size_inches())
    role = "group" if tips else "img"
    inner = "".join(ElementTree.tostring(child, encoding="unicode", short_empty_elements=True) for child in content)
    return Markup('<svg class="{}" viewBox="0 0 {}" role="{}" aria-label="{}">{}{}</svg>').format(
        css_class, size, role, shown(name), below or Markup(), Markup(inner)
    )


def shown(text: str) -> str:
    """Return text as a picture may hold it: what is no character in XML, or turns the direction, is replaced."""
    return NO_XML.sub("\N{REPLACEMENT CHARACTER}", without_controls(text, "\N{REPLACEMENT CHARACTER}"))


@contextmanager
def drawing() -> Iterator[None]:
    """Draw by matplotlib's defaults, with letters as text in SVG, whatever a matplotlibrc of the user's says, and the
    same figure as the same bytes: ids in SVG are drawn at random where no salt is given.
    """
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "neutral-residues"})
        warnings.simplefilter("ignore", UserWarning)  # letters that its own font lacks: the reader's fonts show them
        yield


def _drawn(figure: Figure) -> str:
    buffer = io.StringIO()
    with drawing():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def _copy(
    source: ElementTree.Element | None,
    target: ElementTree.Element,
    shapes: dict[str | None, ElementTree.Element],
    points: dict[str, ElementTree.Element],
) -> None:
    """Copy what is drawn, without definitions, ids, clipping and groups that say nothing."""
    for element in source if source is not None else ():
        tag, gid = element.tag.removeprefix(SVG), element.get("id") or ""
        if tag == "g":
            _copy(element, _group(gid, target, points), shapes, points)
        elif tag == "use":
            shape = shapes[(element.get(LINK) or "")[1:]]
            place = f"translate({_short(element.get('x', '0'))} {_short(element.get('y', '0'))})"
            style = _style(f"{shape.get('style', '')}; {element.get('style', '')}")
            given = {"class": "mark", "transform": place, "d": _path(shape), "style": style}
            ElementTree.SubElement(target, "path", given)
        elif tag == "path" and not element.get("id"):
            ElementTree.SubElement(target, "path", {"d": _path(element), "style": _style(element.get("style", ""))})
        elif tag == "text":
            at = {axis: _short(element.get(axis, "0")) for axis in ("x", "y")}
            made = ElementTree.SubElement(target, "text", {**at, "style": _style(element.get("style", ""))})
            made.text = element.text


def _group(gid: str, target: ElementTree.Element, points: dict[str, ElementTree.Element]) -> ElementTree.Element:
    if gid.startswith("point-"):
        if gid not in points:
            points[gid] = ElementTree.SubElement(target, "g", {"class": "point", "tabindex": "0", "role": "img"})
        return points[gid]
    kind, _, numbers = gid.partition(":")
    given = {"class": kind, "data-of": numbers} if numbers else {"class": kind}
    return ElementTree.SubElement(target, "g", given) if kind in CLASSES else target


def _describe(point: ElementTree.Element, tip: str, tip_at: tuple[float, float]) -> None:
    point.set("aria-label", tip)
    title = ElementTree.Element("title")
    title.text = tip
    point.insert(0, title)
    line = ElementTree.SubElement(point, "text", {"class": "tip", "x": f"{tip_at[0]:g}", "y": f"{tip_at[1]:g}"})
    line.text = tip


def _path(element: ElementTree.Element) -> str:
    return " ".join(_short(element.get("d", "")).split())


def _short(numbers: str) -> str:
    return _LONG.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), numbers)


def _style(style: str) -> str:
    for colour, variable in VARIABLES.items():
        style = style.replace(colour, f"var(--{variable})")
    return _FONT.sub("", style).strip()
