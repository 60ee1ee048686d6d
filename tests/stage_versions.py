"""Hold each stage's source against its version: who changes the one decides on the other.

    python -m tests.stage_versions                          # which stages' sources have changed
    python -m tests.stage_versions raised STAGE             # after its version was raised
    python -m tests.stage_versions same STAGE "why"         # the change gives the same results: the version stays

stage_versions.json beside this file records what was decided. Only code counts: no comments, docstrings or imports,
so that modules may move. (After marin, which records a fingerprint beside an explicit version:
https://github.com/marin-community/marin.)
"""

import ast
import hashlib
import importlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
RECORD = Path(__file__).with_suffix(".json")
# Stage: where its version stands, and the files that make its results.
STAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "sample crawl": ("pipelines.settings.sources:SAMPLE_CRAWL_VERSION", ("pipelines/sample_crawl/**/*.*",)),
    "selection": (
        "pipelines.sources.common_crawl.selection:SELECTION_VERSION",
        (
            "pipelines/sources/common_crawl/selection.py",
            "pipelines/sources/common_crawl/columnar_index.py",
            "pipelines/sources/common_crawl/index_condition.py",
        ),
    ),
    "documents": (
        "pipelines.documents.stage:DOCUMENTS_STAGE_VERSION",
        (
            "pipelines/documents/row.py",
            "pipelines/documents/unit.py",
            "pipelines/documents/unit_file.py",
            "pipelines/documents/unit_tally.py",
            "pipelines/documents/added_languages.py",
            "pipelines/documents/given_files.py",
            "pipelines/sources/compressed_*.py",
            "pipelines/sources/credentials.py",
            "pipelines/sources/urls.py",
            "pipelines/sources/text_files.py",
            "pipelines/sources/text_*.py",
            "pipelines/pages/**/*.py",
            "pipelines/text/identify.py",
            "pipelines/text/language_share.py",
            "pipelines/text/languages.py",
            "pipelines/text/other_language.py",
            "pipelines/text/quality_model.py",
            "pipelines/text/stop_words.*",
            "pipelines/text/scores/*.py",
            "pipelines/text/words.py",
            "pipelines/dedup/compared_text.py",
            "pipelines/dedup/signature.py",
        ),
    ),
    "corpus": (
        "pipelines.corpus.lineage:CORPUS_STAGE_VERSION",
        (
            "pipelines/corpus/decontaminate.py",
            "pipelines/corpus/filter.py",
            "pipelines/corpus/lineage.py",
            "pipelines/corpus/read_documents.py",
            "pipelines/corpus/rehydrate.py",
            "pipelines/corpus/shards.py",
            "pipelines/corpus/split.py",
            "pipelines/corpus/version.py",
            "pipelines/dedup/[!s]*.py",
            "pipelines/pages/characters.py",
            "pipelines/pages/charset/repair.py",
            "pipelines/text/bad_words.py",
            "pipelines/text/fineweb2*",
            "pipelines/text/stop_words.*",
            "pipelines/text/pii.py",
            "pipelines/text/rules.py",
            "pipelines/text/section_numbers.py",
            "pipelines/corpus/text_steps.py",
            "pipelines/text/words.py",
        ),
    ),
    "tokens": ("flows.steps.tokens:TOKENS_STAGE_VERSION", ("nr_core/tokenization/token*.py",)),
    "own text": ("flows.steps.own_text:OWN_TEXT_STAGE_VERSION", ("nr_core/generation/*.py",)),
    "pretraining": (
        "flows.steps.base:PRETRAIN_STAGE_VERSION",
        tuple(f"nr_core/training/{name}.py" for name in ("pretrain", "loop", "optimiser", "batches", "loss")),
    ),
    "training": (
        "flows.train:STAGE_VERSIONS",
        (
            *("nr_core/training/*.py", "nr_core/methods/*.py", "nr_core/tuner/*.py", "nr_core/base/*.py"),
            *("nr_core/base/load_base.py", "nr_core/runs/build_on_earlier.py", "nr_core/settings/method_table.py"),
        ),
    ),
    "evaluation": ("flows.evaluate:EVALUATE_STAGE_VERSION", ("nr_core/evaluation/*.py",)),
    "tasks": ("flows.steps.tasks:TASK_STAGE_VERSION", ("nr_core/evaluation/tasks/*.py",)),
}
# What the stages import that bears on no result, or on one only by what a key holds already.
BESIDE = (
    "*/__init__.py",  # former names of modules
    "storage/*.py",  # where results lie, and whether they are whole
    "pipelines/documents/shared_units.py",  # the same, in a bucket
    *("pipelines/settings/*.py", "nr_core/settings/*.py", "nr_core/specs.py"),  # the values stand in the keys
    *("pipelines/workers/*.py", "pipelines/memory_limit.py"),  # by whom and within which bounds
    # Bytes as an owner serves them, by an index that the selection's version holds.
    *(f"pipelines/sources/{name}.py" for name in ("fsspec_stores", "fetch_unit", "http_ranges", "remote", "retries")),
    *("pipelines/sources/common_crawl/snapshots.py", "pipelines/sources/work_units.py"),  # what is to be read
    # What is told of a version.
    *(f"pipelines/corpus/{name}.py" for name in ("data_card", "summary")),
    "pipelines/denylist.py",  # its entries are in the key
    *(f"nr_core/{name}.py" for name in ("errors", "files", "progress", "stopping")),
    *("nr_core/peft.py", "nr_core/runs/load_run.py", "nr_core/runs/model_card.py"),
)


def version_of(stage: str) -> object:
    """The stage's version as the code has it."""
    module, _, name = STAGES[stage][0].partition(":")
    value = getattr(importlib.import_module(module), name)
    return list(value) if isinstance(value, tuple) else value


def imported(path: Path) -> set[Path]:
    """The files of the repository that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    paths = [REPOSITORY / name.replace(".", "/") for name in found]
    return {file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()}


def in_no_stage() -> dict[str, str]:
    """The files that a stage's source imports, it or another, and that are of no stage: each with who imports it."""
    of_stages = {path for _, patterns in STAGES.values() for path in _files(patterns) if path.suffix == ".py"}
    known = of_stages | _files(BESIDE)
    unknown: dict[str, str] = {}
    for path in sorted(of_stages):
        for file in imported(path) - known:
            if code(file) != "pass":  # a docstring alone
                unknown[str(file.relative_to(REPOSITORY))] = str(path.relative_to(REPOSITORY))
    return unknown


def _files(patterns: Iterable[str]) -> set[Path]:
    return {path for pattern in patterns for path in REPOSITORY.glob(pattern) if path.is_file()}


def fingerprint(stage: str) -> str:
    """A hash of the code that makes the stage's results, whatever the files are called."""
    sources = sorted(code(path) for path in _files(STAGES[stage][1]) if path.suffix in (".py", ".txt", ".tsv"))
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16]


def code(path: Path) -> str:
    """A file's code without comments, docstrings and imports, its definitions in the order of their names."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        kept = [one for one in body if not isinstance(one, ast.Import | ast.ImportFrom) and not _is_docstring(one)]
        node.body = kept or [ast.Pass()]
    return ast.unparse(tree)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def changed() -> dict[str, str]:
    """The stages whose source or version is not what was recorded, each with what to do about it."""
    record = json.loads(RECORD.read_text())
    found = {}
    for stage, (where, _) in STAGES.items():
        known = record.get(stage, {})
        if known.get("version") != version_of(stage):
            found[stage] = f"its version is another: python -m tests.stage_versions raised {stage!r}"
        elif known.get("source") != fingerprint(stage):
            found[stage] = (
                f"its source has changed. Does it give other results? Raise {where} and call `python -m "
                f'tests.stage_versions raised {stage!r}`; else `... same {stage!r} "why"`'
            )
    return found


def decide(stage: str, decision: str) -> None:
    """Record the stage's source and version as they are, with what was decided."""
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    version = version_of(stage)
    if decision != "raised" and record.get(stage, {}).get("version", version) != version:
        sys.exit(f"{stage}: its version was raised; call `raised`")
    if decision == "raised" and record.get(stage, {}).get("version") == version:
        sys.exit(f"{stage}: {STAGES[stage][0]} is still {version}; raise it first")
    record[stage] = {"version": version, "source": fingerprint(stage), "decision": decision}
    RECORD.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["raised", stage] if stage in STAGES:
            decide(stage, "raised")
        case ["same", stage, why] if stage in STAGES and why.strip():
            decide(stage, f"same result: {why}")
        case []:
            print("\n".join(f"{stage}: {why}" for stage, why in changed().items()) or "all stages as recorded")
        case _:
            sys.exit(__doc__)
