"""Versions of a corpus: one after another, taken over, taken down, kept clear of evaluation sets, repeated."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.corpus.build import CorpusReport, build_corpus
from pipelines.corpus.shards import read_shards, shard_files
from pipelines.denylist import deny
from pipelines.documents.stage import process_units
from pipelines.settings import CorpusSettings, OptOutSettings, TextSource, WarcSource
from pipelines.sources.work_units import list_work_units
from storage.errors import InputError
from storage.publish import read_manifest
from storage.workspace import Workspace
from tests.pipelines.growing_crawl import Crawl, english, funnel
from tests.pipelines.warc_files import ENGLISH, Page, html, prose, warc_bytes

NOTICE = "This very notice stands on every page of the whole crawl and says nothing at all."


def near_copy(seed: int, word: str, host: str) -> Page:
    text = prose(ENGLISH, seed).replace("\n", f"\n{word.capitalize()} once more. ", 1)
    return Page(html(text), f"https://{host}.example/{word}-{seed}")


def noticed(seed: int) -> Page:
    page = english(seed)
    page.body = page.body.replace("<p>", f"<p>{NOTICE}</p><p>", 1)
    return page


PARTS = {
    "a.warc.gz": [*map(noticed, range(30)), near_copy(3, "and", "host1")],
    "b.warc.gz": [
        noticed(4),
        *map(noticed, range(40, 52)),
        near_copy(3, "now", "host2"),
        near_copy(41, "and", "host3"),
    ],
    "c.warc.gz": [
        near_copy(41, "now", "host4"),
        noticed(50),
        *map(noticed, range(60, 66)),
        near_copy(3, "but", "host5"),
    ],
}


def rows(crawl: Crawl, report: CorpusReport, side: str) -> list[dict[str, Any]]:
    return list(read_shards(shard_files(crawl.workspace.corpus_version(report.name, report.version), side)))


def folder(crawl: Crawl, report: CorpusReport) -> Path:
    return crawl.workspace.corpus_version(report.name, report.version)


def matched(crawl: Crawl, reports: list[CorpusReport]) -> list[tuple[Any, ...]]:
    """Who matched whom, over the versions whose segments a version has."""
    found = []
    for report in reports:
        for row in pq.read_table(folder(crawl, report) / "duplicates.parquet").to_pylist():
            found.append((row["doc_id"], row["kept_doc_id"], row["method"], row["similarity"]))
    return found


@pytest.mark.parametrize("line_dedup", ["lines", "paragraphs"])
def test_version_after_version_gives_what_all_at_once_gives(
    line_dedup: str,
    crawl: Crawl,
    tmp_path: Path,
) -> None:
    fields: dict[str, Any] = {"line_dedup": line_dedup, "held_out_min_documents": 2, "rehydrate": True}
    reports = []
    for name, pages in PARTS.items():
        crawl.add(name, pages)
        reports.append(crawl.build(**fields))
    last = reports[-1]
    manifest = read_manifest(folder(crawl, last))
    assert manifest is not None
    assert manifest["inputs"]["continues"] == reports[1].version
    assert list(manifest["inputs"]["segments"]) == [report.version for report in reports]
    # Judged afresh: the same units in the same order, and the first version's held-out split.
    index = [(path, path.with_name("away")) for path in (folder(crawl, report) / "index" for report in reports[:1])]
    for path, away in index:
        path.rename(away)
    CURRENT = crawl.workspace.corpus("english") / "CURRENT"
    CURRENT.write_text(reports[1].version)
    target = folder(crawl, last)
    kept_apart = target.rename(tmp_path / "kept apart")
    afresh = crawl.build(**fields)
    assert afresh.version == last.version
    again = read_manifest(folder(crawl, afresh))
    assert again is not None
    assert again["inputs"]["continues"] is None
    for side in ("train", "held_out", "train-repeats"):
        continued = list(read_shards(shard_files(kept_apart, side)))
        assert continued == rows(crawl, afresh, side)
    unlike = {"created", "changes", "funnel"}
    assert afresh.model_dump(exclude=unlike) == last.model_dump(exclude=unlike)
    assert funnel(afresh) == funnel(last)
    in_parts = [
        *matched(crawl, reports[:2]),
        *((row["doc_id"], row["kept_doc_id"], row["method"], row["similarity"])
          for row in pq.read_table(kept_apart / "duplicates.parquet").to_pylist()),
    ]  # fmt: skip
    assert in_parts == matched(crawl, [afresh])
    assert Counter(method for _, _, method, _ in in_parts) == {"exact": 2, "minhash": 5}
    assert pq.read_table(kept_apart / "clusters.parquet") == pq.read_table(folder(crawl, afresh) / "clusters.parquet")
    lines = [pq.read_table(version / "index" / "lines.parquet")["hash"].to_pylist()
             for version in (kept_apart, folder(crawl, reports[1]))]  # fmt: skip
    assert not set(lines[0]) & set(lines[1])


def test_a_version_takes_over_the_shards_of_its_parent(crawl: Crawl) -> None:
    crawl.add("a.warc.gz", PARTS["a.warc.gz"])
    first = crawl.build()
    crawl.add("b.warc.gz", PARTS["b.warc.gz"])
    second = crawl.build()
    for side, more in (("train", 1), ("held_out", 0)):
        before, after = ([*shard_files(folder(crawl, report), side)] for report in (first, second))
        assert len(after) == len(before) + more
        assert all(old.samefile(new) and old.name == new.name for old, new in zip(before, after, strict=False))
    assert second.changes.documents_gained == second.documents - first.documents > 0
    assert second.changes.characters_gained == second.characters - first.characters
    assert second.changes.documents_lost == first.changes.documents_lost == 0
    assert first.changes.documents_gained == first.documents
    assert second.changes.duplicates == 3


def test_what_is_taken_out_of_the_paths_leaves(crawl: Crawl) -> None:
    crawl.add("a.warc.gz", PARTS["a.warc.gz"])
    crawl.add("b.warc.gz", PARTS["b.warc.gz"])
    both = crawl.build()
    assert crawl.folder is not None
    (crawl.folder / "b.warc.gz").unlink()
    one = crawl.build()
    assert len(one.unit_ids) == 1
    assert one.changes.documents_lost == both.documents - one.documents > 0
    assert rows(crawl, one, "held_out") == rows(crawl, both, "held_out")


def test_a_file_that_two_sources_name_is_one_unit(crawl: Crawl) -> None:
    crawl.add("a.warc.gz", PARTS["a.warc.gz"])
    units = crawl.units()
    from dataclasses import replace

    from pipelines.corpus.build import build_corpus

    twice = [*units, *(replace(unit, source="other") for unit in units)]
    settings = CorpusSettings(language="eng", text_domain="x", sources=["crawl", "other"], held_out_min_documents=2)
    first = build_corpus("english", settings, twice, crawl.documents, crawl.workspace)
    assert len(first.unit_ids) == 1
    assert build_corpus("english", settings, twice, crawl.documents, crawl.workspace).reused


@pytest.mark.parametrize("line_dedup", ["none", "lines"])
def test_text_like_a_held_out_one_is_never_trained_on(line_dedup: str, crawl: Crawl) -> None:
    crawl.add("a.warc.gz", [*map(noticed, range(30))])
    first = crawl.build(line_dedup=line_dedup)
    held_out = rows(crawl, first, "held_out")
    seed = int(held_out[0]["url"].rsplit("/", 1)[1].removesuffix(".html"))
    # Only the copy is in the next version, under another host; of the held-out page its text alone is left.
    crawl.add("a.warc.gz", [])
    crawl.add("b.warc.gz", [*map(noticed, range(60, 90)), near_copy(seed, "and", "elsewhere")])
    second = crawl.build(line_dedup=line_dedup)
    assert [row["doc_id"] for row in rows(crawl, second, "held_out")] == [row["doc_id"] for row in held_out]
    assert funnel(second)["split", "held_out_copy"] == 1
    assert "elsewhere.example" not in {row["host"] for row in rows(crawl, second, "train")}


def test_a_host_that_was_taken_down_does_not_come_back(crawl: Crawl) -> None:
    crawl.add("a.warc.gz", PARTS["a.warc.gz"])
    first = crawl.build(held_out_min_documents=4)
    held_out_host = rows(crawl, first, "held_out")[0]["host"]
    assert len({row["host"] for row in rows(crawl, first, "held_out")}) > 1
    train_host = rows(crawl, first, "train")[0]["host"]
    for host in (held_out_host, train_host, "not-there.example"):
        deny(host, "asked for it", crawl.workspace)
    second = crawl.build(held_out_min_documents=4)
    everything = rows(crawl, second, "train") + rows(crawl, second, "held_out")
    assert {held_out_host, train_host}.isdisjoint({row["host"] for row in everything})
    assert second.documents == len(everything) == first.documents - second.changes.documents_lost
    assert second.content_hash_held_out != first.content_hash_held_out
    manifest = read_manifest(folder(crawl, second))
    assert manifest is not None
    assert manifest["inputs"]["denied"] == sorted({held_out_host, train_host})
    assert manifest["inputs"]["continues"] == first.version
    assert crawl.build(held_out_min_documents=4).reused
    # A later refresh brings pages of theirs, and a copy of one on another host: neither comes in.
    seed = rows(crawl, first, "train")[0]["url"].rsplit("/", 1)[1].removesuffix(".html")
    copy = Page(html(prose(ENGLISH, int(seed))), "https://mirror.example/copy")
    crawl.add("b.warc.gz", [*map(english, range(40, 60)), copy, english(70, host=0), Page(html(prose(ENGLISH, 71)),
              f"https://www.{train_host}/new")])  # fmt: skip
    third = crawl.build(held_out_min_documents=4)
    hosts = {row["host"] for side in ("train", "held_out") for row in rows(crawl, third, side)}
    assert hosts.isdisjoint({held_out_host, train_host, f"www.{train_host}", "mirror.example"})
    assert funnel(third)["take_down", "forgotten_host"] > funnel(second)["take_down", "forgotten_host"]
    afresh = crawl.build(held_out_min_documents=4, min_characters=501)
    assert read_manifest(folder(crawl, afresh))["inputs"]["continues"] is None  # type: ignore[index]
    hosts = {row["host"] for side in ("train", "held_out") for row in rows(crawl, afresh, side)}
    assert hosts.isdisjoint({held_out_host, train_host, "mirror.example"})


@pytest.mark.parametrize("host", ["https://example.org/", "", "a b", "../x", "x..y"])
def test_what_is_no_host_is_not_taken_down(host: str, workspace: Workspace) -> None:
    with pytest.raises(InputError, match="is no host: give one such as"):
        deny(host, "", workspace)


def test_documents_that_share_text_with_an_evaluation_set_go(crawl: Crawl, tmp_path: Path) -> None:
    pages = [*map(english, range(30))]
    planted = "Who was the first to cross the river in 1848, with Élodie's boat, and who came back?"
    pages[7].body = pages[7].body.replace("<p>", f"<p>{planted}</p><p>", 1)
    question = {"question": "who was the first to cross the river in 1234 with Elodie s boat and", "id": 3}
    (tmp_path / "tasks.jsonl").write_text(json.dumps(question) + "\n" + json.dumps({"question": "too short"}) + "\n")
    crawl.add("a.warc.gz", pages)
    other = crawl.build("other", hosts=["host3.example", "host4.example"], split_by="document")
    fields: dict[str, Any] = {"decontaminate": [str(tmp_path / "tasks.jsonl"), "other"], "held_out_min_documents": 1}
    report = crawl.build(**fields)
    removed = pq.read_table(folder(crawl, report) / "contaminated.parquet").to_pylist()
    assert funnel(report)["decontamination", "contaminated"] == len(removed) == 1 + other.held_out_documents
    [found] = [row for row in removed if row["evaluation_set"] != "other"]
    assert (found["url"], found["evaluation_set"]) == (pages[7].url, str(tmp_path / "tasks.jsonl"))
    assert found["ngram"] == "who was the first to cross the river in 0000 with elodie s"
    assert {row["doc_id"] for row in rows(crawl, other, "held_out")} == {
        row["doc_id"] for row in removed if row["evaluation_set"] == "other"
    }
    assert crawl.build(**fields).reused
    (tmp_path / "tasks.jsonl").write_text(json.dumps(question | {"question": "something else " * 10}))
    assert not crawl.build(**fields).reused  # the set is another one


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["english"], "names the corpus itself"),
        (["nowhere"], "nowhere is neither a published corpus nor a file"),
        (["nowhere.jsonl"], "there is no file nowhere.jsonl"),
    ],
)
def test_an_evaluation_set_that_is_not_there(names: list[str], sentence: str, crawl: Crawl) -> None:
    crawl.add("a.warc.gz", [*map(english, range(30))])
    with pytest.raises(InputError, match=sentence):
        crawl.build(decontaminate=names)


def test_rehydration_repeats_by_cluster_size(crawl: Crawl) -> None:
    copies = [Page(html(prose(ENGLISH, 3)), f"https://host{n}.example/copy") for n in range(4)]
    crawl.add("a.warc.gz", [*map(english, range(30)), *copies, near_copy(4, "and", "host1")])
    plain = crawl.build(split_by="document")
    assert plain.repeats == 0
    report = crawl.build(split_by="document", rehydrate=True)
    clusters = pq.read_table(folder(crawl, report) / "clusters.parquet").to_pylist()
    assert [(row["size"], row["weight"]) for row in clusters] == [(5, 5), (2, 2)]
    train = Counter(row["doc_id"] for row in rows(crawl, report, "train") + rows(crawl, report, "train-repeats"))
    held_out = {row["doc_id"] for row in rows(crawl, report, "held_out")}
    expected = {row["doc_id"]: row["weight"] for row in clusters if row["doc_id"] not in held_out}
    assert {name: times for name, times in train.items() if times > 1} == expected
    assert report.repeats == sum(expected.values()) - len(expected)
    assert (report.documents, report.characters) == (plain.documents, plain.characters)


def test_the_data_card_escapes_what_stems_from_the_crawl(crawl: Crawl) -> None:
    odd = Page(html(prose(ENGLISH, 70)), "https://`</code><script>alert(1)</script>|.example/")
    opted_out = Page(html(prose(ENGLISH, 71)), headers={"X-Robots-Tag": "noai", "Content-Type": "text/html"})
    crawl.add("a.warc.gz", [*map(english, range(30)), odd, opted_out])
    report = crawl.build(licence="CC-0 [mostly]")
    card = (folder(crawl, report) / "README.md").read_text()
    assert "| the X\\-Robots\\-Tag header | 1 |" in card or "| the X-Robots-Tag header | 1 |" in card
    assert "CC\\-0 \\[mostly\\]" in card
    assert f"{report.documents:,} documents" in card
    assert "`` " not in card and "<script>" not in card.replace("`", "\0").split("\0")[0]
    import yaml

    front = yaml.safe_load(card.split("---")[1])
    assert [item["path"] for item in front["configs"][0]["data_files"]] == ["train-*.parquet", "held_out-*.parquet"]


def test_the_data_card_names_files_without_their_folders(crawl: Crawl, tmp_path: Path) -> None:
    mine = tmp_path / "my own lists"
    mine.mkdir()
    (mine / "words.txt").write_text("unspeakable\n")
    (mine / "exam.txt").write_text("What is asked here? " * 9)
    crawl.add("a.warc.gz", [*map(english, range(30))])
    report = crawl.build(bad_words=str(mine / "words.txt"), decontaminate=(str(mine / "exam.txt"),))
    card = (folder(crawl, report) / "README.md").read_text()
    assert "/words.txt" in card and "/exam.txt" in card
    assert "own lists" not in card and str(tmp_path) not in card.replace("\\", "")


def test_robots_txt_of_today_holds_for_older_pages_and_the_card_says_what_each_language_loses(
    crawl: Crawl, tmp_path: Path
) -> None:
    def closed(number: int, language: str) -> list[Page]:
        said = json.dumps({"languages": [{"code-iso-639-3": language}]})
        page = Page(html(prose(ENGLISH, number)), f"https://closed.example/{number}")
        return [page, Page(f"languages-cld2: {said}\r\n", record_type="metadata")]

    robots = Page("User-agent: GPTBot\nDisallow: /", "https://closed.example/robots.txt", headers={})
    folder_of_robots, link = tmp_path / "of-today", tmp_path / "robots" / "segments"
    folder_of_robots.mkdir()
    link.parent.mkdir()
    link.symlink_to(folder_of_robots)
    (folder_of_robots / "today.warc.gz").write_bytes(warc_bytes([robots])[0])
    opt_outs = OptOutSettings(robots_txt=(str(tmp_path / "robots"),))
    crawl.documents = crawl.documents.model_copy(update={"opt_outs": opt_outs})
    crawl.add("a.warc.gz", [*map(english, range(18)), *closed(70, "hrv"), *closed(71, "hrv"), *closed(72, "eng")])
    card = (folder(crawl, crawl.build()) / "README.md").read_text()
    assert "| robots.txt | 3 |" in card
    assert "| Croatian | 2 | 2 | 100.0% |" in card and "| English | 19 | 1 | 5.3% |" in card


def test_a_licence_is_the_sources_and_bears_on_no_key(crawl: Crawl, tmp_path: Path) -> None:
    crawl.add("a.warc.gz", [*map(english, range(20))])
    lines = (json.dumps({"text": prose(ENGLISH, seed)}) + "\n" for seed in range(60, 80))
    (tmp_path / "texts.jsonl").write_text("".join(lines))

    def build(name: str, web: str | None, texts: str | None, **fields: Any) -> CorpusReport:
        sources = {
            "web": WarcSource(paths=[f"{crawl.folder}/*"], licence=web),
            "texts": TextSource(paths=[str(tmp_path / "texts.jsonl")], licence=texts),
        }
        units = list_work_units(sources, crawl.workspace)
        process_units(units, crawl.documents, crawl.workspace, 1, lambda report: None)
        chosen = CorpusSettings(language="eng", text_domain="x", sources=[*sources], split_by="document", **fields)
        return build_corpus(name, chosen, units, crawl.documents, crawl.workspace)

    def card(report: CorpusReport) -> str:
        return (folder(crawl, report) / "README.md").read_text()

    stated = build("stated", None, "CC0 | own")
    assert "By source, in the table below." in card(stated)
    assert "| CC0 \\| own |" in card(stated) and "| not stated |" in card(stated)
    assert build("stated", "CC-BY", None).reused  # what it says now comes with the next version
    unstated = build("unstated", None, None)
    assert unstated.unit_ids == stated.unit_ids
    assert "None was stated" in card(unstated)
    both = card(build("stated", "CC0", None, licence="Ours"))
    assert "## Licence\n\nOurs\n" in both and "| CC0 |" in both
