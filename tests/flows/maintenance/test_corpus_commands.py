"""nr rollback, forget, verify and inspect on a workspace with two versions of a corpus and a run."""

import json
import shutil
import subprocess
from collections import Counter
from copy import copy
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.cli.table import print_query
from flows.config.study import parse_config
from flows.maintenance.forget import forget_host
from flows.maintenance.inspect_pages import inspect_document, inspect_pages
from flows.maintenance.rollback import roll_back
from flows.maintenance.verdicts import write_verdicts
from flows.maintenance.verify import verify
from flows.maintenance.workspace_health import files_wrong
from flows.steps.result_records import record_corpus, record_move
from flows.steps.tokens import current_versions
from pipelines.corpus.build import CorpusReport, build_corpus
from pipelines.corpus.shards import read_shards, shard_files
from pipelines.documents.stage import documents_key, process_unit
from pipelines.settings import CorpusSettings, DocumentSettings, WarcSource
from pipelines.sources.work_units import WorkUnit, list_work_units
from pipelines.text.identify import FETCHED_MODEL
from storage.catalog import refresh_catalog
from storage.errors import InputError
from storage.publish import write_manifest
from storage.query import query
from storage.records import write_records
from storage.workspace import Workspace
from tests.pipelines.growing_crawl import english
from tests.pipelines.warc_files import ENGLISH, FRENCH, Page, html, prose, warc_bytes

CONTROL = "\x1b]0;evil\x07"
TASK = "which of these words were planted in a page by the author of this very test today"


class Study:
    """A workspace whose corpus was refreshed twice, and the report of each refresh."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = Workspace(folder / "workspace")
        self.crawl = folder / "crawl"
        self.crawl.mkdir()
        model = Path(__file__).parents[4] / "shared" / "data" / "lid" / "lid.176.ftz"
        given = str(model) if model.exists() and not FETCHED_MODEL.exists() else None
        self.documents = DocumentSettings(language_model=given)
        (folder / "task.jsonl").write_text(json.dumps({"question": TASK}))
        self.settings = CorpusSettings(
            language="eng", text_domain="x", sources=["crawl"], decontaminate=(str(folder / "task.jsonl"),),
            held_out_min_documents=4,
        )  # fmt: skip
        near = Page(html(prose(ENGLISH, 0).replace("\n", "\nAnd once more. ", 1)), "https://host1.example/near")
        planted = Page(html(prose(ENGLISH, 60) + f"\n{TASK}."), "https://host2.example/planted")
        french = Page(html(prose(FRENCH, 1), title=f"Un {CONTROL} titre"), f"https://fr.example/{CONTROL}")
        self.first = self.refresh("a", [*map(english, range(30)), near, planted, french])
        self.second = self.refresh("b", [*map(english, range(30, 40))])
        run = {"run_id": "r", "base_model_id": "b", "model_id": "r", "method": "lora", "seed": 0, "status": "done"}
        write_records(self.workspace, "runs", "r", [run])
        base = self.workspace.model("b")
        base.mkdir(parents=True)
        write_manifest(base, step="pretrain", key="b", inputs={self.first.version: 0.5}, settings={}, counts={})
        item = {"run_id": "r", "corpus_version": self.first.version, "role": "new", "language": "eng", "share": 1.0}
        write_records(self.workspace, "run_inputs", "r", [item])
        refresh_catalog(self.workspace)

    def refresh(self, name: str, pages: list[Page]) -> CorpusReport:
        (self.crawl / f"{name}.warc.gz").write_bytes(warc_bytes(pages, 1000 * ord(name))[0])
        units = list_work_units({"crawl": WarcSource(paths=[f"{self.crawl}/*"])}, self.workspace)
        self.read(units)
        before = self.workspace.current_version("english")
        report = build_corpus("english", self.settings, units, self.documents, self.workspace)
        record_corpus(self.workspace, report, self.settings.model_dump(mode="json"))
        record_move(self.workspace, "english", before, report.version, "refresh")
        return report

    def read(self, units: list[WorkUnit]) -> None:
        """Read in this process: a worker's start takes longer than all else here."""
        for unit in units:
            process_unit(unit, self.documents, self.workspace.documents(documents_key(self.documents)))

    def copied_to(self, folder: Path) -> "Study":
        """The same study elsewhere, for a test to change."""
        subprocess.run(["cp", "-a", f"{self.folder}/.", folder], check=True)  # versions share shards by hard links
        study = copy(self)
        study.folder, study.workspace, study.crawl = folder, Workspace(folder / "workspace"), folder / "crawl"
        study.settings = self.settings.model_copy(update={"decontaminate": (str(folder / "task.jsonl"),)})
        return study

    def hosts(self, version: str) -> set[str]:
        folder = self.workspace.corpus_version("english", version)
        return {row["host"] for side in ("train", "held_out") for row in read_shards(shard_files(folder, side))}


@pytest.fixture(scope="module")
def refreshed_twice(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def study(refreshed_twice: Study, tmp_path: Path) -> Study:
    return refreshed_twice.copied_to(tmp_path)


def rows(study: Study, sql: str) -> list[tuple[Any, ...]]:
    return query(study.workspace, sql).rows


def test_rolling_back_is_moving_a_pointer_and_is_recorded(study: Study) -> None:
    assert study.second.parent_version == study.first.version
    assert roll_back(study.workspace, "english", None, "too many menus") == (study.second.version, study.first.version)
    assert study.workspace.current_version("english") == study.first.version
    moves = rows(study, "SELECT version, version_before, action, reason FROM corpus_moves ORDER BY moved")
    assert moves[-1] == (study.first.version, study.second.version, "rollback", "too many menus")
    assert rows(study, "SELECT version FROM latest_refresh") == [(study.first.version,)]
    # What comes next descends from there.
    (study.crawl / "b.warc.gz").unlink()
    third = study.refresh("c", [*map(english, range(50, 60))])
    assert third.parent_version == study.first.version
    roll_back(study.workspace, "english", study.second.version)
    assert study.workspace.current_version("english") == study.second.version
    changes = rows(study, "SELECT documents_gained, documents_lost FROM corpus_changes ORDER BY ALL")
    assert changes == sorted([(30, 0), (study.second.changes.documents_gained, 0), (third.changes.documents_gained, 0)])


@pytest.mark.parametrize(
    ("corpus", "version", "sentence"),
    [
        ("nowhere", None, "there is no corpus 'nowhere'.*english"),
        ("../english", None, "there is no corpus"),
        ("english", "../../x", "has no version ../../x; before"),
    ],
)
def test_there_is_nothing_to_roll_back_to(study: Study, corpus: str, version: str | None, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        roll_back(study.workspace, corpus, version)
    roll_back(study.workspace, "english", None)
    with pytest.raises(InputError, match="is its first; name the version to go to"):
        roll_back(study.workspace, "english", None)


def test_a_forgotten_host_is_in_no_corpus_and_its_runs_are_named(study: Study) -> None:
    said: list[str] = []
    host = sorted(study.hosts(study.first.version))[0]
    found = forget_host(study.workspace, f"www.{host}", "a letter of 3 November", said.append)
    [(name, before, version, lost)] = found.corpora.rows
    assert (name, before) == ("english", study.second.version)
    assert lost > 0
    assert version == study.workspace.current_version("english")
    assert host in study.hosts(study.second.version) - study.hosts(version)
    assert {row[1] for row in found.versions.rows} == {study.first.version, study.second.version}
    assert [row[0] for row in found.runs.rows] == ["r"]
    assert found.bases.rows == [("b", study.first.version, 0.5, "r")]
    assert forget_host(study.workspace, host, "again", said.append).corpora.rows == []
    third = study.refresh("c", [english(99, host=int(host[4])), *map(english, range(70, 76))])
    assert host not in study.hosts(third.version)
    funnel = {row["reason"]: row["documents"] for row in third.funnel}
    assert funnel["forgotten_host"] == lost + sum(f"host{seed % 10}.example" == host for seed in [*range(70, 76)]) + 1
    shown = CliRunner().invoke(app, ["forget", "nowhere.example", "--workspace", str(study.workspace.root)])
    assert shown.exit_code == 0
    assert "nowhere.example is on" in shown.output
    assert "no version of a corpus here holds a page of nowhere.example: nothing was taken out" in shown.output


def test_no_whole_top_level_domain_is_forgotten(study: Study) -> None:
    with pytest.raises(InputError, match=r"^example is a whole top-level domain, in which \d+ hosts .*host0\.example"):
        forget_host(study.workspace, "Example.", "asked", lambda said: None)
    assert not study.workspace.deny_list.exists()
    # A machine's name in a network of its own has no dot either.
    study.refresh("n", [Page(html(prose(ENGLISH, 80)), "http://wiki/a"), *map(english, range(80, 86))])
    assert "wiki" in study.hosts(str(study.workspace.current_version("english")))
    forget_host(study.workspace, "wiki", "asked", lambda said: None)
    assert "wiki" not in study.hosts(str(study.workspace.current_version("english")))


def test_no_way_leads_back_to_a_version_with_a_forgotten_host(study: Study) -> None:
    host = sorted(study.hosts(study.first.version))[0]
    without = forget_host(study.workspace, host, "asked", lambda said: None).corpora.rows[0][2]
    for version in (study.first.version, study.second.version, None):
        with pytest.raises(InputError, match=f"hosts that were taken down .{host}.: it cannot come back"):
            roll_back(study.workspace, "english", version)
    assert study.workspace.current_version("english") == without
    # A pointer that was moved by hand, or a copy of the folder from before.
    (study.workspace.corpus("english") / "CURRENT").write_text(study.second.version)
    with pytest.raises(
        InputError, match=f"{study.second.version} of corpus english holds pages of hosts that were taken down .{host}"
    ):
        current_versions(config(study))
    (study.workspace.corpus("english") / "CURRENT").write_text(without)
    assert current_versions(config(study)) == {"english": without}


def test_verify_names_versions_with_pages_of_a_forgotten_host_and_deleting_them_is_enough(study: Study) -> None:
    host = sorted(study.hosts(study.first.version))[0]
    without = forget_host(study.workspace, host, "asked", lambda said: None).corpora.rows[0][2]

    def found(corpus: str | None = None) -> dict[str, tuple[str, str]]:
        damages = verify(study.workspace, corpus, lambda *event: None)
        return {damage.path: (damage.wrong, damage.fix) for damage in damages}

    kept = {study.first.version, study.second.version}
    says = f"it holds pages of hosts that were taken down ({host})"
    assert found() == found("english") == {f"corpora/english/{old}": (says, "delete that folder") for old in kept}
    pointer = study.workspace.corpus("english") / "CURRENT"
    pointer.write_text(study.second.version)  # by hand, or from a copy of the folder
    assert "in use and holds pages of hosts that were taken down" in next(files_wrong(study.workspace)).says
    assert found()[f"corpora/english/{study.second.version}"][1].startswith("run `nr refresh CONFIG`, which makes one")
    pointer.write_text(without)
    for old in kept:
        shutil.rmtree(study.workspace.corpus_version("english", old))
    assert found() == {}
    assert host not in study.hosts(study.refresh("c", [*map(english, range(50, 60))]).version)
    assert found() == {}
    study.workspace.deny_list.write_text("")
    assert "damaged" in found()["deny-list.jsonl"][0]


def config(study: Study) -> Any:
    source = {"kind": "warc", "paths": [str(study.crawl)]}
    corpus = {"language": "eng", "text_domain": "news", "sources": ["web"]}
    values = {"language": "hun", "sources": {"web": source}, "corpora": {"english": corpus}}
    return parse_config({**values, "workspace": str(study.workspace.root)}, "a test")


def test_a_quality_model_is_trained_at_the_command_line(study: Study, tmp_path: Path) -> None:
    def train(good: str, random: str) -> Any:
        options = ["--out", str(tmp_path / "quality.bin"), "--workspace", str(study.workspace.root)]
        return CliRunner().invoke(app, ["train-quality", good, random, *options, "--epochs", "20"])

    texts = [*(prose(ENGLISH, seed) for seed in range(200, 330)), *(prose(FRENCH, seed) for seed in range(130))]
    pages = [Page(html(text), f"https://host{number % 10}.example/{number}") for number, text in enumerate(texts)]
    (tmp_path / "both.warc.gz").write_bytes(warc_bytes(pages)[0])
    units = list_work_units({"both": WarcSource(paths=[f"{tmp_path}/both.warc.gz"])}, study.workspace)
    study.read(units)
    for name, language in (("good", "eng"), ("random", "fra")):
        settings = CorpusSettings(language=language, text_domain="x", sources=["both"], held_out_min_documents=4)
        build_corpus(name, settings, units, study.documents, study.workspace)
    shown = train("good", "random")
    assert shown.exit_code == 0, shown.output
    assert "held-out texts told right; set documents.quality_model to it" in shown.output
    assert (tmp_path / "quality.bin").is_file() and (tmp_path / "quality.json").is_file()
    assert "needs 100 of each" in str(train("english", "good").exception)
    assert "given twice" in str(train("good", "good").exception)
    assert "corpus none is not in workspace" in str(train("good", "none").exception)


def test_verify_names_what_is_damaged(study: Study) -> None:
    heard: list[tuple[int, int, str]] = []
    assert verify(study.workspace, None, lambda *event: heard.append(event)) == []
    assert heard[-1][0] == heard[-1][1] > 40
    [shard, *_] = shard_files(study.workspace.corpus_version("english", study.first.version), "train")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    [documents, *_] = (study.workspace.root / "documents").glob("*/*.parquet")
    documents.unlink()
    damages = verify(study.workspace, None, lambda *event: None)
    # Both versions have the shard.
    assert [damage.wrong for damage in damages] == ["its content is not what was written"] * 2 + ["it is missing"]
    assert "delete that folder, then run `nr refresh CONFIG`" in damages[0].fix
    assert damages[2].path == str(documents.relative_to(study.workspace.root))
    assert len(verify(study.workspace, "english", lambda *event: None)) == 2
    shown = CliRunner().invoke(app, ["verify", "english", "--workspace", str(study.workspace.root)])
    assert shown.exit_code == 1
    assert "2 wrong" in shown.output
    with pytest.raises(InputError, match="there is no corpus 'other'"):
        verify(study.workspace, "other", lambda *event: None)
    documents.symlink_to(documents.name)
    [unreadable] = [d for d in verify(study.workspace, None, lambda *event: None) if d.path == damages[2].path]
    assert (unreadable.wrong, "delete" in unreadable.fix) == ("it cannot be read", False)  # it may be whole


def test_pages_that_left_are_shown_beside_those_that_stayed(study: Study) -> None:
    [near] = inspect_pages(study.workspace, "english", "near_copy", 3)
    assert near.left.url == "https://host1.example/near"
    assert near.kept is not None
    assert near.kept.url == "https://host0.example/0.html"
    assert near.note.endswith("(minhash)")
    [contaminated] = inspect_pages(study.workspace, "english", "contaminated", 3)
    assert contaminated.left.url == "https://host2.example/planted"
    assert "which of these words were planted" in contaminated.note
    [language] = inspect_pages(study.workspace, "english", "language", 3)
    assert language.kept is not None
    assert CONTROL in language.left.title or "evil" in language.left.title
    shown = CliRunner().invoke(app, ["inspect", "english", "--reason", "language", "--workspace",
                                     str(study.workspace.root)])  # fmt: skip
    assert shown.exit_code == 0
    assert "jardin" in shown.output
    assert "\x1b" not in shown.output and "\x07" not in shown.output
    with pytest.raises(InputError, match=r"for reason 'mood'; reasons are: .*near_copy"):
        inspect_pages(study.workspace, "english", "mood", 3)


def test_pages_of_a_forgotten_host_are_not_shown_for_any_reason(study: Study) -> None:
    for host in ("host0.example", "host1.example"):
        forget_host(study.workspace, host, "asked", lambda said: None)
    with pytest.raises(InputError, match="is told by `nr verdicts english OUT`"):
        inspect_pages(study.workspace, "english", "forgotten_host", 3)
    study.refresh("c", [english(99, host=0), *map(english, range(70, 76))])
    [near] = inspect_pages(study.workspace, "english", "near_copy", 3)
    forgotten = inspect_pages(study.workspace, "english", "forgotten_host", 3)
    assert forgotten and all(pair.kept is not None and pair.kept.text for pair in forgotten)
    for page in (near.left, near.kept, *(pair.left for pair in forgotten)):
        assert page is not None
        assert (page.title, page.text, page.no_text) == ("", "", "no text: its host was taken down")


def documents_of(study: Study) -> list[dict[str, Any]]:
    return rows_of(sorted((study.workspace.root / "documents").glob("*/*.parquet")))


def rows_of(files: list[Path]) -> list[dict[str, Any]]:
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_verdicts_are_a_row_a_page_that_joins_an_index(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "verdicts.parquet"
    shown = CliRunner().invoke(app, ["verdicts", "english", str(out), "--workspace", str(study.workspace.root)])
    assert f"{len(documents_of(study))} pages" in shown.output, shown.output
    verdicts = pq.read_table(out).to_pylist()
    assert {row["nr_doc_id"]: row["warc_record_offset"] for row in verdicts} == {
        row["doc_id"]: row["warc_record_offset"] for row in documents_of(study)
    }
    assert {row["url"]: (row["nr_stage"], row["nr_reason"]) for row in verdicts
            if not row["nr_kept"] and row["nr_reason"] != "held_out_group"} == {
        "https://host1.example/near": ("minhash_dedup", "near_copy"),
        "https://host2.example/planted": ("decontamination", "contaminated"),
        next(row["url"] for row in verdicts if row["nr_language"] == "fra"): ("verdict", "language"),
    }  # fmt: skip
    counted = Counter((row["nr_stage"], row["nr_reason"]) for row in verdicts)
    assert counted == {(row["stage"], row["reason"]): row["documents"] for row in study.second.funnel}
    assert Counter(row["nr_side"] for row in verdicts)["held_out"] == study.second.held_out_documents
    forget_host(study.workspace, "host3.example", "asked", lambda said: None)
    assert write_verdicts(study.workspace, "english", out) == len(verdicts)
    with pytest.raises(InputError, match=r"no folder .*/nowhere; make it"):
        write_verdicts(study.workspace, "english", tmp_path / "nowhere" / "v.parquet")
    gone = {row["nr_reason"] for row in pq.read_table(out).to_pylist() if row["url_host_name"] == "host3.example"}
    assert gone == {"forgotten_host"}


def test_a_document_is_shown_with_its_record(study: Study) -> None:
    def inspected(*arguments: str) -> str:
        shown = CliRunner().invoke(app, ["inspect", *arguments, "--workspace", str(study.workspace.root)])
        return shown.output or str(shown.exception)

    near = next(row for row in documents_of(study) if row["url"] == "https://host1.example/near")
    shown = inspected(near["doc_id"], "--fetch")
    assert f"{study.second.version}: near_copy (minhash_dedup)" in shown
    assert "WARC-Target-URI: https://host1.example/near" in shown and "HTTP/1.1 200 OK" in shown
    assert near["text"][:60] in shown
    assert near["doc_id"] in inspected("https://host1.example/near")
    french = next(row for row in documents_of(study) if row["language"] == "fra")
    assert "\x1b" not in inspected(french["doc_id"], "--fetch")
    assert "give a corpus's name, a doc_id" in inspected("0" * 32)
    assert "english is a corpus: add --reason" in inspected("english")
    (study.crawl / "a.warc.gz").rename(study.crawl / "moved")
    assert "give it with --file" in inspected(near["doc_id"], "--file", str(study.crawl / "a.warc.gz"))
    assert "HTTP/1.1 200 OK" in inspected(near["doc_id"], "--file", str(study.crawl / "moved"))
    assert "not the file that was read" in inspected(near["doc_id"], "--file", str(study.crawl / "b.warc.gz"))
    forget_host(study.workspace, "host1.example", "asked", lambda said: None)
    shown = inspected(near["doc_id"])
    assert "no text: its host was taken down" in shown and near["text"][:60] not in shown


def test_documents_of_before_a_column_go_on_to_be_read(study: Study, tmp_path: Path) -> None:
    added = ["content_languages", "content_digest", "warc_filename", "warc_record_offset", "warc_record_length"]
    for file in (study.workspace.root / "documents").glob("*/*.parquet"):
        pq.write_table(pq.read_table(file).drop_columns(added), file)
    assert write_verdicts(study.workspace, "english", tmp_path / "v.parquet") == len(documents_of(study))
    near = next(row for row in documents_of(study) if row["url"] == "https://host1.example/near")
    assert inspect_document(study.workspace, near["doc_id"], fetch=True).record is not None


def test_pages_with_a_bad_word_are_shown_by_the_list_that_judged_them(study: Study, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("goshawk\n")
    study.settings = study.settings.model_copy(update={"bad_words": str(words)})
    page = english(77)
    study.refresh("c", [Page(page.body.replace("</p>", " A goshawk!</p>", 1), page.url)])
    [pair] = inspect_pages(study.workspace, "english", "bad_words", 3)
    assert pair.left.url == page.url and "goshawk" in pair.left.text
    words.write_text("hawk\n")
    with pytest.raises(InputError, match=r"`corpora.english.bad_words`: .* is no longer the list by which version"):
        inspect_pages(study.workspace, "english", "bad_words", 3)
    assert inspect_pages(study.workspace, "english", "language", 3)


def test_a_terminal_of_80_columns_shows_what_identifies_a_page(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_query(study.workspace, f"FROM documents('{study.workspace.root}')")
    header = capsys.readouterr().out.splitlines()[1]
    assert header.strip("│").replace("│", " ").split() == ["reason", "title", "…", "characters", "language", "url"]


def test_macros_read_what_versions_hold(study: Study) -> None:
    root = str(study.workspace.root)
    assert rows(study, f"SELECT method FROM duplicates('{root}')") == [("minhash",)]
    assert rows(study, f"SELECT ngram[:14] FROM contaminated('{root}')") == [("which of these",)]
    assert rows(study, f"SELECT DISTINCT corpus, size, weight FROM clusters('{root}')") == [("english", 2, 2)]
    left = rows(
        study, f"SELECT version, reason FROM left_corpus('{root}') WHERE reason <> 'held_out_group' ORDER BY ALL"
    )
    assert left == [(study.first.version, "contaminated"), (study.first.version, "near_copy")]
    left_parquet = study.workspace.corpus_version("english", study.second.version) / "left.parquet"
    assert set(pq.read_table(left_parquet)["reason"].to_pylist()) <= {"held_out_group"}
