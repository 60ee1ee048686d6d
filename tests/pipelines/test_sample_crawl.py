"""The sample crawl holds what its truth says: texts, similarities, languages, charsets and defects."""

import gzip
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from hypothesis import given, settings
from hypothesis import strategies as st
from resiliparse.extract.html2text import extract_plain_text

from pipelines.sample_crawl import write_sample_crawl
from pipelines.sample_crawl.article import TOPICS
from storage.errors import InputError

O1 = ("garden", "kitchen", "workshop")
O2 = ("observatory",)
N = ("jardin", "cuisine", "voyage")
ISO_639_3 = {"en": "eng", "fr": "fra", "de": "deu", "es": "spa", "hu": "hun", "da": "dan"}


@dataclass
class Crawl:
    folder: Path
    truth: list[dict[str, Any]]
    payloads: dict[str, bytes]
    headers: dict[str, dict[str, str]]

    def text(self, row: dict[str, Any]) -> str:
        """The page's main content, as a reader who knows its charset gets it."""
        return extract_plain_text(self.payloads[row["record_id"]].decode(row["charset"]), main_content=True)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.warc.gz"))


def records(folder: Path) -> Iterator[Any]:
    for path in files(folder):
        yield from ArchiveIterator(str(path))


def read(folder: Path) -> Crawl:
    truth = [json.loads(line) for line in (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    crawl = Crawl(folder, truth, {}, {})
    for record in records(folder):
        if record.record_type == WarcRecordType.response:
            record_id = record.headers["WARC-Record-ID"]
            crawl.payloads[record_id] = record.reader.read()
            crawl.headers[record_id] = {name.lower(): value for name, value in record.http_headers.to_tuples()}
    return crawl


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Crawl:
    folder = tmp_path_factory.mktemp("sample")
    write_sample_crawl(folder)
    return read(folder)


@pytest.fixture(scope="module")
def texts(crawl: Crawl) -> dict[str, str]:
    """Main content by record id, of all pages that can be decoded and are whole."""
    return {
        row["record_id"]: crawl.text(row)
        for row in crawl.truth
        if row["text"] and row["decodable"] and row["kind"] != "truncated"
    }


@pytest.fixture(scope="module")
def shingles(texts: dict[str, str]) -> dict[str, set[tuple[str, ...]]]:
    def of(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[at : at + 5]) for at in range(len(words) - 4)}

    return {record_id: of(text) for record_id, text in texts.items()}


def jaccard(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
    return len(one & other) / len(one | other)


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        write_sample_crawl(tmp_path / name, pages=60, seed=seed)
    written = {name: [p.read_bytes() for p in sorted((tmp_path / name).iterdir())] for name in ("one", "two", "other")}
    assert written["one"] == written["two"]
    assert all(one != other for one, other in zip(written["one"], written["other"], strict=True))
    assert {p.name for p in (tmp_path / "one").iterdir()} == {*(p.name for p in files(tmp_path / "one")), "truth.jsonl"}


def test_every_record_is_a_gzip_member_of_its_own_and_reads_alone(crawl: Crawl) -> None:
    for path in files(crawl.folder):
        whole = path.read_bytes()
        offsets = [record.stream_pos for record in ArchiveIterator(str(path))]
        for begin, end in zip(offsets, [*offsets[1:], len(whole)], strict=True):
            block = gzip.decompress(whole[begin:end])
            assert block.startswith(b"WARC/1.1\r\n") and block.count(b"\r\nWARC-Record-ID:") == 1
    kinds = {record.headers["WARC-Type"] for record in records(crawl.folder)}
    assert kinds == {"warcinfo", "request", "response", "metadata"}
    firsts = [next(iter(ArchiveIterator(str(path)))) for path in files(crawl.folder)]
    assert len(firsts) > 1 and all(record.record_type == WarcRecordType.warcinfo for record in firsts)


def test_digests_of_all_records_hold(crawl: Crawl) -> None:
    hold = [
        record.verify_block_digest()
        for path in files(crawl.folder)
        for record in ArchiveIterator(str(path), parse_http=False)
    ]
    assert len(hold) > len(crawl.truth) and all(hold)


def test_the_truth_lists_the_responses_in_order(crawl: Crawl) -> None:
    assert [row["record_id"] for row in crawl.truth] == list(crawl.payloads)
    by_id = {row["record_id"]: row for row in crawl.truth}
    for record in records(crawl.folder):
        if record.record_type == WarcRecordType.response:
            row = by_id[record.headers["WARC-Record-ID"]]
            assert record.headers["WARC-Target-URI"] == row["url"] and row["host"] in row["url"]
            assert record.http_headers.status_code == row["status"]
            assert record.http_content_type == row["content_type"]
    assert len({row["url"] for row in crawl.truth}) == len(crawl.truth)


def test_every_pool_has_its_pages_on_many_hosts(crawl: Crawl) -> None:
    pages = defaultdict(list)
    for row in crawl.truth:
        if row["kind"] == "page":
            pages[row["topic"]].append(row)
    for topic in (*O1, *O2, *N):
        assert len({row["host"] for row in pages[topic]}) >= 10
        assert {row["host"].split(".", 1)[1] for row in pages[topic]} == {f"{topic}.example"}
        assert {row["language"] for row in pages[topic]} == {"fra" if topic in N else "eng"}
        assert min(len(row["text"]) for row in pages[topic]) >= 800
    counts = [sum(len(pages[topic]) for topic in pool) for pool in (O1, O2, N)]
    assert counts[0] >= 440 and counts[1] >= 220 and counts[2] >= 440
    others = {row["language"] for topic in pages.keys() - {*O1, *O2, *N} for row in pages[topic]}
    assert others == {"deu", "spa", "hun", "dan"}


def test_the_smallest_crawl_has_some_of_every_pool(tmp_path: Path) -> None:
    write_sample_crawl(tmp_path, pages=20)
    rows = [row for row in read(tmp_path).truth if row["kind"] == "page"]
    assert len(rows) == 20
    for pool in (O1, O2, N):
        assert len({row["host"] for row in rows if row["topic"] in pool}) >= 4
    with pytest.raises(InputError, match="at least 20 pages"):
        write_sample_crawl(tmp_path, pages=19)


def test_main_content_is_the_article_and_nothing_of_its_site(crawl: Crawl, texts: dict[str, str]) -> None:
    furniture = re.compile(r"cookie|sütik|\|\s*Alder|©|Forum|Foro\b|Fórum")
    assert len(texts) > 0.9 * len(crawl.truth)
    for row in crawl.truth:
        if row["record_id"] in texts:
            text = texts[row["record_id"]]
            assert text.startswith(row["title"]) and not furniture.search(text)
            assert all(paragraph in text for paragraph in row["text"].split("\n\n"))


def test_unrelated_pages_are_unlike(crawl: Crawl, shingles: dict[str, set[tuple[str, ...]]]) -> None:
    original = {row["record_id"]: row["copy_of"] or row["record_id"] for row in crawl.truth}
    holders = defaultdict(list)
    for record_id, of_page in shingles.items():
        for shingle in of_page:
            holders[shingle].append(record_id)
    pairs = {pair for together in holders.values() for pair in itertools.combinations(together, 2)}
    unrelated = [(one, other) for one, other in pairs if original[one] != original[other]]
    assert len(unrelated) > 100
    assert max(jaccard(shingles[one], shingles[other]) for one, other in unrelated) < 0.05


def test_copies_are_as_alike_as_they_say_and_come_after_their_originals(
    crawl: Crawl, texts: dict[str, str], shingles: dict[str, set[tuple[str, ...]]]
) -> None:
    order = {row["record_id"]: at for at, row in enumerate(crawl.truth)}
    by_id = {row["record_id"]: row for row in crawl.truth}
    copies = [row for row in crawl.truth if row["copy_of"]]
    for row in copies:
        one, other = row["record_id"], row["copy_of"]
        assert order[other] < order[one] and by_id[other]["copy_of"] is None
        assert jaccard(shingles[one], shingles[other]) == pytest.approx(row["jaccard"], abs=0.02)
        assert (row["kind"] == "exact_copy") == (texts[one] == texts[other]) == (row["jaccard"] == 1)
        # The same corpus, another site: a split by host may part them.
        assert row["host"] != by_id[other]["host"] and row["host"].split(".")[1:] == by_id[other]["host"].split(".")[1:]
    assert len({row["copy_of"] for row in copies}) == len(copies)
    counts = {value: sum(row["jaccard"] == value for row in copies) for value in (0.5, 0.7, 0.8, 0.9, 0.95, 1)}
    assert counts == {0.5: 24, 0.7: 12, 0.8: 12, 0.9: 24, 0.95: 24, 1: 24}


@pytest.mark.shared
def test_fasttext_sees_the_language_that_the_truth_says(crawl: Crawl, texts: dict[str, str], shared_data: Path) -> None:
    import fasttext

    model = fasttext.load_model(str(shared_data / "lid" / "lid.176.ftz"))
    languages = {row["record_id"]: row["language"] for row in crawl.truth}
    long = {record_id: text.replace("\n", " ")[:2000] for record_id, text in texts.items() if len(text) >= 500}
    right = 0
    for record_id, text in long.items():
        ((score, label),) = model.f.predict(text + "\n", 1, 0.0, "strict")
        right += score >= 0.8 and ISO_639_3.get(label.removeprefix("__label__")) == languages[record_id]
    assert right >= 0.98 * len(long) and len(long) > 1400


def test_charsets_are_declared_as_the_truth_says(crawl: Crawl) -> None:
    seen = set()
    for row in crawl.truth:
        if row["text"] is None:
            continue
        content_type = crawl.headers[row["record_id"]]["content-type"]
        header = row["charset_in_header"]
        assert content_type == ("text/html" + (f"; charset={header}" if header else ""))
        head = crawl.payloads[row["record_id"]].replace(b"\0", b"")[:2000]
        meta = row["charset_in_meta"]
        assert (b"<meta charset=" in head) == bool(meta) and (not meta or f'charset="{meta}"'.encode() in head)
        # A page that is all ASCII would be the same in any charset.
        assert row["kind"] == "truncated" or not crawl.payloads[row["record_id"]].isascii()
        seen.add((row["charset"], header, meta))
    assert {("iso-8859-1", "utf-8", None), ("utf-8", None, None), ("utf-8", "iso-8859-1", None)} <= seen
    assert {("windows-1252", None, "windows-1252"), ("windows-1252", None, None)} <= seen


def test_defects_are_what_they_are_called(crawl: Crawl, texts: dict[str, str]) -> None:
    kinds = defaultdict(list)
    for row in crawl.truth:
        kinds[row["kind"]].append(row)
    for row in kinds["truncated"]:
        assert len(crawl.payloads[row["record_id"]]) < int(crawl.headers[row["record_id"]]["content-length"])
    assert all(len(texts[row["record_id"]]) < 500 for row in kinds["short"] if row["record_id"] in texts)
    assert {row["opt_out"] for row in kinds["opt_out"]} == {"meta", "header"}
    for row in kinds["opt_out"]:
        in_header = crawl.headers[row["record_id"]].get("x-robots-tag") == "noai"
        in_meta = b'<meta name="robots" content="noai' in crawl.payloads[row["record_id"]]
        assert (in_header, in_meta) == (row["opt_out"] == "header", row["opt_out"] == "meta")
    for row in kinds["wrong_language"]:
        assert row["host"].split(".")[1] != row["topic"]
    assert {row["content_type"] for row in kinds["non_html"]} == {
        "application/pdf", "image/png", "application/json", "text/plain",
    }  # fmt: skip
    assert {row["status"] for row in kinds["redirect"]} == {301}
    assert {row["status"] for row in kinds["not_found"]} == {404}
    assert kinds["undecodable"] and all(not row["decodable"] for row in kinds["undecodable"])


def test_no_rule_of_a_grammar_has_five_words_in_a_row_without_a_slot() -> None:
    for topic in TOPICS.values():
        for name, alternatives in topic.grammar.rules.items():
            literals = [
                part for variants in alternatives for parts in variants for part in parts if isinstance(part, str)
            ]
            assert all(len(re.findall(r"[\w'-]+", literal)) < 5 for literal in literals), (topic.name, name)


@settings(max_examples=15)
@given(pages=st.integers(20, 90), seed=st.integers(0, 2**32))
def test_any_size_has_that_many_pages(tmp_path_factory: pytest.TempPathFactory, pages: int, seed: int) -> None:
    folder = tmp_path_factory.mktemp("any")
    write_sample_crawl(folder, pages=pages, seed=seed)
    crawl = read(folder)
    assert sum(row["text"] is not None for row in crawl.truth) == pages
    assert [row["record_id"] for row in crawl.truth] == list(crawl.payloads)
