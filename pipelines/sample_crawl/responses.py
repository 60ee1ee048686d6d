"""The responses that a sample crawl is made of: pages and their copies, in charsets right, missing or wrong."""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from pipelines.sample_crawl.article import O1, OTHERS, TOPICS, Article, Block, N, Topic, alter, compose
from pipelines.sample_crawl.site_pages import FURNITURE, render, site_of


@dataclass(frozen=True)
class Charset:
    """A page's charset: `written` is the truth; `header` and `meta` are what the server and the page's head claim.

    decodable says whether a careful reader (declared charset if the bytes allow it, else detection) gets the text.
    """

    written: str
    header: str | None
    meta: str | None
    decodable: bool = True

    def encode(self, html: str) -> bytes:
        """Return the page's bytes; characters that the charset lacks become character references."""
        if self.written in _BROKEN:
            return _BROKEN[self.written](html)
        return html.encode(self.written, "xmlcharrefreplace")


def _mixed(html: str) -> bytes:
    middle = len(html) // 2
    return html[:middle].encode("cp1252", "xmlcharrefreplace") + html[middle:].encode("utf-8")


_BROKEN: dict[str, Callable[[str], bytes]] = {
    "mixed": _mixed,  # half windows-1252, half UTF-8
    "twice": lambda html: html.encode().decode("latin-1").encode(),  # UTF-8 read as latin-1, written again
    "utf-16-le": lambda html: html.encode("utf-16-le"),  # without a byte order mark, under another name
}

UTF8 = Charset("utf-8", "utf-8", "utf-8")

# Decodable ones that are not the common case.
UNCOMMON = (
    Charset("utf-8", "utf-8", None),
    Charset("utf-8", None, "utf-8"),
    Charset("utf-8", None, None),
    Charset("iso-8859-1", "iso-8859-1", "iso-8859-1"),
    Charset("windows-1252", None, "windows-1252"),
    Charset("windows-1252", "windows-1252", None),
    Charset("iso-8859-1", "utf-8", None),
    Charset("iso-8859-1", "utf-8", "utf-8"),
    Charset("windows-1252", None, None),
    Charset("utf-8", "iso-8859-1", None),
    Charset("utf-8", "iso-8859-1", "utf-8"),
    Charset("utf-8", "utf-8", "iso-8859-1"),
)
UNCOMMON_HUNGARIAN = (
    Charset("iso-8859-2", "iso-8859-2", None),
    Charset("iso-8859-2", None, "iso-8859-2"),
    Charset("utf-8", None, None),
)
UNDECODABLE = (
    Charset("mixed", "utf-8", "utf-8", decodable=False),
    Charset("twice", "utf-8", None, decodable=False),
    Charset("utf-16-le", "x-sample", None, decodable=False),
)


SITES = [
    "alder",
    "brook",
    "cedar",
    "dale",
    "elm",
    "fern",
    "glen",
    "hazel",
    "isle",
    "ivy",
    "knoll",
    "moor",
    "oak",
    "pine",
]
SITES_OF_OTHERS = SITES[:5]
WORDS = (220, 230, 240, 250, 260, 280, 300)
WORDS_OF_SHORT_PAGES = 28
UNCOMMON_CHARSETS = 0.2  # share of the pages


@dataclass(frozen=True, eq=False)
class Response:
    """A response to be written and the truth about it; jaccard is that of its text and the text of `copy_of`."""

    kind: str
    host: str
    path: str
    body: bytes
    status: int = 200
    content_type: str = "text/html"
    charset: Charset = UTF8
    headers: tuple[tuple[str, str], ...] = ()
    language: str | None = None
    topic: str | None = None
    article: Article | None = None
    copy_of: "Response | None" = None
    jaccard: float | None = None
    opt_out: str | None = None

    @property
    def url(self) -> str:
        return f"https://{self.host}{self.path}"


def page(topic: Topic, number: int, seed: int, kind: str) -> Response:
    """Return the page of that number among a topic's pages of a kind: page, short, wrong_language (of its site),
    undecodable, opt_out (by meta element or header in turn) or truncated."""
    source = random.Random(f"{seed}/{topic.name}/{kind}/{number}")
    written = topic
    if kind == "wrong_language":
        written = source.choice([other for other in (*O1, *N, *OTHERS) if other.language != topic.language])
    article = compose(written, source, WORDS_OF_SHORT_PAGES if kind == "short" else source.choice(WORDS))
    if kind == "short":
        text = article.paragraphs[0][:300].rsplit(" ", 1)[0] + "."
        article = Article(article.title, (Block("p", ((text,),)),))
    charset = UTF8
    if kind == "undecodable":
        charset = UNDECODABLE[number % len(UNDECODABLE)]
    elif source.random() < UNCOMMON_CHARSETS:
        charset = source.choice(UNCOMMON_HUNGARIAN if written.language == "hun" else UNCOMMON)
    opt_out = ("meta", "header")[number % 2] if kind == "opt_out" else None
    sites = SITES_OF_OTHERS if topic in OTHERS else SITES
    site = site_of(f"{sites[number % len(sites)]}.{topic.name}.example", topic.language)
    return Response(
        kind,
        site.host,
        f"/{kind}/{number:04}-{_slug(article.title)}.html",
        charset.encode(render(article, site, charset.meta, "noai, noimageai" if opt_out == "meta" else None, source)),
        charset=charset,
        headers=(("X-Robots-Tag", "noai"),) if opt_out == "header" else (),
        language=written.language,
        topic=written.name,
        article=article,
        opt_out=opt_out,
    )


def copy(original: Response, jaccard: float, number: int, source: random.Random) -> Response:
    """Return a copy of a page on another host of its topic, as alike as said; 1.0: the same text, another address."""
    topic = TOPICS[original.topic or ""]
    assert original.article is not None, "only a page can be copied"
    article = original.article if jaccard == 1 else alter(original.article, topic, source, jaccard)
    others = [f"{name}.{topic.name}.example" for name in SITES if not original.host.startswith(f"{name}.")]
    # The original's template: what an extractor makes of the furniture is the same for both.
    site = replace(site_of(source.choice(others), topic.language), template=site_of(original.host, "").template)
    return Response(
        "exact_copy" if jaccard == 1 else "near_copy",
        site.host,
        f"/copy/{number:04}-{_slug(article.title)}.html",
        UTF8.encode(render(article, site, UTF8.meta, None, source)),
        language=original.language,
        topic=original.topic,
        article=article,
        copy_of=original,
        jaccard=jaccard,
    )


def _slug(title: str) -> str:
    return "-".join(re.findall(r"[a-z]+", title.lower())[:5])


# Responses that hold no page: redirects, errors, and files that are not HTML.


NOT_HTML = (
    ("report.pdf", "application/pdf"),
    ("photo.png", "image/png"),
    ("feed.json", "application/json"),
    ("notes.txt", "text/plain"),
)


def redirect(topic: Topic, number: int, source: random.Random) -> Response:
    """Return a 301 with the usual one-line body."""
    host = f"{source.choice(SITES)}.{topic.name}.example"
    target = f"https://{host}/{source.randint(1, 999)}.html"
    body = f'<html><body><a href="{target}">{target}</a></body></html>'.encode()
    return Response("redirect", host, f"/old/{number}", body, status=301, headers=(("Location", target),))


def not_found(topic: Topic, number: int, source: random.Random) -> Response:
    """Return a 404 in the site's own layout."""
    site = site_of(f"{source.choice(SITES)}.{topic.name}.example", topic.language)
    words = FURNITURE[topic.language]
    article = Article(words["not_found"], (Block("p", ((words["cookies"],),)),))
    body = UTF8.encode(render(article, site, UTF8.meta, None, source))
    return Response("not_found", site.host, f"/gone/{number}.html", body, status=404, language=topic.language)


def not_html(topic: Topic, number: int, source: random.Random) -> Response:
    """Return a PDF, a picture, JSON or plain text, in turn."""
    name, content_type = NOT_HTML[number % len(NOT_HTML)]
    noise = source.randbytes(600)
    text = " ".join(compose(topic, source, 150).paragraphs)
    body = {
        "report.pdf": b"%PDF-1.4\n" + noise + b"\n%%EOF\n",
        "photo.png": b"\x89PNG\r\n\x1a\n" + noise,
        "feed.json": json.dumps({"text": text}).encode(),
        "notes.txt": text.encode(),
    }[name]
    host = f"{source.choice(SITES)}.{topic.name}.example"
    return Response("non_html", host, f"/files/{number}/{name}", body, content_type=content_type)
