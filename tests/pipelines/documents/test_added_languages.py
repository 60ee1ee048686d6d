"""A language added to a config: documents as if read anew, of which only pages that may be in it are read again."""

import gzip
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pipelines.documents.stage
from pipelines.documents.added_languages import may_be_in, units_again
from pipelines.documents.cluster_worker import process_units_here
from pipelines.documents.stage import documents_key, process_unit, process_units
from pipelines.settings import (
    CommonCrawlIndexSource,
    DocumentSettings,
    FetchSettings,
    Source,
    TextSource,
    WarcSource,
)
from pipelines.sources.fetch_unit import needs_fetching
from pipelines.sources.remote import ByteRange, Remote
from pipelines.sources.work_units import UnitReport, WorkUnit, documents_file, list_work_units
from pipelines.text.other_language import other_language
from storage.workspace import Workspace
from tests.pipelines.loopback import Loopback, serving
from tests.pipelines.snapshot import CRAWL, make_snapshot
from tests.pipelines.warc_files import ENGLISH, FRENCH, Page, html, prose, warc_bytes
from tests.pipelines.workers.test_workers import POISONOUS

WriteWarc = Callable[..., Path]
FETCH = FetchSettings(
    user_agent="tests (owner@example.org)", attempts=2, timeout_seconds=5, first_wait_seconds=0.01, max_wait_seconds=0.1
)
HUNGARIAN = (
    "a ház mögötti kert minden tavasszal lassan megnő és az emberek átsétálnak rajta amikor meglátogatnak minket mert "
    "a víz a régi kőfal mentén folyik ahol a gyerekek iskola után gyakran játszanak amíg az este haza nem hozza őket"
)
UNLIKE = {"seconds", "bytes", "attempts"}  # of the report of a unit, beside one that was read anew


def page(words: str, seed: int, size: int = 0) -> Page:
    """A page, with so much of what is no text that archives hardly compress."""
    filling = f"<!-- {os.urandom(size // 2).hex()} -->" if size else ""
    return Page(html(prose(words, seed)).replace("</main>", f"</main>{filling}"), f"https://www.example.org/{seed}")


NOAI = {"Content-Type": "text/html", "X-Robots-Tag": "noai"}
PAGES = [
    page(ENGLISH, 0),
    page(FRENCH, 1),
    page(HUNGARIAN, 5),  # which the identifier is so sure of that it need not be asked again
    page(FRENCH, 3),
    page(ENGLISH, 4),
    page(HUNGARIAN, 14),
    Page(html(prose(FRENCH, 7)), headers=NOAI),
    Page("", status="302 Found", headers={"Location": "/"}),
    Page("<html><body></body></html>"),
    Page(json.dumps("languages-cld2: {}"), record_type="metadata"),
    page(FRENCH, 8),
]  # fmt: skip


def languages(settings: DocumentSettings, *codes: str) -> DocumentSettings:
    return DocumentSettings.model_validate(settings.model_dump() | {"languages": codes})


def read(units: Sequence[WorkUnit], settings: DocumentSettings, workspace: Workspace) -> list[UnitReport]:
    return process_units(units, settings, workspace, 1, lambda report: None, FETCH)


def rows(unit: WorkUnit, settings: DocumentSettings, workspace: Workspace) -> list[dict[str, Any]]:
    return pq.read_table(documents_file(workspace.documents(documents_key(settings)), unit.unit_id)).to_pylist()


class Config:
    """A source in a workspace, which wants English and then French too."""

    def __init__(self, source: Source, workspace: Workspace, settings: DocumentSettings) -> None:
        self.workspace, self.one, self.both = workspace, languages(settings, "eng"), languages(settings, "eng", "fra")
        self.anew = Workspace(workspace.root.with_name("anew"))
        for where in (workspace, self.anew):  # which hold the selection of a batch
            [self.unit] = list_work_units({"web": source}, where, FETCH)
        for wanted, where in ((self.one, workspace), (self.both, self.anew)):
            if not needs_fetching(self.unit):  # read here: a worker's start takes longer than all else in a test
                process_unit(self.unit, wanted, where.documents(documents_key(wanted)))
            read([self.unit], wanted, where)

    def add_french(self, read: Callable[..., list[UnitReport]] = read) -> UnitReport:
        """Add it, and hold documents and report against those that were read anew."""
        [report] = read([self.unit], self.both, self.workspace)
        self.hold(report)
        return report

    def hold(self, report: UnitReport) -> None:
        [wanted] = read([self.unit], self.both, self.anew)
        assert rows(self.unit, self.both, self.workspace) == rows(self.unit, self.both, self.anew)
        assert report.model_dump(exclude=UNLIKE) == wanted.model_dump(exclude=UNLIKE)


def blank_but(path: Path, places: Sequence[ByteRange]) -> None:
    """Leave of a file only these places, the rest zero bytes."""
    content = path.read_bytes()
    blank = bytearray(len(content))
    for place in places:
        blank[place.offset : place.end] = content[place.offset : place.end]
    path.write_bytes(blank)


def places_of(pages: Sequence[Page], words: str) -> list[ByteRange]:
    """Where the pages in a language stand in the WARC file of `pages`."""
    content, offsets = warc_bytes(pages)
    ends = [*offsets[1:], len(content)]
    texts = {html(prose(words, seed)) for seed in range(20)}
    return [ByteRange(offset, end - offset) for one, offset, end in zip(pages, offsets, ends, strict=True)
            if one.body in texts and one.headers is not NOAI]  # fmt: skip


def test_only_pages_that_may_be_in_the_added_language_are_read_again(
    write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = write_warc(PAGES)
    config = Config(WarcSource(paths=[str(path)]), workspace, document_settings)
    french = places_of(PAGES, FRENCH)
    blank_but(path, french)
    report = config.add_french()
    assert report.bytes == sum(place.length for place in french)  # that were read
    reasons = [row["reason"] for row in rows(config.unit, config.both, workspace)]
    assert (reasons.count("kept"), reasons.count("other_language"), report.records) == (5, 2, 11)
    assert not list(workspace.root.rglob("*.partial"))


def test_what_is_planned_is_what_is_read(
    write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    new = TextSource(paths=[str(workspace.root / "new.txt")])
    workspace.root.mkdir(exist_ok=True)
    Path(new.paths[0]).write_text(prose(FRENCH, 9))
    config = Config(WarcSource(paths=[str(write_warc(PAGES))]), workspace, document_settings)
    [other] = list_work_units({"new": new}, workspace, FETCH)
    english, both = ([config.unit, other] for _ in range(2))
    planned = [
        {unit.unit_id: unit.bytes for unit in units_again(units, settings, documents_key, workspace)}
        for units, settings in ((english, languages(document_settings, "hun")), (both, config.both))
    ]
    assert planned[0] == {unit.unit_id: unit.bytes for unit in english}, "there is nothing to take over"
    assert planned[1] == {config.unit.unit_id: config.add_french().bytes, other.unit_id: other.bytes}
    assert 0 < planned[1][config.unit.unit_id] < config.unit.bytes
    only_sure = Config(
        WarcSource(paths=[str(write_warc([page(ENGLISH, 4)], "sure.warc.gz"))]), workspace, document_settings
    )
    assert not list(units_again([only_sure.unit], only_sure.both, documents_key, workspace)), "nothing is read"


@pytest.mark.parametrize("name", ["crawl.warc", "one member.warc.gz", "damaged.warc.gz"])
def test_files_of_every_kind(
    name: str, write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = write_warc(PAGES, name)
    plain = gzip.decompress(path.read_bytes())
    if name == "crawl.warc":
        path.write_bytes(plain)
    elif name == "one member.warc.gz":  # where its records stand is not known: it is read whole
        path.write_bytes(gzip.compress(plain))
    else:
        content, offsets = warc_bytes(PAGES)
        broken = bytearray(content)
        broken[offsets[5] + 30 : offsets[5] + 90] = bytes(60)
        path.write_bytes(broken)
    config = Config(WarcSource(paths=[str(path)]), workspace, document_settings)
    report = config.add_french()
    assert bool(report.failures) == (name == "damaged.warc.gz")
    assert (report.bytes == path.stat().st_size) == (name == "one member.warc.gz")


def test_a_file_that_is_another_is_read_whole(
    write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = write_warc(PAGES)
    config = Config(WarcSource(paths=[str(path)]), workspace, document_settings)
    others = [page(FRENCH, 10 + seed) for seed in range(3)]
    path.write_bytes(warc_bytes(others)[0])
    [report] = read([config.unit], config.both, workspace)
    assert (report.status, report.documents, report.bytes) == ("done", 3, path.stat().st_size)
    assert {row["language"] for row in rows(config.unit, config.both, workspace)} == {"fra"}


def test_texts_are_taken_over_as_they_are(
    workspace: Workspace, document_settings: DocumentSettings, tmp_path: Path
) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": prose(words, 1)}) + "\n" for words in (ENGLISH, FRENCH)))
    config = Config(TextSource(paths=[str(path)]), workspace, document_settings)
    path.write_text("no JSON")
    assert config.add_french().bytes == 0


@pytest.mark.slow
def test_the_largest_set_of_fewer_languages_counts(
    write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = write_warc(PAGES)
    config = Config(WarcSource(paths=[str(path)]), workspace, document_settings)
    config.add_french()
    all_three = languages(document_settings, "eng", "fra", "hun")
    blank_but(path, places_of(PAGES, HUNGARIAN))
    [report] = read([config.unit], all_three, workspace)
    assert report.bytes == sum(place.length for place in places_of(PAGES, HUNGARIAN))
    assert [row["language"] for row in rows(config.unit, all_three, workspace) if row["reason"] == "kept"] == [
        "eng", "fra", "hun", "fra", "eng", "hun", "fra"
    ]  # fmt: skip


@pytest.mark.slow
def test_other_settings_and_fewer_languages_are_read_anew(
    write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = write_warc(PAGES)
    config = Config(WarcSource(paths=[str(path)]), workspace, document_settings)
    config.add_french()
    for settings in (languages(document_settings, "fra"), config.both.model_copy(update={"shingle": 6})):
        [report] = read([config.unit], settings, workspace)
        assert report.bytes == path.stat().st_size


@pytest.fixture
def server() -> Iterator[Loopback]:
    # So large that neighbours are not asked for in one request.
    pages = [page(words, seed, 200_000) for seed, words in enumerate((ENGLISH, FRENCH, ENGLISH, FRENCH, ENGLISH))]
    with serving({"web/crawl.warc.gz": warc_bytes(pages)[0]}) as loopback:
        yield loopback


def remote(server: Loopback, workspace: Workspace, settings: DocumentSettings) -> Config:
    config = Config(WarcSource(paths=[f"{server.url}/web/crawl.warc.gz"]), workspace, settings)
    server.requests.clear()
    return config


def places(config: Config, language: str) -> list[ByteRange]:
    return [ByteRange(row["warc_record_offset"], row["warc_record_length"])
            for row in rows(config.unit, config.both, config.anew) if row["language"] == language]  # fmt: skip


def ranges(wanted: Sequence[ByteRange]) -> list[str]:
    return [f"bytes={place.offset}-{place.end - 1}" for place in wanted]


@pytest.mark.slow
def test_of_a_remote_file_only_ranges_are_asked(
    server: Loopback, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    config = remote(server, workspace, document_settings)
    config.add_french()
    assert [request.range for request in server.requests] == ranges(places(config, "fra"))
    assert not list(workspace.scratch("fetched").iterdir())


@pytest.mark.slow
def test_a_server_without_ranges_sends_the_file(
    server: Loopback, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    config = remote(server, workspace, document_settings)
    server.script["web/crawl.warc.gz"] = ["no_ranges"] * 9
    report = config.add_french()
    assert report.bytes == len(server.files["web/crawl.warc.gz"])


@pytest.mark.slow
def test_it_goes_on_where_it_was_killed(
    server: Loopback, workspace: Workspace, document_settings: DocumentSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = remote(server, workspace, document_settings)

    def here(units: list[WorkUnit], settings: DocumentSettings, workspace: Workspace) -> list[UnitReport]:
        return process_units_here(units, settings, workspace, FETCH)

    first, second = places(config, "fra")
    ask = Remote.read

    def killed(self: Remote, url: str, wanted: ByteRange) -> bytes:
        if wanted == second:
            raise KeyboardInterrupt
        return ask(self, url, wanted)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Remote, "read", killed)
        here([config.unit], config.both, workspace)
    config.add_french(here)
    assert [request.range for request in server.requests] == ranges([first, second])


@pytest.mark.slow
def test_a_batch_of_ranges_loses_what_is_there_no_more(
    workspace: Workspace, document_settings: DocumentSettings
) -> None:
    snapshot = make_snapshot()
    with serving(dict(snapshot.files)) as server:
        source = CommonCrawlIndexSource(
            crawl=CRAWL, server=server.url, collections=f"{server.url}/collinfo.json", hosts=["*.site-*"]
        )
        config = Config(source, workspace, document_settings)
        before = rows(config.unit, config.both, config.anew)
        server.files = {path: content for path, content in server.files.items() if path != snapshot.warcs[3]}
        [report] = read([config.unit], config.both, workspace)
    gone = [row for row in before if row["warc_filename"] == snapshot.warcs[3] and row["language"] == "fra"]
    left = [row | {"row": number} for number, row in enumerate(row for row in before if row not in gone)]
    assert rows(config.unit, config.both, workspace) == left
    assert (len(gone), report.documents, report.records) == (3, len(left), len(left))
    assert [(failure["path"], failure["byte_offset"]) for failure in report.failures] == [
        (row["warc_filename"], row["warc_record_offset"]) for row in gone
    ]


@pytest.mark.slow
def test_a_page_that_ends_its_process_costs_itself(
    write_warc: WriteWarc,
    tmp_path: Path,
    workspace: Workspace,
    document_settings: DocumentSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(POISONOUS.replace("{function}", "kept_document"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(Path(__file__).parents[3])]))
    crashing = Page(html(prose(FRENCH, 9) + "\nCette page crashes."), "https://www.example.org/9")
    path = write_warc([*PAGES, crashing, page(FRENCH, 11)])
    [unit] = list_work_units({"web": WarcSource(paths=[str(path)])}, workspace)
    one, both = languages(document_settings, "eng"), languages(document_settings, "eng", "fra")
    read([unit], one, workspace)
    [report] = read([unit], both, workspace)
    assert report.bytes < path.stat().st_size
    reasons = {row["reason"]: row["documents"] for row in report.funnel if row["language"] in ("fra", "und")}
    assert (reasons["kept"], reasons["poison_record"]) == (4, 1)
    assert [row["reason"] for row in rows(unit, both, workspace)][-2:] == ["poison_record", "kept"]


def test_another_machine_takes_over_what_the_bucket_has(
    write_warc: WriteWarc, tmp_path: Path, document_settings: DocumentSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, bucket = write_warc(PAGES), f"file://{tmp_path}/bucket"
    config = Config(WarcSource(paths=[str(path)]), Workspace(tmp_path / "first", bucket), document_settings)
    blank_but(path, places_of(PAGES, FRENCH))
    config.workspace = Workspace(tmp_path / "second", bucket)
    config.add_french()
    config.workspace = Workspace(tmp_path / "third", bucket)
    monkeypatch.setattr(pipelines.documents.stage, "run_in_workers", lambda units, *rest: iter(units))  # nothing to do
    config.add_french()


@pytest.mark.parametrize(
    ("told", "is_again"),
    [
        ({"language": "fra"}, True),
        ({}, False),
        ({"language_score": 0.9}, True),  # its other pieces may be in anything
        ({"content_languages": "deu,fra"}, True),  # to who crawled it
        ({"language": "srp"}, True),  # told from Croatian by a word or two
        ({"language": "slv"}, True),  # confused with it
        ({"characters": 900, "language_score": 0.96}, False),  # too little is left for French
        ({"characters": 900, "language_score": 0.94}, True),
    ],
)
def test_what_a_row_says_of_its_page(told: dict[str, Any], is_again: bool) -> None:
    sure = {"language": "deu", "language_score": 0.98, "characters": 0, "content_languages": None}
    assert may_be_in(sure | told, {"fra", "hrv"}) is is_again


def test_english_stands_on_pages_in_all_languages() -> None:
    sure = {"language": "deu", "language_score": 0.98, "characters": 0, "content_languages": None}
    assert may_be_in(sure, {"eng"}) and not may_be_in(sure, {"fra"})


SCORES = st.tuples(*[st.integers(0, 100)] * 4).map(lambda parts: [part / max(1, sum(parts)) for part in parts])


@given(st.lists(SCORES, min_size=1, max_size=12))
def test_a_page_that_stays_for_fewer_languages_stays_for_more(pieces: list[list[float]]) -> None:
    """So that its row may be taken over."""

    class Told:
        """An identifier that tells of each piece what was drawn."""

        def __init__(self) -> None:
            self.left = iter(pieces)

        def ranked(self, text: str, count: int) -> list[tuple[str, float]]:
            scores = zip(("deu", "eng", "fra", "hun"), next(self.left, pieces[-1]), strict=True)
            return sorted(scores, key=lambda told: -told[1])

    body = "".join(f"<p>{prose(ENGLISH, seed, 90)}</p>" for seed in range(40))

    def leaves(*wanted: str) -> bool:
        return other_language(f"<body>{body}</body>", wanted, Told()) is not None  # type: ignore[arg-type]

    assert leaves("hun") or not leaves("hun", "fra")


def test_a_process_that_is_killed_leaves_no_half(
    write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = write_warc(PAGES)
    config = Config(WarcSource(paths=[str(path)]), workspace, document_settings)
    folder = workspace.documents(documents_key(config.both))
    folder.mkdir()
    documents_file(folder, config.unit.unit_id).write_bytes(b"half")  # whose report was never written
    config.add_french()
    [report] = read([config.unit], config.both, workspace)  # once more: it is done
    config.hold(process_unit(config.unit, config.both, folder))
    assert report.attempts == 1
