"""`nr init`: a commented study and a prefect.yaml in a folder of the user's own."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from flows.cli.app import AT_HOME, app
from storage.errors import InputError
from storage.files import write_atomically

MODEL = "HuggingFaceTB/SmolLM2-135M"
STUDY, DEPLOYMENTS, SCHEMA = "study.yaml", "prefect.yaml", "study.schema.json"
WARC_SUFFIXES = (".warc.gz", ".warc.zst", ".warc", ".wet.gz", ".wet")
LOOKED_AT = 10_000  # files of a folder
LONGEST_LINE = 1 << 24  # bytes of a first row that is looked at for the text's field


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(**AT_HOME, help="Where to write them.")] = Path(),
    language: Annotated[str, typer.Option(help="The language to learn, as ISO 639-3.")] = "hun",
    model: Annotated[str, typer.Option(help="The base: hub id, folder or GGUF file.")] = MODEL,
    data: Annotated[
        str, typer.Option(help="Text in the language: a folder or file (JSONL, Parquet, txt, WARC), or a URL.")
    ] = "data",
    original: Annotated[
        str | None,
        typer.Option(help="Text of what the base knows, for replay and to measure forgetting; none: the base writes."),
    ] = None,
) -> None:
    """Write a commented study.yaml for your own text and model. And a prefect.yaml, for `nr up`."""
    from flows.cli.study import schema_text
    from flows.config.study import parse_config
    from flows.config.yaml_files import parse_yaml

    for name in (STUDY, DEPLOYMENTS):
        if (folder / name).exists():
            raise InputError(f"{folder / name} is there already: nothing was written; give another folder")
    study = study_text(folder, language, model, data, original)
    # A language that is none is refused before anything is written.
    parse_config(parse_yaml(study, "nr init"), "nr init")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((SCHEMA, schema_text()), (STUDY, study), (DEPLOYMENTS, DEPLOYMENTS_TEXT)):
        write_atomically(folder / name, text)
    within = "" if folder == Path() else f"cd {folder}; "
    print(f"wrote {folder / STUDY} and {folder / DEPLOYMENTS}. Next: {within}nr plan {STUDY}, then nr run {STUDY}")


def study_text(folder: Path, language: str, model: str, data: str, original: str | None) -> str:
    """Return a study as YAML, with comments. Raises InputError where there is no text at a path of this machine."""
    from nr_core.settings import MethodName

    sources = {"new-text": _source(folder, data, "--data")}
    if original is not None:
        sources["original-text"] = _source(folder, original, "--original")
    return STUDY_TEXT.format(
        schema=SCHEMA,
        language=_yaml(language),
        model=_yaml(model if "://" in model or not Path(model).expanduser().exists() else _from(folder, Path(model))),
        sources="\n".join(f"  {name}: {_yaml(source)}" for name, source in sources.items()),
        original_corpus=ORIGINAL_CORPUS if original else "",
        forgetting=OF_ANOTHER_KIND if original else OF_ANY_KIND,
        replay=REPLAY if original else OWN_REPLAY,
        method_names=", ".join(get_args(MethodName)),
    )


def _source(folder: Path, given: str, option: str) -> dict[str, Any]:
    path, files = Path(given).expanduser(), list[Path]()
    if "://" in given:
        kind, paths = _kind(given, option), [given]
    elif path.is_dir():
        suffix, files = _commonest(path, option)
        kind, paths = _kind(suffix, option), [f"{_from(folder, path)}/**/*{suffix}"]
    elif path.is_file():
        kind, paths, files = _kind(path.name, option), [_from(folder, path)], [path]
    else:
        raise InputError(f"{option}: there is no {given}; give the folder or file of your text with it")
    source: dict[str, Any] = {"kind": kind, "paths": paths}
    field = _text_field(files[0]) if kind == "text" and files else None
    return source if field in (None, "text") else {**source, "text_field": field}


def _commonest(folder: Path, option: str) -> tuple[str, list[Path]]:
    """Return the ending that most files of a folder have, of those that are read, and the files with it."""
    from pipelines.sources.text_files import known_kinds

    found: dict[str, list[Path]] = {}
    for _, path in zip(range(LOOKED_AT), sorted(folder.rglob("*")), strict=False):
        suffix = _suffix(path.name)
        if suffix and path.is_file():
            found.setdefault(suffix, []).append(path)
    if not found:
        raise InputError(f"{option}: {folder} holds no text; {known_kinds()} are read, and {', '.join(WARC_SUFFIXES)}")
    [(suffix, _)] = Counter({suffix: len(paths) for suffix, paths in found.items()}).most_common(1)
    return suffix, found[suffix]


def _suffix(name: str) -> str | None:
    from pipelines.sources.text_files import text_suffix

    return next((end for end in WARC_SUFFIXES if name.lower().endswith(end)), None) or text_suffix(name)


def _kind(name: str, option: str) -> str:
    suffix = _suffix(name)
    if suffix is None:
        from pipelines.sources.text_files import known_kinds

        raise InputError(
            f"{option}: {name} is of no known kind; {known_kinds()} are read, and {', '.join(WARC_SUFFIXES)}"
        )
    return "warc" if suffix in WARC_SUFFIXES else "text"


def _from(folder: Path, path: Path) -> str:
    """Return a path as it is written from `folder`: beside or below it as it is short, else absolute."""
    whole = path.expanduser().resolve()
    return str(whole.relative_to(folder.resolve())) if whole.is_relative_to(folder.resolve()) else str(whole)


def _text_field(file: Path) -> str | None:
    """Return the field of the first row that holds its text: `text`, else its longest string; None if none is seen."""
    row = _first_row(file)
    strings = {name: value for name, value in row.items() if isinstance(value, str)}
    if "text" in strings or not strings:
        return "text" if "text" in strings else None
    return max(strings, key=lambda name: len(strings[name]))


def _first_row(file: Path) -> dict[str, Any]:
    """Return the first row of JSON lines or Parquet; {} of what is neither, or is damaged: a refresh says so."""
    import fsspec
    import pyarrow.parquet as pq

    from pipelines.sources.text_files import text_suffix

    suffix = text_suffix(file.name) or ""
    try:
        if suffix == ".parquet":
            batch = next(pq.ParquetFile(file).iter_batches(batch_size=1), None)
            return dict(batch.to_pylist()[0]) if batch and batch.num_rows else {}
        if suffix.startswith((".jsonl", ".ndjson", ".jl")):
            with fsspec.open(str(file.resolve()), compression="infer") as stream:
                row = json.loads(stream.readline(LONGEST_LINE))
            return row if isinstance(row, dict) else {}
    except (OSError, EOFError, ValueError, RecursionError, ArithmeticError, LookupError):  # also of odd dates
        return {}
    return {}


def _yaml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)  # JSON is YAML, and quotes what needs it


STUDY_TEXT = """\
# yaml-language-server: $schema={schema}
# A language model learns a language and keeps what it knows. All settings: nr config show study.yaml; an
# editor that reads the line above says what each is for.
#   nr plan study.yaml      what it will read and train
#   nr run study.yaml       the whole way; the same command again goes on after a crash
name: study
language: {language}  # ISO 639-3
workspace: workspace  # takes all results

sources:
{sources}

corpora:
  # N: what is learned. A twentieth is held out, and scored before and after.
  new-language: {{ language: {language}, text_domain: text, sources: [new-text], min_characters: 200 }}
{original_corpus}
base: {{ model: {model} }}

# What a run is trained on. A tenth is text of what the base knows, on which the adapters learn to be silent.
inputs:
  - {{ corpus: new-language, role: new, share: 0.9 }}
{replay}

# One run a method: {method_names}. Each setting of them: nr config schema.
methods:
  - {{ method: neutral_residues, learning_rate: 5.0e-3, alpha: 1.0 }}
  # - {{ method: lora, learning_rate: 1.0e-3 }}
  # - {{ method: finetune, learning_rate: 1.0e-4 }}

# A first run, which shows in minutes that all works: 40 steps of 2 x 256 are 20,000 tokens. To learn the language take
# more, for instance {{ steps: 500, batch_size: 4, sequence_length: 512, micro_batch_size: 1 }}, a million tokens: an
# evening of two cores for a model of 135 M parameters, minutes on a GPU. `nr plan` tells the minutes beforehand.
training: {{ steps: 40, batch_size: 2, sequence_length: 256, warmup_share: 0.05 }}
# So many tokens of each held-out text are scored, of the base and of each run; 20000 tell smaller differences apart.
evaluation:
  sequence_length: 256
  max_tokens: 8000
  # {forgetting}
  # texts: {{ english: {{ path: english.txt, language: eng, text_domain: books }} }}
resources: {{ training_processes: 1, threads: 2 }}
"""
ORIGINAL_CORPUS = """\
  # O: what the base knows. The runs see it as replay; its held-out part tells what they forget of such text.
  original-language: { language: eng, text_domain: text, sources: [original-text], min_characters: 200 }
"""
REPLAY = "  - { corpus: original-language, role: original, share: 0.1 }"
OF_ANOTHER_KIND = "What is forgotten of text of another kind, which no run has seen, says more:"
OF_ANY_KIND = "What is forgotten is measured on a text that the base knows; without one, only what is learned is:"
OWN_REPLAY = """\
  # The base writes it itself, slower than it is trained; text of your own is quicker (nr init --original). `tokens`:
  # what a run sees of it, its share of all steps; for a million tokens 100000, and document_tokens: 1024.
  - { from: base, role: original, language: eng, share: 0.1, tokens: 2000, document_tokens: 256 }"""
DEPLOYMENTS_TEXT = """\
# What `nr up` registers with Prefect's server, to be run by name or by schedule:
#   prefect deployment run 'extend-language/study' --watch
name: neutral-residues

deployments:
  - name: study
    entrypoint: flows.extend_language.extend_language
    description: The whole way, data to report.
    parameters: { config: { extends: study.yaml } }
    concurrency_limit: { limit: 1, collision_strategy: ENQUEUE }
    work_pool: { name: nr, work_queue_name: training }

  - name: monthly
    entrypoint: flows.data_refresh.data_refresh
    description: What is new of the sources becomes corpora. Switch the schedule on in Prefect's pages.
    parameters: { config: { extends: study.yaml } }
    schedules: [{ cron: "0 3 1 * *", timezone: UTC, active: false }]
    concurrency_limit: { limit: 1, collision_strategy: ENQUEUE }
    work_pool: { name: nr }
"""
