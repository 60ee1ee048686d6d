"""Which responses the sample crawl holds, in file order: pages of all pools, copies of them, and what a real crawl has besides."""

import random
import re
from dataclasses import dataclass, replace
from typing import Any

from pipelines.sample_crawl.article import Article, Block, alter, compose
from pipelines.sample_crawl.encodings import UNCOMMON, UNCOMMON_HUNGARIAN, UNDECODABLE, UTF8, Charset
from pipelines.sample_crawl.furniture import FURNITURE
from pipelines.sample_crawl.html import render, site_of
from pipelines.sample_crawl.languages import N, O1, O2, OTHERS, Topic

# Shares of all pages; what these leave is divided among O1, O2, N and the other languages by POOLS.
NEAR_COPIES = {0.5: 24, 0.7: 12, 0.8: 12, 0.9: 24, 0.95: 24}
SPECIAL = {"exact_copy": 24, "short": 18, "wrong_language": 12, "undecodable": 6, "opt_out": 4, "truncated": 3}
PER = 1500
POOLS = ((O1, 0.336), (O2, 0.182), (N, 0.336), (OTHERS, 0.146))
JUNK = {"redirect": 20, "not_found": 20, "non_html": 28}  # in addition to the pages

SITES = (
    "alder", "brook", "cedar", "dale", "elm", "fern", "glen", "hazel", "isle", "juniper", "knoll", "linden", "moor", "nook",
)  # fmt: skip
SITES_OF_OTHERS = SITES[:5]


@dataclass(frozen=True, eq=False)
class Response:
    """One response record to be written, and the truth about it."""

    kind: str
    host: str
    path: str
    status: int = 200
    content_type: str = "text/html"
    charset: Charset = UTF8
    body: bytes = b""
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


def plan(pages: int, seed: int) -> list[Response]:
    """Returns the responses in the order in which they are written: an original always before its copies."""
    source = random.Random(f"{seed}/plan")
    special = {kind: round(share * pages / PER) for kind, share in SPECIAL.items()}
    near = {jaccard: round(share * pages / PER) for jaccard, share in NEAR_COPIES.items()}
    left = pages - sum(special.values()) - sum(near.values())
    originals = [
        _page(topic, number, seed, "page")
        for pool, share in POOLS
        for topic, count in zip(pool, _parts(round(left * share), len(pool)), strict=True)
        for number in range(count)
    ]
    topics = [topic for pool, _ in POOLS[:3] for topic in pool]
    for kind in ("short", "wrong_language", "undecodable", "opt_out", "truncated"):
        originals += [_page(topics[number % len(topics)], 1000 + number, seed, kind) for number in range(special[kind])]
    source.shuffle(originals)
    responses = list(originals)
    of = [response for response in originals if response.kind == "page" and response.topic in {topic.name for topic in topics}]
    source.shuffle(of)
    copies = [jaccard for jaccard, count in near.items() for _ in range(count)] + [1.0] * special["exact_copy"]
    for number, (jaccard, original) in enumerate(zip(copies, of, strict=False)):
        copy = _copy(original, jaccard, number, topics, source)
        responses.insert(source.randint(responses.index(original) + 1, len(responses)), copy)
    for kind, share in JUNK.items():
        for number in range(max(1, round(share * pages / PER))):
            responses.insert(source.randint(0, len(responses)), _junk(kind, number, topics[number % len(topics)], source))
    return responses


def _parts(total: int, parts: int) -> list[int]:
    return [total // parts + (part < total % parts) for part in range(parts)]


def _page(topic: Topic, number: int, seed: int, kind: str) -> Response:
    source = random.Random(f"{seed}/{topic.name}/{number}")
    written = topic
    if kind == "wrong_language":
        written = source.choice([other for other in (*O1, *N, *OTHERS) if other.language != topic.language])
    article = compose(written, source, 28 if kind == "short" else source.choice((220, 230, 240, 250, 260, 280, 300)))
    if kind == "short":
        article = Article(article.title, (Block("p", ((article.paragraphs[0][:300].rsplit(" ", 1)[0] + ".",),)),))
    sites = SITES_OF_OTHERS if topic in OTHERS else SITES
    site = site_of(f"{sites[number % len(sites)]}.{topic.name}.example", topic.language)
    charset = UTF8
    if kind == "undecodable":
        charset = UNDECODABLE[number % len(UNDECODABLE)]
    elif source.random() < 0.2:
        charset = source.choice(UNCOMMON_HUNGARIAN if written.language == "hun" else UNCOMMON)
    opt_out = (("meta", "header")[number % 2]) if kind == "opt_out" else None
    body = charset.encode(render(article, site, charset.meta, "noai, noimageai" if opt_out == "meta" else None, source))
    headers = (("X-Robots-Tag", "noai"),) if opt_out == "header" else ()
    path = f"/{FURNITURE[topic.language]['navigation'][1].lower()[:8]}/{number:04}-{_slug(article.title)}.html"
    return Response(kind, site.host, path, charset=charset, body=body, headers=headers, language=written.language,
                    topic=written.name, article=article, opt_out=opt_out)  # fmt: skip


def _copy(original: Response, jaccard: float, number: int, topics: list[Topic], source: random.Random) -> Response:
    """Returns a copy on another host of the same topic; 1.0 is the same text under another address."""
    topic = next(topic for topic in topics if topic.name == original.topic)
    assert original.article is not None
    article = original.article if jaccard == 1 else alter(original.article, topic, source, jaccard)
    host = source.choice([f"{name}.{topic.name}.example" for name in SITES if not original.host.startswith(name)])
    site = replace(site_of(host, topic.language), template=site_of(original.host, topic.language).template)
    return replace(
        original,
        kind="exact_copy" if jaccard == 1 else "near_copy",
        host=host,
        path=f"/copy/{number:04}-{_slug(article.title)}.html",
        charset=UTF8,
        body=UTF8.encode(render(article, site, "utf-8", None, source)),
        article=article,
        copy_of=original,
        jaccard=jaccard,
    )


def _junk(kind: str, number: int, topic: Topic, source: random.Random) -> Response:
    host = f"{source.choice(SITES)}.{topic.name}.example"
    at: dict[str, Any] = {"kind": kind, "host": host}
    words = FURNITURE[topic.language]
    if kind == "redirect":
        target = f"https://{host}/{source.randint(1, 999)}.html"
        body = f'<html><body><a href="{target}">{target}</a></body></html>'.encode()
        return Response(**at, path=f"/old/{number}", status=301, headers=(("Location", target),), body=body)
    if kind == "not_found":
        article = Article(words["not_found"], (Block("p", ((words["cookies"],),)),))
        body = render(article, site_of(host, topic.language), "utf-8", None, source).encode()
        return Response(**at, path=f"/gone/{number}.html", status=404, body=body, language=topic.language)
    noise = bytes(source.randrange(256) for _ in range(600))
    text = " ".join(compose(topic, source, 150).paragraphs)
    name, content_type, body = (
        ("report.pdf", "application/pdf", b"%PDF-1.4\n" + noise + b"\n%%EOF\n"),
        ("photo.png", "image/png", b"\x89PNG\r\n\x1a\n" + noise),
        ("feed.json", "application/json", ('{"title": "%s", "text": "%s"}' % (host, text)).encode()),
        ("notes.txt", "text/plain", text.encode()),
    )[number % 4]
    return Response(**at, path=f"/files/{number}/{name}", content_type=content_type, body=body)


def _slug(title: str) -> str:
    return "-".join(re.findall(r"[a-z]+", title.lower())[:5])
