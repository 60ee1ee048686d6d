"""The sites' pages: an article within navigation, cookie banner, breadcrumbs, aside and footer, by four templates."""

import random
from dataclasses import dataclass
from html import escape

from pipelines.sample_crawl.article import Article, Block
from pipelines.sample_crawl.layouts import FURNITURE, HEAD, TEMPLATES


@dataclass(frozen=True)
class Site:
    """A host and what all its pages share. language is the site's own; a page may be written in another."""

    host: str
    name: str
    language: str
    template: str


def site_of(host: str, language: str) -> Site:
    """Returns the site of a host, the same at each call."""
    source = random.Random(f"site/{host}")
    return Site(host, host.split(".")[0].capitalize(), language, source.choice(list(TEMPLATES)))


def render(article: Article, site: Site, meta_charset: str | None, robots: str | None, source: random.Random) -> str:
    """Returns the page's HTML.

    Args:
        meta_charset: the charset that the page's head names, if it names one (true or not).
        robots: content of a robots meta element, if there is one.
        source: chooses the furniture that differs from page to page: dates, links, counters.
    """
    words = FURNITURE[site.language]
    section = words["navigation"][1]
    nav = "".join(f'<li><a href="/{at}/">{label}</a></li>' for at, label in enumerate(words["navigation"]))
    related = "".join(f'<li><a href="/{source.randint(1, 999)}">{label}</a></li>' for label in words["related"])
    buttons = "".join(f'<button type="button">{words[answer]}</button>' for answer in ("accept", "refuse"))
    year = source.randint(2015, 2026)
    parts = {
        "language": site.language[:2],
        "charset": f'<meta charset="{meta_charset}">\n' if meta_charset else "",
        "robots": f'<meta name="robots" content="{robots}">\n' if robots else "",
        "site": site.name,
        "nav": f"<ul>{nav}</ul>",
        "crumbs": f'<a href="/">{site.name}</a> &gt; <a href="/1/">{section}</a>',
        "cookies": words["cookies"] + buttons,
        "title": escape(article.title),
        "body": "\n".join(_block(block) for block in article.blocks),
        "related": f"<h3>{words['see_also']}</h3><ul>{related}</ul>",
        "footer": f'© {year} {site.name}. {words["rights"]} <a href="/legal">{words["legal"]}</a>',
        "date": f"{year}-{source.randint(1, 12):02}-{source.randint(1, 28):02}",
    }
    return TEMPLATES[site.template].format(**parts, head=HEAD.format(**parts))


def _block(block: Block) -> str:
    if block.kind == "ul":
        return "<ul>" + "".join(f"<li>{escape(item, quote=False)}</li>" for (item,) in block.rows) + "</ul>"
    if block.kind == "table":
        rows = ("".join(f"<td>{escape(cell, quote=False)}</td>" for cell in row) for row in block.rows)
        return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"
    return f"<{block.kind}>{escape(block.rows[0][0], quote=False)}</{block.kind}>"
