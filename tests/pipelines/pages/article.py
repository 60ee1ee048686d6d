"""A page's article, and what main content makes of a page."""

from resiliparse.parse.html import HTMLTree

from pipelines.pages.extract import main_content
from pipelines.settings import ExtractionSettings
from tests.pipelines.warc_files import ENGLISH, prose

SENTENCES = prose(ENGLISH, 1)
PARAGRAPHS = "".join(f"<p>{line}</p>" for line in SENTENCES.split("\n"))


def text_of(body: str, **options: bool) -> list[str]:
    text = main_content(HTMLTree.parse(f"<html><body>{body}</body></html>"), ExtractionSettings(**options))
    return [line for line in text.split("\n") if line.strip()]
