"""Commands on published corpora."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.app import AT_HOME, AsJson, WorkspaceFolder, app, existing
from storage.errors import InputError

if TYPE_CHECKING:
    from storage.workspace import Workspace


@app.command()
def train_quality(
    good: Annotated[str, typer.Argument(help="Published corpus that good texts are like.")],
    random: Annotated[str, typer.Argument(help="Published corpus of random pages, in the same language.")],
    out: Annotated[Path, typer.Option(**AT_HOME, help="Model to write: .bin, or .ftz for a quantised one.")],
    workspace: WorkspaceFolder = Path("workspace"),
    documents: Annotated[int, typer.Option(help="At most so many texts of each.", min=100)] = 50_000,
    learning_rate: Annotated[float, typer.Option(help="Of fastText; halved where it diverges.", max=1)] = 0.1,
    epochs: Annotated[int, typer.Option(help="Passes over the texts.", min=1)] = 5,
) -> None:
    """Train a classifier of good text against random pages. For documents.quality_model."""
    from pipelines.settings import QualityModelSettings
    from pipelines.text.quality_model import train_quality_model
    from storage.workspace import Workspace

    if good == random:
        raise InputError(f"corpus {good} is given twice: give two corpora, of good texts and of random pages")
    if learning_rate <= 0:
        raise InputError(f"--learning-rate {learning_rate}: give a number above 0, such as 0.1")
    settings = QualityModelSettings(documents=documents, learning_rate=learning_rate, epochs=epochs)
    place = Workspace(existing(workspace))
    card = train_quality_model(_texts(place, good), _texts(place, random), settings, out)
    print(
        f"{out}: {card['held_out_accuracy']:.3f} of {card['held_out_documents']} held-out texts told right; "
        f"set documents.quality_model to it, and corpora.NAME.rules.quality_min to a threshold"
    )


def _texts(workspace: "Workspace", corpus: str) -> Iterator[str]:
    """Yield texts of the train split of a corpus's current version."""
    import pyarrow.parquet as pq

    from flows.steps.tokens import published_version
    from pipelines.corpus.shards import shard_files

    version = workspace.corpus_version(corpus, published_version(corpus, workspace))
    for file in shard_files(version, "train", repeats=True):
        with pq.ParquetFile(file) as shard:
            for batch in shard.iter_batches(batch_size=512, columns=["text"]):
                yield from batch["text"].to_pylist()


@app.command()
def inspect(
    what: Annotated[
        str, typer.Argument(help="A corpus's name; or a document: its doc_id, or the address of its page.")
    ],
    reason: Annotated[
        str | None, typer.Option(help="Of a corpus: why pages left, a reason of its funnel, such as near_copy.")
    ] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Of a document: read its record again, and show it.")] = False,
    file: Annotated[str | None, typer.Option(help="Path or address of the document's WARC file, if it moved.")] = None,
    pages: Annotated[int, typer.Option(help="How many.", min=1)] = 3,
    characters: Annotated[int, typer.Option(help="Of each text.", min=1)] = 1500,
    workspace: WorkspaceFolder = Path("workspace"),
    json: AsJson = False,
) -> None:
    """Show pages dropped for a reason, beside pages that stayed. Or all that is known of one document."""
    from flows.cli.table import document_tables, pair_rows, print_document, print_json, print_pairs
    from flows.maintenance.inspect_pages import inspect_document, inspect_pages
    from storage.workspace import Workspace

    opened = Workspace(existing(workspace))
    if reason is not None:
        pairs = inspect_pages(opened, what, reason, pages)
        if json:
            print_json([(f"left: {reason}", pair_rows(pairs, characters))])
        else:
            print_pairs(pairs, reason, characters)
    elif what in opened.published_corpora():
        raise InputError(f'{what} is a corpus: add --reason, one of `nr sql "FROM corpus_funnel"`')
    else:
        document = inspect_document(opened, what, fetch or file is not None, file)
        if json:
            print_json(document_tables(document, characters))
        else:
            print_document(document, characters)


@app.command()
def verdicts(
    corpus: Annotated[str, typer.Argument(help="Its name.")],
    out: Annotated[Path, typer.Argument(**AT_HOME, help="Parquet file to write.")],
    workspace: WorkspaceFolder = Path("workspace"),
) -> None:
    """Write what became of each page of a corpus, and why. As a table that joins Common Crawl's index."""
    from flows.maintenance.verdicts import write_verdicts
    from storage.workspace import Workspace

    rows = write_verdicts(Workspace(existing(workspace)), corpus, out)
    print(f"{out}: {rows:,} pages; join Common Crawl's index by crawl, warc_filename and warc_record_offset")


@app.command()
def rollback(
    corpus: Annotated[str, typer.Argument(help="Its name.")],
    version: Annotated[str | None, typer.Argument(help="Version to go to; none: the one before.")] = None,
    reason: Annotated[str | None, typer.Option(help="Reason to record.")] = None,
    workspace: WorkspaceFolder = Path("workspace"),
) -> None:
    """Make an earlier version of a corpus the one in use."""
    from flows.maintenance.rollback import roll_back
    from storage.workspace import Workspace

    before, after = roll_back(Workspace(existing(workspace)), corpus, version, reason)
    print(f"{corpus}: version {after} is in use, before it {before} was")
    print(f"a refresh from the same sources and settings brings {before} again: change them first")


@app.command()
def forget(
    host: Annotated[str, typer.Argument(help="Such as example.org; its subdomains go too.")],
    reason: Annotated[str, typer.Option(help="Reason to record beside the host.")] = "asked for",
    workspace: WorkspaceFolder = Path("workspace"),
    json: AsJson = False,
) -> None:
    """Take a host's pages out of all corpora for good. Lists the models that were trained on them."""
    from flows.cli.table import print_tables
    from flows.maintenance.forget import forget_host
    from storage.workspace import Workspace

    say = partial(print, file=sys.stderr if json else sys.stdout)
    found = forget_host(Workspace(existing(workspace)), host, reason, say)
    say(found.summary(host))
    tables = (
        ("new versions", found.corpora),
        ("versions that hold pages of it", found.versions),
        ("runs trained on these versions", found.runs),
        ("bases pretrained on these versions", found.bases),
    )
    print_tables([(title, table) for title, table in tables if table.rows], json)


@app.command()
def verify(
    corpus: Annotated[str | None, typer.Argument(help="Check its versions only; none: the whole workspace.")] = None,
    workspace: WorkspaceFolder = Path("workspace"),
    json: AsJson = False,
) -> None:
    """Check all files against their recorded checksums. And versions of corpora against the deny list."""
    from flows.cli.table import print_json
    from flows.maintenance.verify import verify as check
    from storage.workspace import Workspace

    def show(done: int, files: int, name: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{done} of {files} files  {name[-80:]}", end="", file=sys.stderr)

    damages = check(Workspace(existing(workspace)), corpus, show)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if json:
        print_json([("wrong", [asdict(damage) for damage in damages])])
    else:
        for damage in damages:
            print(f"{damage.path}: {damage.wrong}; {damage.fix}")
        print(f"{len(damages)} wrong" if damages else "all is as it was written")
    if damages:
        raise typer.Exit(1)
