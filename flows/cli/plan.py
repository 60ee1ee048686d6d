"""Tell what a flow would do, for `nr plan` (study.py): the selection of each source, what is still to be downloaded,
and which steps stand.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from flows.config.runs import OwnText, PretrainedHere
from flows.config.study import Config
from flows.data_refresh import waiting_units
from flows.steps.base import fitting_shape, pretrained_id
from flows.steps.own_text import seconds_per_token, standing_own_text
from flows.steps.result_records import are_recorded
from flows.train import built_on
from nr_core.settings import DEFAULT_LENGTH, BaseSpec, MethodSettings
from pipelines.corpus.lineage import has_settings
from pipelines.corpus.shared_versions import version_in_bucket
from pipelines.denylist import holds_taken_down
from pipelines.documents.added_languages import units_again
from pipelines.documents.shared_units import units_in_bucket
from pipelines.documents.stage import documents_key
from pipelines.settings import CommonCrawlIndexSource, CorpusSettings
from pipelines.sources.common_crawl.selection import read_batch, read_units
from pipelines.sources.fetch_unit import needs_fetching
from pipelines.sources.remote import Remote
from pipelines.sources.work_units import WorkUnit, list_work_units
from pipelines.text.bad_words import read_bad_words
from storage.files import read_json
from storage.publish import is_done, read_manifest
from storage.query import Result, query
from storage.workspace import Workspace

# Which steps after reading a flow would take, which stand and why, and how long they take by what past ones took.


READING = """SELECT kind, sum(seconds) / sum(bytes) FROM work_units
WHERE status = 'done' AND bytes > 0 AND seconds > 0 GROUP BY kind"""
TRAINING = """SELECT method, sum(seconds) / sum(tokens) FROM runs
WHERE status = 'done' AND tokens > 0 GROUP BY method"""
RUNS = """SELECT run_id, settings FROM runs WHERE name = $name AND seed = $seed AND status = 'done'
AND list_sort((SELECT list(corpus_version) FROM run_inputs i WHERE i.run_id = runs.run_id)) = list_sort($versions)"""


def reading_rates(workspace: Workspace) -> Mapping[str, float]:
    """Return the seconds of one process a byte, by kind of unit, from all units that were read here."""
    return dict(query(workspace, READING).rows) if workspace.catalog.exists() else {}


def plan_steps(config: Config, units: Sequence[WorkUnit], workspace: Workspace) -> Result:
    """List corpora and runs of the config: whether each would be made, why, and the estimated minutes (None: no
    past).
    """
    rows = list(_corpora(config, units, workspace))
    stand = {name: workspace.current_version(name) for name, would, *_ in rows if would == "stands"}
    if config.inputs:
        standing: dict[str | None, str] = {name: version for name, version in stand.items() if version}
        for item in config.inputs:
            if isinstance(item, OwnText):
                rows.append(_own_text(item, config, standing, workspace))
        rows += _runs(config, standing, workspace)
    return Result(["step", "outcome", "why", "minutes (estimate)"], list(rows))


Row = tuple[str, str, str, float | None]


def _corpora(config: Config, units: Sequence[WorkUnit], workspace: Workspace) -> Iterator[Row]:
    key = documents_key(config.documents)
    for name in config.in_order():
        own = {unit.unit_id for unit in units if unit.source in config.corpora[name].sources}
        yield name, *_corpus(config.corpora[name], own, key, name, workspace), None


def _corpus(settings: CorpusSettings, own: set[str], key: str, name: str, workspace: Workspace) -> tuple[str, str]:
    version = workspace.current_version(name)
    manifest = read_manifest(workspace.corpus_version(name, version)) if version else None
    there = version_in_bucket(name, workspace)
    if there and there["key"] != version:
        version, manifest = there["key"], there
    if version is None or manifest is None:
        return "new", "it has no version yet"
    if manifest is not there and not is_done(workspace.corpus_version(name, version)):
        return "new", f"files of version {version} are missing"
    if not has_settings(manifest, settings):
        return "new", f"its settings are not those of version {version}"
    bad_words = read_bad_words(name, settings)
    if manifest["inputs"].get("bad_words") != (bad_words.content_hash if bad_words is not None else None):
        return "new", f"its list of bad words is not that of version {version}"
    if manifest["inputs"]["documents_key"] != key:
        return "new", f"version {version} was made with other settings of `documents`"
    if new := own - set(manifest["counts"]["unit_ids"]):
        return "new", f"{len(new)} of its {len(own)} units are not in version {version}"
    if manifest is not there and (hosts := holds_taken_down(name, version, workspace)):
        return "new", f"version {version} holds pages of {hosts[0]}, which was taken down"
    return "stands", f"version {version} has all its units, by the same settings"


def _own_text(item: OwnText, config: Config, standing: dict[str | None, str], workspace: Workspace) -> Row:
    """Return the plan's row of the base's own text; where that text is there, its key is put into `standing`."""
    asked = f"{item.tokens:,} tokens, seed {item.seed}"
    base = _base_that_writes(config.base, standing, workspace)
    key = standing_own_text(workspace, item, base)
    if key is None:
        seconds = seconds_per_token(workspace, base)
        minutes = round(item.tokens * seconds / 60, 1) if seconds else None
        return "text of the base", "new", f"the base has not written it yet: {asked}", minutes
    standing[item.corpus] = key
    return "text of the base", "stands", f"{key} holds {asked}, of the same base", None


def _base_that_writes(base: Any, standing: Mapping[str | None, str], workspace: Workspace) -> BaseSpec | None:
    """Return the base as its text names it; None for one that is trained here on corpora that do not stand yet."""
    if not isinstance(base, PretrainedHere):
        return base if isinstance(base, BaseSpec) else None
    versions = {name: standing[name] for name, share in base.corpora.items() if share > 0 and name in standing}
    if len(versions) < sum(share > 0 for share in base.corpora.values()):
        return None
    return BaseSpec(model=str(workspace.model(pretrained_id(base, versions))))


def _runs(config: Config, standing: Mapping[str | None, str], workspace: Workspace) -> Iterator[Row]:
    rates = dict(query(workspace, TRAINING).rows) if workspace.catalog.exists() else {}
    tokens = config.training.steps * config.training.batch_size * (config.training.sequence_length or DEFAULT_LENGTH)
    missing = [item.corpus for item in config.inputs if item.corpus not in standing]
    built_on(config)  # refuses a run that is not there
    by_label = {method.label: method.trained for method in config.methods}
    for seed in config.seeds:
        for method in config.methods:
            teacher = by_label.get(method.distil_from or "")
            for run in (method.trained, *method.points()):
                label = f"{run.label} seed {seed}"
                if not missing and (found := _run(config, run, seed, standing, workspace, teacher)):
                    yield label, "stands", f"run {found} has the same inputs and settings", None
                elif run.interpolate:
                    yield label, "new", f"it is made of {method.label}, without training", 0.0
                else:
                    rate = rates.get(method.method)
                    yield label, "new", _why_new(missing, teacher), round(tokens * rate / 60, 1) if rate else None


def _why_new(missing: list[str | None], teacher: MethodSettings | None) -> str:
    if not missing and teacher is not None:
        return f"no run has these inputs and settings; it learns from {teacher.label}, and its tokens count both"
    if not missing:
        return "no run has these inputs and settings"
    return f"corpus {missing[0]} gets a new version" if missing[0] else "the base writes its text first"


def _run(
    config: Config,
    method: MethodSettings,
    seed: int,
    versions: Mapping[str | None, str],
    workspace: Workspace,
    teacher: MethodSettings | None = None,
) -> str | None:
    taught_by = None if teacher is None else _run(config, teacher, seed, versions, workspace)
    if not workspace.catalog.exists() or (teacher is not None and taught_by is None):
        return None
    wanted = {"name": method.label, "seed": seed, "versions": [versions[item.corpus] for item in config.inputs]}
    vocabulary = config.base.vocabulary if isinstance(config.base, BaseSpec) else "full"
    earlier = built_on(config)
    return next(
        (
            str(run_id)
            for run_id, settings in query(workspace, RUNS, wanted).rows
            if are_recorded(settings, method, config.training, vocabulary, taught_by)
            and _was_built_on(workspace, str(run_id)) == earlier
        ),
        None,
    )


def _was_built_on(workspace: Workspace, run_id: str) -> dict[str, str | None]:
    file = workspace.run(run_id) / "spec.json"
    spec = read_json(file, "`nr verify` says what is wrong with it") if file.exists() else {}
    return {field: Path(spec[field]).name if spec.get(field) else None for field in ("add_to", "start_from")}


SHOWN_RECORDS = 20

# What trainings of a given model cost, whatever stands, before any has run. A small base trained here needs no GPU.

GPU, SHARE_OF_PEAK = "H100", 0.4  # the share is assumed: loops of transformers reach .3 to .5 of the peak in bf16


def _prices(config: Config, say: Callable[[str], None]) -> Iterator[tuple[str, Result]]:
    if not (isinstance(config.base, BaseSpec) and config.inputs):
        return
    from nr_core.errors import ModelError
    from nr_core.training.flops import PEAK, planned_flops, product_flops  # takes torch's seconds

    training = config.training
    tokens = training.steps * training.batch_size * (training.sequence_length or DEFAULT_LENGTH)
    rows: list[tuple[str, int, int, float | None, float | None, float | None]] = []
    here = product_flops(config.resources.training_threads())
    try:
        fitting_shape(config.base, config)  # what a run would refuse after the corpora were made
        for method in config.methods:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # what the libraries tell one another
                flops = planned_flops(config.base, method, training)
            hours = None if flops is None else flops / (PEAK[GPU] * SHARE_OF_PEAK) / 3600
            minutes = round(flops / (here * SHARE_OF_PEAK) / 60, 1) if flops and here else None
            rows.append((method.label, len(config.seeds), tokens, flops, hours, minutes))
    except ModelError as error:
        say(f"the trainings have no price: {error}")
        return
    columns = ["run", "seeds", "tokens", "FLOPs a seed", "GPU hours a seed", "minutes a seed here"]
    title = f"trainings, at {SHARE_OF_PEAK:.0%} of an {GPU}'s peak in bf16, or of a matrix product's speed here now"
    yield title, Result(columns, list(rows))


def plan_refresh(config: Config, say: Callable[[str], None]) -> Iterator[tuple[str, Result]]:
    """Yield tables with titles: what trainings of a given model cost on a GPU, the sources, the steps, then the first
    records of each selection.

    `say` hears the size of each index download before it starts. Raises InputError as list_work_units does.
    """
    yield from _prices(config, say)
    workspace = Workspace(config.workspace, config.bucket)
    units = list_work_units(config.sources, workspace, config.fetch, say)
    key_of_documents = documents_key(config.documents)
    shared = units_in_bucket(workspace.documents(key_of_documents), workspace)  # downloaded, not read
    rates = reading_rates(workspace)
    rows, selections = [], []
    for source, found in groupby(sorted(units, key=lambda unit: unit.source), key=lambda unit: unit.source):
        own = list(found)
        new = [unit for unit in waiting_units(own, key_of_documents, workspace) if unit.unit_id not in shared]
        parts = list(units_again(new, config.documents, documents_key, workspace))
        far = [unit for unit in parts if needs_fetching(unit)]
        pages = requests = None
        if isinstance(config.sources[source], CommonCrawlIndexSource):
            key = own[0].options["selection"]
            batches = read_units(key, workspace).to_pylist()
            pages, requests = (sum(batch[column] for batch in batches) for column in ("pages", "requests"))
            selections.append((source, key, own))
        minutes = _minutes(parts, rates, config.resources.reading_workers())
        rows.append((source, len(own), len(new), pages, requests, _megabytes(far, Remote(config.fetch)), minutes))
    columns = ["source", "units", "to read", "pages", "requests", "MB to download (estimate)", "minutes (estimate)"]
    yield "sources", Result(columns, rows)
    yield "steps", plan_steps(config, units, workspace)
    for source, key, own in selections:
        records = read_batch(key, 0, own[0].options["pages"], workspace)[:SHOWN_RECORDS]
        table = [(record.path, record.place.offset, record.place.length) for record in records]
        yield (
            f"{source}: first records of {workspace.selection(key)}/selection.parquet",
            Result(["file", "offset", "length"], list(table)),
        )


def _minutes(units: list[WorkUnit], rates: Mapping[str, float], workers: int) -> float | None:
    """Estimate minutes from what past units of the kind took; None where none was read yet, or sizes are not known."""
    if not all(unit.kind in rates and unit.bytes for unit in units):
        return None
    return round(sum(unit.bytes * rates[unit.kind] for unit in units) / workers / 60, 1)


def _megabytes(units: list[WorkUnit], remote: Remote) -> float:
    """Add up sizes. Files of a snapshot tell theirs to whom asks only, but are alike: one is asked."""
    unknown = [unit for unit in units if not unit.bytes]
    size = remote.size(unknown[0].path) if unknown else 0
    return (sum(unit.bytes for unit in units) + size * len(unknown)) / 1e6
