"""Quality checks between data and training: limits that a corpus must keep, recorded whether it passes or not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from pydantic import BaseModel, ConfigDict, Field

from pipelines.corpus.shards import shard_files
from storage.catalog import refresh_catalog
from storage.duckdb_connection import connect_quietly
from storage.errors import InputError
from storage.publish import read_manifest
from storage.records import write_records
from storage.workspace import Workspace


class Checks(BaseModel):
    """Limits that every corpus must keep. One that does not is kept, but no flow goes on with it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    min_documents: int = Field(1, ge=0, description="fewest documents in both splits")
    min_language_share: float = Field(
        0.0, ge=0, le=1, description="least share of the judged documents that is in the corpus's language"
    )
    max_duplicate_rate: float = Field(
        1.0, ge=0, le=1, description="most copies, exact and near, as a share of the documents that passed the filter"
    )
    max_contamination: float = Field(
        0.01, ge=0, le=1, description="most held-out documents whose text stands in a train split, as a share"
    )


@dataclass(frozen=True)
class Check:
    """One measured value of a corpus version against its limit."""

    name: str
    value: float
    limit: float
    passed: bool
    remedy: str


def check_corpora(checks: Checks, versions: Mapping[str, str], workspace: Workspace) -> None:
    """Measure and record every check of these corpus versions.

    Raises:
        InputError: one did not pass; the sentence names the corpus, the value, the limit and what to do.
    """
    failed = []
    for name, version in versions.items():
        manifest = read_manifest(workspace.corpus_version(name, version))
        if manifest is None:
            raise InputError(f"version {version} of corpus {name} is not in workspace {workspace.root}: refresh it")
        training = [workspace.corpus_version(*corpus) for corpus in versions.items()]
        found = [*_of_funnel(checks, manifest["counts"]), _contamination(checks, manifest, name, training, workspace)]
        rows = [
            {"version": version, "name": check.name, "value": check.value, "bound": check.limit, "passed": check.passed}
            for check in found
        ]
        write_records(workspace, "checks", version, rows)
        failed += [(name, check) for check in found if not check.passed]
    refresh_catalog(workspace)
    if failed:
        name, check = failed[0]
        more = f' (and {len(failed) - 1} more: `nr sql "from checks where not passed"`)' if len(failed) > 1 else ""
        raise InputError(
            f"corpus {name}: {check.name} is {check.value:g}, and `checks.{check.name}` allows {check.limit:g}; "
            f"{check.remedy}{more}"
        )


def _of_funnel(checks: Checks, counts: Mapping[str, Any]) -> Iterator[Check]:
    documents: dict[tuple[str, str], int] = {}
    for row in counts["funnel"]:
        key = row["stage"], row["reason"]
        documents[key] = documents.get(key, 0) + row["documents"]
    judged = sum(documents.values())
    passed = judged - sum(count for (stage, _), count in documents.items() if stage == "verdict")
    foreign = documents.get(("verdict", "language"), 0)
    copies = sum(count for (stage, _), count in documents.items() if stage in ("exact_dedup", "minhash_dedup"))
    share, rate = 1 - foreign / max(judged, 1), copies / max(passed, 1)
    fewest, least, most = checks.min_documents, checks.min_language_share, checks.max_duplicate_rate
    held = counts["documents"]
    yield Check("min_documents", held, fewest, held >= fewest, "give it more sources, or lower the limit")
    yield Check("min_language_share", share, least, share >= least, "its sources are mostly in another language")
    yield Check("max_duplicate_rate", rate, most, rate <= most, "its sources repeat one another")


def _contamination(
    checks: Checks, manifest: Mapping[str, Any], name: str, training: list[Path], workspace: Workspace
) -> Check:
    """Check the held-out documents of this corpus whose very text is trained on, in whichever corpus."""
    held_out = [str(file) for file in shard_files(workspace.corpus_version(name, manifest["key"]), "held_out")]
    train = sorted(str(file) for folder in training for file in shard_files(folder, "train"))
    try:
        with connect_quietly() as connection:
            row = connection.execute(
                "SELECT count(*), count(*) FILTER (hash(text) IN (SELECT hash(text) FROM read_parquet($train))) "
                "FROM read_parquet($held_out)",
                {"train": train, "held_out": held_out},
            ).fetchone()
    except duckdb.Error:  # its message quotes what is damaged at length
        raise InputError(
            f"corpus {name}: a shard cannot be read; `nr verify` names the files that are damaged, and the fix"
        ) from None
    documents, found = row or (0, 0)
    share, most = found / max(documents, 1), checks.max_contamination
    remedy = "set `decontaminate`, or split the corpora by host so that copies fall into one split"
    return Check("max_contamination", share, most, share <= most, remedy)
