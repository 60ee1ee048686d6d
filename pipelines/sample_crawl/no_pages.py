"""Responses that hold no page: redirects, errors, and files that are not HTML."""

import json
import random

from pipelines.sample_crawl.article import Article, Block, compose
from pipelines.sample_crawl.charsets import UTF8
from pipelines.sample_crawl.furniture import FURNITURE
from pipelines.sample_crawl.html import render, site_of
from pipelines.sample_crawl.responses import SITES, Response
from pipelines.sample_crawl.topics import Topic

NOT_HTML = (
    ("report.pdf", "application/pdf"),
    ("photo.png", "image/png"),
    ("feed.json", "application/json"),
    ("notes.txt", "text/plain"),
)


def redirect(topic: Topic, number: int, source: random.Random) -> Response:
    """Returns a 301 with the usual one-line body."""
    host = f"{source.choice(SITES)}.{topic.name}.example"
    target = f"https://{host}/{source.randint(1, 999)}.html"
    body = f'<html><body><a href="{target}">{target}</a></body></html>'.encode()
    return Response("redirect", host, f"/old/{number}", body, status=301, headers=(("Location", target),))


def not_found(topic: Topic, number: int, source: random.Random) -> Response:
    """Returns a 404 in the site's own layout."""
    site = site_of(f"{source.choice(SITES)}.{topic.name}.example", topic.language)
    words = FURNITURE[topic.language]
    article = Article(words["not_found"], (Block("p", ((words["cookies"],),)),))
    body = UTF8.encode(render(article, site, UTF8.meta, None, source))
    return Response("not_found", site.host, f"/gone/{number}.html", body, status=404, language=topic.language)


def not_html(topic: Topic, number: int, source: random.Random) -> Response:
    """Returns a PDF, a picture, JSON or plain text, in turn."""
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
