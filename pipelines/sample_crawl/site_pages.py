"""The sites' pages: an article within navigation, cookie banner, breadcrumbs, aside and footer, by four layouts.

The layouts are filled with str.format: HTML5, XHTML of divs, a blog, and hand-written HTML.
"""

import random
from dataclasses import dataclass
from html import escape
from typing import Any

from pipelines.sample_crawl.article import Article, Block

HEAD = """{charset}<title>{title} | {site}</title>
<meta name="viewport" content="width=device-width">
{robots}<link rel="stylesheet" href="/static/site.css">
<script>window.page = {{"ready": false}};</script>"""

TEMPLATES = {
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
    "blocks": """<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
  "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
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
<article class="post">
<header><h1 class="entry-title">{title}</h1><div class="post-meta"><time datetime="{date}">{date}</time></div></header>
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


# What the sites say around their articles, by language.


FURNITURE: dict[str, dict[str, Any]] = {
    "eng": {
        "navigation": ["Home", "Articles", "Forum", "Shop", "About us", "Contact"],
        "related": ["Most read", "From the archive", "Readers ask", "Picture of the week"],
        "see_also": "See also",
        "cookies": "We use cookies to make this site work and to count visits. You can change your mind at any time.",
        "accept": "Accept all",
        "refuse": "Only what is needed",
        "rights": "All rights reserved.",
        "legal": "Legal notice",
        "not_found": "Page not found",
    },
    "fra": {
        "navigation": ["Accueil", "Articles", "Forum", "Boutique", "Qui sommes-nous", "Contact"],
        "related": ["Les plus lus", "Dans nos archives", "Questions des lecteurs", "Photo de la semaine"],
        "see_also": "Voir aussi",
        "cookies": "Nous utilisons des cookies pour le bon fonctionnement du site et pour compter les visites.",
        "accept": "Tout accepter",
        "refuse": "Continuer sans accepter",
        "rights": "Tous droits réservés.",
        "legal": "Mentions légales",
        "not_found": "Page introuvable",
    },
    "deu": {
        "navigation": ["Startseite", "Beiträge", "Forum", "Laden", "Über uns", "Kontakt"],
        "related": ["Meistgelesen", "Aus dem Archiv", "Leserfragen", "Bild der Woche"],
        "see_also": "Siehe auch",
        "cookies": "Wir verwenden Cookies, damit diese Seite funktioniert. Sie können Ihre Wahl jederzeit ändern.",
        "accept": "Alle annehmen",
        "refuse": "Nur notwendige",
        "rights": "Alle Rechte vorbehalten.",
        "legal": "Impressum",
        "not_found": "Seite nicht gefunden",
    },
    "spa": {
        "navigation": ["Inicio", "Artículos", "Foro", "Tienda", "Quiénes somos", "Contacto"],
        "related": ["Lo más leído", "Del archivo", "Preguntas de lectores", "Foto de la semana"],
        "see_also": "Véase también",
        "cookies": "Usamos cookies para que el sitio funcione y para contar las visitas. Puede cambiar de opinión.",
        "accept": "Aceptar todo",
        "refuse": "Solo las necesarias",
        "rights": "Todos los derechos reservados.",
        "legal": "Aviso legal",
        "not_found": "Página no encontrada",
    },
    "hun": {
        "navigation": ["Kezdőlap", "Cikkek", "Fórum", "Bolt", "Rólunk", "Kapcsolat"],
        "related": ["Legolvasottabb", "Az archívumból", "Olvasóink kérdezik", "A hét képe"],
        "see_also": "Lásd még",
        "cookies": "Az oldal működéséhez sütiket használunk. Döntését bármikor megváltoztathatja.",
        "accept": "Elfogadom",
        "refuse": "Csak a szükségeseket",
        "rights": "Minden jog fenntartva.",
        "legal": "Impresszum",
        "not_found": "Az oldal nem található",
    },
    "dan": {
        "navigation": ["Forside", "Artikler", "Forum", "Butik", "Om os", "Kontakt"],
        "related": ["Mest læste", "Fra arkivet", "Læserne spørger", "Ugens billede"],
        "see_also": "Se også",
        "cookies": "Vi bruger cookies, så siden virker, og for at tælle besøg. Du kan altid ændre dit valg.",
        "accept": "Accepter alle",
        "refuse": "Kun nødvendige",
        "rights": "Alle rettigheder forbeholdes.",
        "legal": "Juridisk meddelelse",
        "not_found": "Siden findes ikke",
    },
}


@dataclass(frozen=True)
class Site:
    """A host and what all its pages share. language is the site's own; a page may be written in another."""

    host: str
    name: str
    language: str
    template: str


def site_of(host: str, language: str) -> Site:
    """Return the site of a host, the same at each call."""
    source = random.Random(f"site/{host}")
    return Site(host, host.split(".")[0].capitalize(), language, source.choice(list(TEMPLATES)))


def render(article: Article, site: Site, meta_charset: str | None, robots: str | None, source: random.Random) -> str:
    """Return the page's HTML.

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
