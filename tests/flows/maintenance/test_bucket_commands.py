"""nr forget, rollback, verify, gc and plan on a workspace with a bucket."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.cli.plan import plan_refresh
from flows.config.study import load_config
from flows.steps.result_records import record_corpus
from pipelines.corpus.build import CorpusReport
from pipelines.corpus.shared_versions import changing_corpus
from storage.workspace import Workspace
from tests.pipelines.conftest import document_settings, write_warc  # noqa: F401 (fixtures)
from tests.pipelines.growing_crawl import Crawl, english

pytestmark = pytest.mark.slow


def refresh(crawl: Crawl, **fields: Any) -> CorpusReport:
    with changing_corpus("english", crawl.workspace):
        report = crawl.build(**fields)
    record_corpus(crawl.workspace, report, {})
    return report


def nr(crawl: Crawl, *command: str) -> str:
    result = CliRunner().invoke(app, [*command, "--workspace", str(crawl.workspace.root)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


@pytest.fixture
def crawl(tmp_path: Path, write_warc: Callable[..., Path], document_settings) -> Crawl:  # noqa: F811
    crawl = Crawl(write_warc, Workspace(tmp_path / "workspace", f"file://{tmp_path}/bucket"), document_settings)
    crawl.add("a.warc.gz", [english(seed) for seed in range(24)])
    return crawl


@pytest.mark.slow
def test_commands_keep_bucket_and_folder_in_step(crawl: Crawl, tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    in_use = bucket / "corpora" / "english" / "CURRENT"
    first = refresh(crawl)
    crawl.add("b.warc.gz", [english(seed) for seed in range(30, 40)])
    second = refresh(crawl)
    assert in_use.read_text() == second.version
    assert "all is as it was written" in nr(crawl, "verify")

    nr(crawl, "rollback", "english")
    assert in_use.read_text() == first.version
    other = Workspace(tmp_path / "other", f"file://{bucket}")
    with changing_corpus("english", other):
        assert other.current_version("english") == first.version

    damaged = bucket / "corpora" / "english" / second.version / "index" / "kept.parquet"
    damaged.write_bytes(b"half")
    said = nr(crawl, "verify")
    assert f"file://{damaged}: it has 4 bytes" in said and said.rstrip().endswith("1 wrong")
    assert "delete manifest.json beside it" in " ".join(said.split())
    (bucket / "corpora" / "english" / second.version / "manifest.json").unlink()
    refresh(crawl)
    assert "all is as it was written" in nr(crawl, "verify")

    assert "removed from file://" in nr(crawl, "forget", "host3.example")
    without = in_use.read_text()
    assert without == crawl.workspace.current_version("english") and without not in (first.version, second.version)
    assert not (bucket / "corpora" / "english" / first.version).exists()


def test_a_corpus_that_only_the_bucket_has_is_rolled_back(crawl: Crawl, tmp_path: Path) -> None:
    first = refresh(crawl)
    crawl.add("b.warc.gz", [english(seed) for seed in range(30, 40)])
    second = refresh(crawl)
    crawl.workspace = Workspace(tmp_path / "new-machine", f"file://{tmp_path}/bucket")
    refused = CliRunner().invoke(app, ["rollback", "french", "--workspace", str(crawl.workspace.root)])
    assert str(refused.exception).endswith("there are: english")
    in_use = tmp_path / "bucket" / "corpora" / "english" / "CURRENT"
    nr(crawl, "rollback", "english")
    assert in_use.read_text() == first.version == crawl.workspace.current_version("english")
    crawl.workspace = Workspace(tmp_path / "another", f"file://{tmp_path}/bucket")
    nr(crawl, "rollback", "english", second.version)  # later than the one in use, which does not need it
    assert in_use.read_text() == second.version == crawl.workspace.current_version("english")


def test_gc_leaves_the_bucket_alone_where_another_machine_has_gone_on(crawl: Crawl, tmp_path: Path) -> None:
    bucket, versions = tmp_path / "bucket", []
    for number in range(3):  # each with other settings, so that nothing needs the one before but its parent
        versions.append(refresh(crawl, min_characters=201 + number).version)
    command = ("gc", "--versions", "1", "--days", "0", "--home", str(tmp_path / "none"), "--yes")
    moves, folder = bucket / "corpora" / "english" / "moves", bucket / "corpora" / "english"
    (moves / "00000004").write_text("another")
    nr(crawl, *command)
    assert all((folder / version / "manifest.json").exists() for version in versions)
    (moves / "00000004").unlink()
    crawl.workspace = Workspace(tmp_path / "other", f"file://{bucket}")
    refresh(crawl, min_characters=203)
    nr(crawl, *command)
    assert [(folder / version).exists() for version in versions] == [
        True,
        False,
        True,
    ]  # the first is the reference


def test_plan_knows_what_the_bucket_has(crawl: Crawl, tmp_path: Path) -> None:
    refresh(crawl)
    config = tmp_path / "config.yaml"
    model = crawl.documents.language_model
    given = f"documents: {{language_model: {model}, languages: null}}" if model else "documents: {languages: null}"
    config.write_text(
        f"language: eng\nworkspace: {tmp_path}/other\nbucket: file://{tmp_path}/bucket\n{given}\n"
        f"sources: {{crawl: {{kind: warc, paths: ['{crawl.folder}/*']}}}}\n"
        "corpora: {english: {language: eng, text_domain: x, sources: [crawl], held_out_min_documents: 2}}\n"
    )
    tables = dict(plan_refresh(load_config(config), lambda said: None))
    assert tables["sources"].rows[0][1:3] == (1, 0)
    assert tables["steps"].rows[0][:2] == ("english", "stands")
