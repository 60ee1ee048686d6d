"""Main content: what is left of a page, and what of its ends."""

from resiliparse.parse.html import HTMLTree

from pipelines.extract import main_content
from pipelines.settings import ExtractionSettings
from tests.pipelines.warc_files import ENGLISH, prose

SENTENCES = prose(ENGLISH, 1)
PARAGRAPHS = "".join(f"<p>{line}</p>" for line in SENTENCES.split("\n"))


def text_of(body: str, **options: bool) -> list[str]:
    text = main_content(HTMLTree.parse(f"<html><body>{body}</body></html>"), ExtractionSettings(**options))
    return [line for line in text.split("\n") if line.strip()]


def test_furniture_inside_the_article_goes() -> None:
    around = (
        "<header><p>The site of the garden, every day something new to read here.</p></header><h1>A headline</h1>"
        "<figure><img><figcaption>A wall, seen from the garden behind the house.</figcaption></figure>"
        "<div class='wp-caption-text'>Another wall, seen from the street, in spring.</div>"
    )
    below = (
        "<div class='Newsletter cookie-banner'>We use cookies. Read more about it in our policy.</div>"
        "<footer>All rights reserved, whatever happens to this page or others.</footer>"
    )
    assert text_of(f"<article>{around}{PARAGRAPHS}{below}</article>") == SENTENCES.split("\n")


def test_a_word_of_furniture_in_the_class_of_the_page_itself_means_nothing() -> None:
    body = f"<main class='cookie-consent-given'><article class='newsletter'>{PARAGRAPHS}</article></main>"
    assert text_of(body) == SENTENCES.split("\n")


def test_a_page_that_stands_in_its_furniture_is_read() -> None:
    assert text_of(f"<header>{PARAGRAPHS}</header>") == SENTENCES.split("\n")


def test_short_lines_at_the_ends_go_lists_and_inner_headings_stay() -> None:
    article = f"<p>By somebody</p><p>3 May</p>{PARAGRAPHS}<h2>Inside</h2>{PARAGRAPHS}<p>Share</p><p>Next page</p>"
    expected = [*SENTENCES.split("\n"), "Inside", *SENTENCES.split("\n")]
    assert text_of(f"<article>{article}</article>") == expected
    recipe = "".join(f"<p>{count} grams of flour number {count}</p>" for count in range(20))
    assert len(text_of(f"<article>{PARAGRAPHS}{recipe}</article>")) == len(SENTENCES.split("\n")) + 20


def test_a_page_without_a_sentence_keeps_its_lines() -> None:
    lines = [f"Roses are red number {number}" for number in range(20)]
    assert text_of("<article>" + "".join(f"<p>{line}</p>" for line in lines) + "</article>") == lines
