"""A list of bad words, in C4's format: who leaves for it, what is refused, and what it means for versions."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.settings import CorpusSettings
from pipelines.text import bad_words
from pipelines.text.bad_words import BadWords, read_bad_words
from storage.errors import InputError
from storage.publish import read_manifest
from tests.pipelines.growing_crawl import Crawl, english, funnel
from tests.pipelines.warc_files import Page

LIST = "Gosh\n\nheck no\r\na.b\n(x\n"


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "badwords.txt"
    path.write_text(LIST)
    return path


def saying(seed: int, said: str) -> Page:
    page = english(seed)
    page.body = page.body.replace("</p>", f" {said}</p>", 1)
    return page


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Oh gosh, it rains", True),
        ("GOSH", True),
        ("gosh\nit", True),
        ("goshawks, megagosh, gosh_it", False),  # \w has the underscore
        ("Heck no!", True),
        ("heck  no, heck nose", False),
        ("so a.b it is", True),
        ("so axb it is", False),
        ("f (x) it is", True),
        ("", False),
    ],
)
def test_whole_words_in_any_case_and_no_pattern(text: str, found: bool, words: Path) -> None:
    given_list = read_bad_words("c", settings(bad_words=str(words)))
    assert given_list is not None and given_list.found_in(text) is found


def test_anywhere_where_words_are_not_spaced() -> None:
    assert BadWords(["笨蛋"], "zho").found_in("他是笨蛋吗")
    assert not BadWords(["笨蛋"], "eng").found_in("他是笨蛋吗")


ODD = st.text("abAB_ .é\n|*İς", max_size=12)


@given(st.lists(ODD.map(str.strip).filter(bool), min_size=1, max_size=6), ODD)
def test_it_agrees_with_the_one_expression_of_c4(entries: list[str], text: str) -> None:
    choice = "|".join(re.escape(entry.lower()) for entry in entries)
    expected = re.search(rf"(?:\W|^)({choice})(?:\W|$)", text.lower())
    assert BadWords(entries, "eng").found_in(text) is (expected is not None)


def settings(**fields: Any) -> CorpusSettings:
    return CorpusSettings.model_validate({"language": "eng", "text_domain": "x", "sources": ["s"], **fields})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "`corpora.c.bad_words`: .*list.txt cannot be read"),
        (b"\n \n", "is empty; write a word"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"word\n" * 5, "more than 4 entries"),
        (b"w" * 101, "or 0 MB"),
    ],
)
def test_what_is_refused(content: bytes | None, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad_words, "MAX_WORDS", 4)
    monkeypatch.setattr(bad_words, "MAX_BYTES", 100)
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        read_bad_words("c", settings(bad_words=str(tmp_path / "list.txt")))


def test_documents_leave_by_their_reason_and_another_list_makes_another_version(crawl: Crawl, words: Path) -> None:
    crawl.add(
        "a.warc.gz", [*map(english, range(30)), saying(31, "Gosh!"), saying(32, "A goshawk."), saying(33, "Dash!")]
    )
    plain = crawl.build()
    report = crawl.build("clean", bad_words=str(words))
    assert ("verdict", "bad_words") not in funnel(plain)
    assert funnel(report)["verdict", "bad_words"] == 1
    urls = {row["url"] for row in crawl.read(report, "*-*.parquet")}
    assert english(31).url not in urls and english(32).url in urls
    card = (crawl.workspace.corpus_version("clean", report.version) / "README.md").read_text()
    assert "a word of a list of 4" in card

    elsewhere = words.with_name("moved.txt")
    elsewhere.write_text("\n".join(reversed(LIST.split("\n"))))
    assert crawl.build("clean", bad_words=str(elsewhere)).version == report.version  # neither path nor order is content
    elsewhere.write_text(LIST + "dash\n")
    changed = crawl.build("clean", bad_words=str(elsewhere))
    assert changed.version != report.version
    assert funnel(changed)["verdict", "bad_words"] == 2
    assert read_manifest(crawl.workspace.corpus_version("clean", changed.version))["inputs"]["continues"] is None  # type: ignore[index]
    elsewhere.unlink()
    with pytest.raises(InputError, match=r"`corpora.clean.bad_words`: .*cannot be read"):
        crawl.build("clean", bad_words=str(elsewhere))


def test_a_version_of_before_there_were_lists_stays_valid(crawl: Crawl) -> None:
    crawl.add("a.warc.gz", [*map(english, range(30))])
    report = crawl.build()
    path = crawl.workspace.corpus_version("english", report.version) / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["settings"]["bad_words"], manifest["inputs"]["bad_words"]
    path.write_text(json.dumps(manifest))
    assert crawl.build().reused
    crawl.add("b.warc.gz", [*map(english, range(40, 50))])
    later = crawl.build()
    assert (
        read_manifest(crawl.workspace.corpus_version("english", later.version))["inputs"]["continues"] == report.version
    )  # type: ignore[index]
