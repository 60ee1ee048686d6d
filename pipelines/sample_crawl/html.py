"""The sites' pages: an article within navigation, cookie banner, breadcrumbs, aside and footer, by four templates."""

import random
from dataclasses import dataclass
from html import escape

from pipelines.sample_crawl.article import Article, Block
from pipelines.sample_crawl.furniture import FURNITURE

TEMPLATES = ("semantic", "blocks", "blog", "plain")


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
    return Site(host, host.split(".")[0].capitalize(), language, source.choice(TEMPLATES))


def render(article: Article, site: Site, meta_charset: str | None, robots: str | None, source: random.Random) -> str:
    """Returns the page's HTML.

    Args:
        meta_charset: the charset that the page's head names, if it names one (true or not).
        robots: content of a robots meta element, if there is one.
        source: chooses the furniture that differs from page to page: dates, links, counters.
    """
    words = FURNITURE[site.language]
    head = [f'<meta charset="{meta_charset}">'] if meta_charset else []
    head += [f"<title>{escape(article.title)} | {site.name}</title>", '<meta name="viewport" content="width=device-width">']
    head += [f'<meta name="robots" content="{robots}">'] if robots else []
    head += ['<link rel="stylesheet" href="/static/site.css">', "<script>window.page = {ready: false};</script>"]
    nav = "".join(f'<li><a href="/{at}/">{label}</a></li>' for at, label in enumerate(words["navigation"]))
    date = f"{source.randint(1, 28):02}.{source.randint(1, 12):02}.{source.randint(2015, 2025)}"
    related = "".join(f'<li><a href="/{source.randint(1, 999)}">{label} {source.randint(1, 99)}</a></li>' for label in words["related"])
    parts = {
        "language": site.language[:2],
        "head": "\n".join(head),
        "nav": f"<ul>{nav}</ul>",
        "crumbs": f'<a href="/">{site.name}</a> &gt; <a href="/{words["navigation"][1].lower()}">{words["navigation"][1]}</a>',
        "cookies": f'{words["cookies"]} <button type="button">{words["accept"]}</button> <button type="button">{words["refuse"]}</button>',
        "title": escape(article.title),
        "body": "\n".join(_block(block) for block in article.blocks),
        "related": f'<h3>{words["see_also"]}</h3><ul>{related}</ul>',
        "footer": f'&copy; {source.randint(2018, 2026)} {site.name}. {words["rights"]} <a href="/legal">{words["legal"]}</a>',
        "date": date,
    }
    return _LAYOUTS[site.template].format(**parts)


def _block(block: Block) -> str:
    if block.kind == "ul":
        return "<ul>" + "".join(f"<li>{escape(item, quote=False)}</li>" for (item,) in block.rows) + "</ul>"
    if block.kind == "table":
        rows = ("".join(f"<td>{escape(cell, quote=False)}</td>" for cell in row) for row in block.rows)
        return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"
    return f"<{block.kind}>{escape(block.rows[0][0], quote=False)}</{block.kind}>"


_LAYOUTS = {
    "semantic": """<!DOCTYPE html>
<html lang="{language}"><head>
{head}
</head><body>
<div id="cookie-banner" class="cookie-banner" role="dialog">{cookies}</div>
<header class="site-header"><nav class="main-nav">{nav}</nav></header>
<nav class="breadcrumbs" aria-label="breadcrumb">{crumbs}</nav>
<main><article>
<h1>{title}</h1>
{body}
</article></main>
<aside class="sidebar">{related}</aside>
<footer class="site-footer">{footer}</footer>
</body></html>
""",
    "blocks": """<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" lang="{language}"><head>
{head}
</head><body>
<div id="header"><div id="menu" class="navigation">{nav}</div></div>
<div class="breadcrumb">{crumbs}</div>
<div id="wrapper">
<div id="sidebar" class="sidebar">{related}</div>
<div id="content" class="content">
<h1>{title}</h1>
{body}
</div></div>
<div id="footer" class="footer">{footer}</div>
<div class="cookie-consent" id="cookies">{cookies}</div>
</body></html>
""",
    "blog": """<!DOCTYPE html>
<html lang="{language}"><head>
{head}
</head><body class="single-post">
<header role="banner"><nav role="navigation">{nav}</nav></header>
<div class="container"><main id="main" role="main">
<article class="post"><header><h1 class="entry-title">{title}</h1><div class="post-meta"><time datetime="{date}">{date}</time></div></header>
<div class="entry-content">
{body}
</div></article>
<section class="related-posts">{related}</section>
</main></div>
<footer role="contentinfo">{footer}</footer>
<div class="gdpr-cookie-notice">{cookies}</div>
</body></html>
""",
    "plain": """<html><head>
{head}
</head><body>
<div class="nav">{nav}</div>
<div class="main">
<h1>{title}</h1>
{body}
</div>
<div class="footer">{footer}</div>
</body></html>
""",
}
