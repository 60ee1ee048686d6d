"""From documents to versions of a corpus."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.settings import DocumentSettings
from storage.errors import InputError
from storage.publish import is_done
from storage.workspace import Workspace
from tests.pipelines.growing_crawl import Crawl, WriteWarc, english, funnel
from tests.pipelines.warc_files import ENGLISH, FRENCH, Page, html, prose


def test_every_document_is_in_or_out_for_a_reason(crawl: Crawl) -> None:
    near = prose(ENGLISH, 0).replace("\n", "\nAnd once more. ", 1)
    other = [Page(html(prose(FRENCH, 1))), Page(html(prose(ENGLISH, 50, count=40))), english(51, host=99)]
    copies = [Page(html(near), "https://host1.example/near"), Page(html(prose(ENGLISH, 3)), "https://host2.example/c")]
    mixed = Page(html(prose(ENGLISH, 60) + "\n" + prose(FRENCH, 61, count=60)))
    crawl.add("a.warc.gz", [*map(english, range(30)), *other, *copies, mixed, Page("", status="404 Gone")])
    report = crawl.build(hosts=["HOST?.example", "www.*"], min_language_score=0.9)
    assert funnel(report) == {
        ("verdict", "host"): 1,
        ("verdict", "language"): 1,
        ("verdict", "language_score"): 1,
        ("verdict", "too_short"): 1,
        ("exact_dedup", "exact_copy"): 1,
        ("minhash_dedup", "near_copy"): 1,
        ("corpus", "kept"): 30,
    }
    train, held_out = crawl.read(report, "train-*"), crawl.read(report, "held_out-*")
    assert (len(train) + len(held_out), len(held_out)) == (report.documents, report.held_out_documents)
    assert report.characters == sum(len(row["text"]) for row in train + held_out)
    assert not {row["host"] for row in train} & {row["host"] for row in held_out}
    assert [row["doc_no"] for row in train] == sorted(row["doc_no"] for row in train)
    by_id = {row["doc_id"]: row["url"] for row in train + held_out}
    matches = {row["method"]: row for row in crawl.read(report, "duplicates*")}
    assert by_id[matches["exact"]["kept_doc_id"]] == "https://host3.example/3.html"
    assert by_id[matches["minhash"]["kept_doc_id"]] == "https://host0.example/0.html"
    assert matches["exact"]["similarity"] == 1
    assert 0.8 <= matches["minhash"]["similarity"] < 1


def test_a_version_is_made_once_and_the_pointer_follows(crawl: Crawl) -> None:
    crawl.add("a.warc.gz", [*map(english, range(30))])
    first = crawl.build()
    assert not first.reused
    again = crawl.build()
    assert again == first.model_copy(update={"reused": True})
    other = crawl.build(min_characters=800)
    assert other.version != first.version
    assert other.parent_version == first.version
    current = crawl.workspace.corpus("english") / "CURRENT"
    assert current.read_text() == other.version
    assert crawl.build() == again  # asked for again, the first is the current one again
    assert current.read_text() == first.version
    assert is_done(crawl.workspace.corpus_version("english", first.version))


def test_the_version_depends_on_content_only(
    tmp_path: Path, write_warc: WriteWarc, document_settings: DocumentSettings
) -> None:
    versions = []
    for place in ("here", "there"):
        crawl = Crawl(write_warc, Workspace(tmp_path / place), document_settings)
        crawl.add("a.warc.gz", [*map(english, range(30))])
        versions.append(crawl.build())
    assert versions[0].version == versions[1].version
    assert versions[0].content_hash_held_out == versions[1].content_hash_held_out


def test_a_later_version_keeps_the_held_out_reference_and_equals_the_batch(crawl: Crawl) -> None:
    crawl.add("b.warc.gz", [*map(english, range(30))])
    first = crawl.build()
    held_out = crawl.read(first, "held_out-*")
    held_out_host = held_out[0]["host"]
    near = Page(html("At last. " + prose(ENGLISH, 5)), "https://host5.example/again.html")
    # Sorted by path it comes first; as the later refresh it is judged later.
    new_on_held_out_host = Page(html(prose(ENGLISH, 70)), f"https://{held_out_host}/new.html")
    crawl.add("a.warc.gz", [near, english(7), *map(english, range(80, 90)), new_on_held_out_host])
    second = crawl.build()
    assert second.parent_version == first.version
    assert crawl.read(second, "held_out-*") == held_out
    assert second.content_hash_held_out == first.content_hash_held_out
    train = crawl.read(second, "train-*")
    assert held_out_host not in {row["host"] for row in train}
    counts = funnel(second)
    assert (counts["minhash_dedup", "near_copy"], counts["exact_dedup", "exact_copy"]) == (1, 1)
    new_on_held_out = sum(row["host"] in {h["host"] for h in held_out} for row in map_hosts(range(80, 90)))
    assert counts["split", "held_out_group"] == 1 + new_on_held_out
    old = [row for row in train if row["unit_id"] == first.unit_ids[0]]
    assert old == crawl.read(first, "train-*")
    assert crawl.build().reused


def map_hosts(seeds: range) -> list[dict[str, str]]:
    return [{"host": f"host{seed % 10}.example"} for seed in seeds]


def test_a_unit_that_fails_is_left_out_and_comes_in_later(crawl: Crawl) -> None:
    crawl.add("a.warc.gz", [*map(english, range(30))])
    assert crawl.folder is not None
    (crawl.folder / "b.warc.gz").write_bytes(b"not yet a WARC")
    first = crawl.build()
    assert len(first.unit_ids) == 1
    crawl.add("b.warc.gz", [*map(english, range(30, 40))])
    second = crawl.build()
    assert len(second.unit_ids) == 2
    assert second.documents > first.documents


def test_line_dedup(crawl: Crawl) -> None:
    notice = "This very notice stands on every page of the whole crawl and says nothing at all."
    pages = [english(seed) for seed in range(30)]
    for page in pages:
        page.body = page.body.replace("<p>", f"<p>{notice}</p><p>", 1)
    short = Page(html(prose(ENGLISH, 4, count=96) + "\n" + prose(ENGLISH, 77, count=60)), "https://host4.example/short")
    crawl.add("a.warc.gz", [*pages, short])
    report = crawl.build(line_dedup="lines", split_by="document")
    rows = crawl.read(report, "train-*") + crawl.read(report, "held_out-*")
    assert sum(notice in row["text"] for row in rows) == 1
    assert all(row["characters"] == len(row["text"]) >= 500 for row in rows)
    assert funnel(report)["line_dedup", "seen_lines"] == 1


def test_a_page_is_held_out_in_all_its_languages(crawl: Crawl) -> None:
    crawl.add("en.warc.gz", [Page(html(prose(ENGLISH, n)), f"https://help.example/en-US/{n}.html") for n in range(60)])
    crawl.add("fr.warc.gz", [Page(html(prose(FRENCH, n)), f"https://help.example/fr/{n}.html") for n in range(60)])
    fields = {"split_by": "url_path", "held_out_share": 0.1}
    one, other = crawl.build("one", **fields), crawl.build("other", language="fra", **fields)
    held_out = [{row["url"].rsplit("/", 1)[1] for row in crawl.read(report, "held_out-*")} for report in (one, other)]
    assert held_out[0] == held_out[1]
    assert 2 <= len(held_out[0]) < 20


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"language": "hun"}, "corpus english is empty: of 32 documents, 31 left with reason language: .*'hun'"),
        ({"min_characters": 10_000}, "30 left with reason too_short: .*corpora.english.min_characters"),
        ({"hosts": ["*.nowhere"]}, "31 left with reason host: .*corpora.english.hosts"),
        ({"hosts": ["host1.example"]}, "held-out split would have 0 of 3 documents.*split_by"),
        ({"held_out_min_documents": 30}, r"train split would be empty.*held_out_min_documents .*\(1 had left"),
        (
            {"held_out_min_documents": 4, "hosts": ["host1.example"], "split_by": "document"},
            "all 3 documents are held out.* 2[0-9] of them with reason host: .*corpora.english.hosts",
        ),
        ({"sources": ["crawl", "other"]}, r"sources \['other'\] have no file"),
        ({"dedup": {"bands": 20}}, "num_perm .now 112. to 160"),
        ({"name": "../English"}, "corpus name '../English'"),
    ],
)
def test_bad_input_gets_a_sentence_and_leaves_nothing(fields: dict[str, Any], sentence: str, crawl: Crawl) -> None:
    crawl.add("a.warc.gz", [*map(english, range(30)), Page(html(prose(FRENCH, 1))), Page("", status="404 Gone")])
    with pytest.raises(InputError, match=sentence):
        crawl.build(**fields)
    assert not list(crawl.workspace.corpus("english").glob("*"))


def test_a_source_that_could_not_be_read(crawl: Crawl) -> None:
    crawl.add("a.warc.gz", [])
    with pytest.raises(InputError, match=r"none of its 1 files has been read; the first: .* is not a WARC file"):
        crawl.build()
    crawl.add("a.warc.gz", [Page("", status="404 Gone")])
    with pytest.raises(InputError, match="1 left with reason bad_status"):
        crawl.build()


def test_personal_data_does_not_reach_the_shards(crawl: Crawl) -> None:
    pages = [
        Page(html(prose(ENGLISH, n) + f"\nWrite to jane{n}@mail.example.org."), f"https://h{n}.example/")
        for n in range(30)
    ]
    crawl.add("a.warc.gz", pages)
    first = crawl.build()
    texts = [row["text"] for row in crawl.read(first, "*-0*.parquet")]
    assert all("Write to email@example.com." in text for text in texts)
    assert first.texts_changed == {"pii": 30}
    second = crawl.build(pii={"emails": False})
    assert second.version != first.version
    assert all("@mail.example.org" in row["text"] for row in crawl.read(second, "*-0*.parquet"))
