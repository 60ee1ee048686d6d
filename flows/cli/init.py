"""`nr init`: a commented study and a prefect.yaml in a folder of the user's own."""

import json
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from flows.cli.app import AT_HOME, app
from storage.errors import InputError
from storage.files import write_atomically

MODEL = "HuggingFaceTB/SmolLM2-135M"
STUDY, DEPLOYMENTS, SCHEMA = "study.yaml", "prefect.yaml", "study.schema.json"


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
    from flows.config.json_schemas import study_schema
    from flows.config.own_model import refuse_no_model
    from flows.config.study import parse_config
    from flows.config.yaml_files import parse_yaml
    from nr_core.settings import BaseSpec

    for name in (STUDY, DEPLOYMENTS):
        if (folder / name).exists():
            raise InputError(f"{folder / name} is there already: nothing was written; give another folder")
    _refuse_unknown_language(language)
    study = study_text(folder, language, model, data, original)
    # What no study may hold, and a model that is none, is refused before anything is written.
    parse_config(parse_yaml(study, "nr init"), "nr init")
    refuse_no_model("--model", BaseSpec(model=model))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((SCHEMA, study_schema()), (STUDY, study), (DEPLOYMENTS, DEPLOYMENTS_TEXT)):
        write_atomically(folder / name, text)
    within = "" if folder == Path() else f"cd {folder}; "
    print(f"wrote {folder / STUDY} and {folder / DEPLOYMENTS}. Next: {within}nr plan {STUDY}, then nr run {STUDY}")


def _refuse_unknown_language(language: str) -> None:
    from pipelines.text.languages import known_language

    try:
        known_language(language)
    except InputError as error:
        raise InputError(f"--language: {error}") from None


def study_text(folder: Path, language: str, model: str, data: str, original: str | None) -> str:
    """Return a study as YAML, with comments. Raises InputError where there is no text at a path of this machine."""
    from flows.config.own_files import source_of, written_from
    from nr_core.settings import MethodName

    sources = {"new-text": source_of(folder, data, "--data")}
    if original is not None:
        sources["original-text"] = source_of(folder, original, "--original")
    return STUDY_TEXT.format(
        schema=SCHEMA,
        language=_yaml(language),
        model=_yaml(written_from(folder, Path(model)) if _is_here(model) else model),
        sources="\n".join(f"  {name}: {_yaml(source)}" for name, source in sources.items()),
        original_corpus=ORIGINAL_CORPUS if original else "",
        forgetting=OF_ANOTHER_KIND if original else OF_ANY_KIND,
        replay=REPLAY if original else OWN_REPLAY,
        method_names=", ".join(get_args(MethodName)),
    )


def _is_here(model: str) -> bool:
    return bool(model) and "://" not in model and Path(model).expanduser().exists()


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
