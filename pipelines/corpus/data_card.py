"""The data card of a corpus version: README.md in its folder, in the form that the Hugging Face hub reads."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines.corpus.lineage import Inputs, Lineage
from pipelines.corpus.shards import SCHEMA, shard_files
from pipelines.pages.characters import without_controls
from pipelines.settings import CorpusSettings
from pipelines.sources.work_units import read_report
from pipelines.text.bad_words import BadWords
from pipelines.text.languages import NAME_OF_CODE, UNDETERMINED
from storage.locations import values_without_folders
from storage.workspace import Workspace

OPT_OUTS = {
    "x_robots_tag": "the X-Robots-Tag header",
    "meta_robots": "a robots meta tag",
    "tdm_header": "the tdm-reservation header",
    "tdm_meta": "a tdm-reservation meta tag",
    "robots_txt": "robots.txt",
    "content_usage_header": "the Content-Usage header (train-ai=n)",
    "content_signal_header": "the Content-Signal header (ai-train=no)",
    "content_usage_robots_txt": "Content-Usage in robots.txt",
    "content_signal_robots_txt": "Content-Signal in robots.txt",
    "denied_host": "a list of hosts that asked for it",
}
_HOSTS_SHOWN = 20
_LANGUAGES_SHOWN = 10
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~&$-])")


def write_data_card(
    folder: Path,
    counts: Mapping[str, Any],
    settings: CorpusSettings,
    lineage: Lineage,
    inputs: Inputs,
    workspace: Workspace,
) -> None:
    """Write README.md. What stems from a crawl, hosts, is escaped."""
    train = counts["documents"] - counts["held_out_documents"]
    name = NAME_OF_CODE.get(settings.language, settings.language)
    repeats = f", and {counts['repeats']:,} repeats by cluster size" if counts["repeats"] else ""
    sections = [
        _front_matter(settings),
        f"# {counts['name']}: {escape(settings.text_domain)} in {escape(name)}",
        f"Version {counts['version']} of {counts['documents']:,} documents and {counts['characters']:,} characters: "
        f"{train:,} to train on{repeats}, {counts['held_out_documents']:,} held out by {settings.split_by}. "
        f"{_origin(counts, lineage)} Of the documents that were judged for it, "
        f"{counts['changes']['duplicates']:,} were copies.",
        "## Licence",
        _licence(settings, inputs),
        "## Sources",
        _table(("source", "kind", "files", "bytes", "licence"), _sources(inputs)),
        "## What left, and why",
        *([_bad_words(inputs.bad_words)] if inputs.bad_words is not None else []),
        _table(("stage", "reason", "documents", "characters"), _funnel(counts["funnel"])),
        "## Opt-outs of site owners",
        _opt_outs(inputs, workspace),
        "## Take-downs",
        f"{len(inputs.denied)} hosts were taken down after they had been read; none of their pages is in here.",
        "## Evaluation sets",
        _evaluation_sets(folder, settings, inputs),
        "## Personal data",
        _personal_data(settings, counts),
        "## Hosts with most documents",
        _table(("host", "documents"), [(f"`{_code(host)}`", count) for host, count in _hosts(folder)]),
        "## Columns",
        _table(("column", "type", "what"), _columns()),
        "Beside the shards: `duplicates.parquet` (which new document was a copy of which), `clusters.parquet` "
        "(sizes of clusters of copies), `left.parquet` (who left after the filter, and why), `contaminated.parquet`, "
        "`units.parquet` (the files it was made of), `index/` (for the next version), `manifest.json`.",
        "## Settings",
        "```json\n"
        + json.dumps(values_without_folders(settings.model_dump(mode="json")), indent=1).replace("`", "'")
        + "\n```",
    ]
    (folder / "README.md").write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def _origin(counts: Mapping[str, Any], lineage: Lineage) -> str:
    changes = counts["changes"]
    return (
        f"Against its parent, version {lineage.parent}, {changes['documents_gained']:,} documents came and "
        f"{changes['documents_lost']:,} left."
        if lineage.parent
        else "It is the first."
    )


def escape(text: str) -> str:
    """Return text as Markdown shows it: on one line, with no markup of its own."""
    return _MARKDOWN.sub(r"\\\1", _on_one_line(text))


def _front_matter(settings: CorpusSettings) -> str:
    files = "".join(f"      - {{ split: {split}, path: '{split}-*.parquet' }}\n" for split in ("train", "held_out"))
    return f"---\nlanguage: {settings.language}\nconfigs:\n  - config_name: default\n    data_files:\n{files}---"


def _code(host: str) -> str:
    return _on_one_line(host).translate({ord("`"): " ", ord("|"): " "})


def _on_one_line(text: str) -> str:
    return without_controls(text, " ").replace("\n", " ").replace("\t", " ")


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    if not rows:
        return "None."
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _licence(settings: CorpusSettings, inputs: Inputs) -> str:
    if settings.licence:
        return escape(settings.licence)
    if any(unit.licence for unit in inputs.units):
        return "By source, in the table below."
    return "None was stated. The text is its authors'."


def _bad_words(bad_words: BadWords) -> str:
    return (
        f"Reason `bad_words`: they hold a word of a list of {len(bad_words):,}, which is not in here; its content hash "
        f"is {bad_words.content_hash}."
    )


def _sources(inputs: Inputs) -> list[tuple[Any, ...]]:
    files: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    for unit in inputs.units:
        files[unit.source, unit.kind] += 1
        sizes[unit.source, unit.kind] += unit.bytes
    licences = {unit.source: escape(unit.licence) for unit in inputs.units if unit.licence}
    return [
        (escape(source), kind, number, sizes[source, kind] or "unknown", licences.get(source, "not stated"))
        for (source, kind), number in files.items()
    ]


def _funnel(rows: list[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    documents: Counter[tuple[str, str]] = Counter()
    characters: Counter[tuple[str, str]] = Counter()
    for row in rows:
        documents[row["stage"], row["reason"]] += row["documents"]
        characters[row["stage"], row["reason"]] += row["characters"]
    return [(stage, reason, number, characters[stage, reason]) for (stage, reason), number in documents.items()]


def _opt_outs(inputs: Inputs, workspace: Workspace) -> str:
    """Count opt-outs of all pages of its files; their text was not looked at."""
    by_reason: Counter[str] = Counter()
    pages: Counter[str] = Counter()  # by language
    kept_out: Counter[str] = Counter()
    for unit in inputs.units:
        report = read_report(workspace.documents(inputs.documents_key), unit.unit_id)
        for row in report.funnel if report else ():
            if row["stage"] == "opt_out":
                by_reason[row["reason"]] += row["documents"]
                kept_out[row["language"]] += row["documents"]
            if row["stage"] not in ("read", "gate"):  # what is no page of a language
                pages[row["language"]] += row["documents"]
    rows: list[tuple[Any, ...]] = [(OPT_OUTS.get(reason, reason), number) for reason, number in by_reason.most_common()]
    said = "Pages of its files, in any language, that their owner kept out.\n\n" + _table(("by", "pages"), rows)
    if not set(kept_out) - {UNDETERMINED}:
        return said
    lost: list[tuple[Any, ...]] = [
        (escape(NAME_OF_CODE.get(code, code if code != UNDETERMINED else "not known")), pages[code], number,
         f"{number / pages[code]:.1%}" if code != UNDETERMINED else "")
        for code, number in kept_out.most_common(_LANGUAGES_SHOWN)
    ]  # fmt: skip
    return (
        f"{said}\n\nBy language, as Common Crawl found it where it tells: no text of theirs was looked at.\n\n"
        + _table(("language", "pages", "kept out", "share"), lost)
    )


def _evaluation_sets(folder: Path, settings: CorpusSettings, inputs: Inputs) -> str:
    if not inputs.evaluation_sets:
        return "It was compared with none."
    found: Counter[str] = Counter(pq.read_table(folder / "contaminated.parquet")["evaluation_set"].to_pylist())
    rows: list[tuple[Any, ...]] = [
        (escape(values_without_folders(name)), found[name]) for name in inputs.evaluation_sets
    ]
    said = (
        f"New documents that share {settings.decontamination_ngram} words in a row with one of these sets were removed."
    )
    return said + "\n\n" + _table(("evaluation set", "documents removed"), rows)


def _personal_data(settings: CorpusSettings, counts: Mapping[str, Any]) -> str:
    replaced = [field.replace("_", " ") for field, chosen in settings.pii.model_dump().items() if chosen is True]
    if not replaced:
        return "None was replaced."
    return f"Replaced by tokens: {', '.join(replaced)}, in {counts['texts_changed'].get('pii', 0):,} documents."


def _hosts(folder: Path) -> list[tuple[str, int]]:
    hosts: Counter[str] = Counter()
    for split in ("train", "held_out"):
        for file in shard_files(folder, split):
            counted = pq.read_table(file, columns=["host"])["host"].value_counts().to_pylist()
            hosts.update({row["values"]: row["counts"] for row in counted})
    return hosts.most_common(_HOSTS_SHOWN)


def _columns() -> list[tuple[Any, ...]]:
    return [(field.name, str(field.type), field.metadata[b"description"].decode()) for field in SCHEMA]
