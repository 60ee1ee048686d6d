"""Take a host's pages out of all corpora, for good, and say which models were trained on them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.steps.result_records import record_corpus, record_move
from pipelines.corpus.build import publish_version
from pipelines.corpus.lineage import CORPUS_STAGE_VERSION
from pipelines.corpus.shards import shard_files
from pipelines.corpus.shared_versions import changing_corpus, clear_bucket
from pipelines.dedup.signature import SignatureScheme
from pipelines.denylist import DenyList, deny, host_to_deny
from pipelines.settings import CorpusSettings
from pipelines.sources.work_units import read_units
from storage.errors import InputError
from storage.publish import read_manifest
from storage.query import Result, query
from storage.workspace import Workspace

_RUNS = """
SELECT DISTINCT r.run_id, coalesce(r.name, r.method) AS run, i.role, c.name AS corpus, i.corpus_version, r.status
FROM run_inputs i JOIN runs r USING (run_id) LEFT JOIN corpora c ON c.version = i.corpus_version
WHERE i.corpus_version IN (SELECT unnest($1)) AND i.share > 0 ORDER BY ALL
"""

_RUNS_FROM = "SELECT run_id FROM runs WHERE base_model_id = $1 ORDER BY ALL"


@dataclass(frozen=True)
class Forgotten:
    """Result of forgetting a host: corpora with documents lost, their versions that still hold its pages, models."""

    corpora: Result
    versions: Result
    runs: Result
    bases: Result  # pretrained here on these versions
    unknown: dict[str, int]  # documents in use of text sources that give no address, by source: their host is not known

    def summary(self, host: str) -> str:
        """Return what was taken out, in a sentence or two."""
        lost = sum(row[3] for row in self.corpora.rows)
        if self.corpora.rows:
            left = f"{lost} documents left {len(self.corpora.rows)} corpora"
            said = f"{left}; the versions before keep pages until you delete them"
        elif self.versions.rows:
            said = f"nothing left the corpora in use; versions that still hold pages of {host} are listed below"
        else:
            said = f"no version of a corpus here holds a page of {host}: nothing was taken out"
        if self.unknown:
            sources = ", ".join(f"{source} ({count})" for source, count in sorted(self.unknown.items()))
            said += (
                f"\ndocuments of these text sources have no address, so that none of them can be told by its host: "
                f"{sources}; set sources.NAME.url_field where their rows have one"
            )
        return said


def forget_host(workspace: Workspace, host: str, reason: str, say: Callable[[str], None]) -> Forgotten:
    """Put a host, with its subdomains, on the workspace's list, and publish a version without it of each corpus.

    Every later version honours the list. Versions made before, and the documents that were read, keep the text until
    they are deleted: the former are listed. What has pages of the host in the workspace's bucket is removed there. A
    corpus that cannot be published again, for instance since all of its held-out split is of this host, is said and
    costs that corpus only. Raises InputError for what is no host, and for a whole top-level domain.
    """
    _refuse_top_level_domain(workspace, host_to_deny(host))
    entry = deny(host, reason, workspace)
    all_of_it = "" if "." in entry.host else f", with every host that ends in .{entry.host}"
    say(f"{entry.host} is on {workspace.deny_list}{all_of_it}; every version made from now on honours it")
    holding = [(name, version, count) for name, version, count in _holding(workspace, DenyList([entry.host]))]
    rows = []
    for name in workspace.published_corpora():
        try:
            with changing_corpus(name, workspace):
                before = workspace.current_version(name)
                version, lost = _publish_without(workspace, name)
        except InputError as error:
            say(f"corpus {name} stays as it is: {error}")
            continue
        record_move(workspace, name, before, version, "forget", f"{entry.host}: {reason}")
        if version != before:
            rows.append((name, before, version, lost))
    if workspace.bucket:
        for path in clear_bucket(entry.host, workspace):
            say(f"removed from {workspace.bucket.url}: {path}")
    versions = sorted({version for _, version, _ in holding})
    runs = query(workspace, _RUNS, [versions]) if workspace.catalog.exists() else Result(["run_id"], [])
    return Forgotten(
        Result(["corpus", "version before", "version", "documents lost"], rows),
        Result(["corpus", "version", "documents of the host"], list(holding)),
        runs,
        Result(["base", "corpus version", "share", "runs from it"], _bases(workspace, versions)),
        _without_address(workspace),
    )


def _refuse_top_level_domain(workspace: Workspace, host: str) -> None:
    """Refuse a name of one label that other hosts end in, unless pages lie on it itself, as on a machine's name."""
    if "." in host:
        return
    below: set[str] = set()
    for name in workspace.published_corpora():
        folder = workspace.corpus_version(name, workspace.current_version(name) or "")
        for file in [*shard_files(folder, "train"), *shard_files(folder, "held_out")]:
            hosts = pc.unique(pq.read_table(file, columns=["host"])["host"]).drop_null().to_pylist()
            if host in hosts:
                return
            below.update(one for one in hosts if one.endswith(f".{host}"))
    if below:
        some = ", ".join(sorted(below)[:3])
        raise InputError(
            f"{host} is a whole top-level domain, in which {len(below)} hosts of the corpora lie ({some}"
            f"{', ...' if len(below) > 3 else ''}): give the host whose pages are to go"
        )


def _without_address(workspace: Workspace) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for name in workspace.published_corpora():
        version = workspace.current_version(name)
        folder = workspace.corpus_version(name, version or "")
        sources = pa.array({unit.source for unit in read_units(folder) if unit.kind == "text"}, pa.string())
        for file in [*shard_files(folder, "train"), *shard_files(folder, "held_out")] if len(sources) else []:
            hosts = pq.read_table(file, columns=["host"])["host"]
            found = hosts.filter(pc.is_in(hosts, sources)).value_counts().to_pylist()
            counts.update({entry["values"]: entry["counts"] for entry in found})
    return dict(counts)


def _publish_without(workspace: Workspace, name: str) -> tuple[str, int]:
    version = workspace.current_version(name)
    assert version is not None
    folder = workspace.corpus_version(name, version)
    manifest = read_manifest(folder)
    if manifest is None or manifest["inputs"]["stage_version"] != CORPUS_STAGE_VERSION:
        raise InputError("another version of neutral-residues made it; `nr refresh CONFIG` makes one without the host")
    settings = CorpusSettings.model_validate(manifest["settings"])
    inputs = manifest["inputs"]
    scheme = SignatureScheme(**inputs["signatures"])
    report = publish_version(name, settings, read_units(folder), inputs["documents_key"], scheme, workspace)
    record_corpus(workspace, report, settings.model_dump(mode="json"))
    return report.version, report.changes.documents_lost


def _bases(workspace: Workspace, versions: Sequence[str]) -> list[tuple[str, str, float, str]]:
    """Return bases pretrained here on some versions: name, version, its share, and the runs that started from the
    base.
    """
    found = []
    for manifest in sorted(workspace.root.glob("models/*/manifest.json")):
        base, made = manifest.parent.name, read_manifest(manifest.parent) or {}
        of_versions = {version: share for version, share in made.get("inputs", {}).items() if version in versions}
        if not of_versions:
            continue
        known = workspace.catalog.exists()
        rows = query(workspace, _RUNS_FROM, [base]).rows if known else []
        runs = ", ".join(run for (run,) in rows)
        found += [(base, version, float(share), runs) for version, share in of_versions.items()]
    return found


def _holding(workspace: Workspace, taken_down: DenyList) -> list[tuple[str, str, int]]:
    """Query versions of corpora with documents of the host: name, version, number."""
    found = []
    for name in workspace.published_corpora():
        for manifest in sorted(workspace.corpus(name).glob("*/manifest.json")):
            folder = manifest.parent
            files = [file for split in ("train", "held_out") for file in shard_files(folder, split)]
            count = sum(int(taken_down.mask(pq.read_table(file, columns=["host"])).sum()) for file in files)
            if count:
                found.append((name, folder.name, count))
    return found
