"""What a config names must be there before anything runs."""

from pathlib import Path

from flows.config.runs import PretrainedHere
from flows.config.study import Config
from pipelines.corpus.evaluation_sets import is_file
from pipelines.text.bad_words import read_bad_words
from storage.errors import InputError


def check_inputs(config: Config, *needs: str) -> None:
    """Refuse missing files, a language identifier or base that is not there, and fields that the step needs.

    Raises:
        InputError: the sentence names the field and the fix.
    """
    for field in needs:
        if not getattr(config, field):
            raise InputError(f"`{field}` is missing: {Config.model_fields[field].description}")
    for name, source in config.sources.items():
        for pattern in source.local_patterns():
            if not any(_matches(pattern)):
                raise InputError(
                    f"`sources.{name}.paths`: nothing matches {pattern} (from {Path.cwd()}); correct the path, or set "
                    "`data_root` if it begins with ${data_root}"
                )
    for name, text in config.evaluation.texts.items():
        if not Path(text.path).expanduser().is_file():
            raise InputError(f"`evaluation.texts.{name}.path`: there is no file {text.path}; correct the path")
    for name, corpus in config.corpora.items():
        for item in filter(is_file, corpus.decontaminate):
            if not Path(item).expanduser().is_file():
                raise InputError(f"`corpora.{name}.decontaminate`: there is no file {item}; correct the path")
        read_bad_words(name, corpus)
    model = config.documents.language_model
    if model and not Path(model).expanduser().is_file():
        raise InputError(
            f"`documents.language_model`: there is no file {model}; correct the path or leave the field out"
        )
    if config.base is not None and not isinstance(config.base, PretrainedHere):
        path = config.base.model
        if path.startswith((".", "/", "~")) and not Path(path).expanduser().exists():
            raise InputError(f"`base.model`: there is no {path}; give a model's folder, a GGUF file or a hub id")


def _matches(pattern: str) -> list[str]:
    from glob import glob

    return glob(str(Path(pattern).expanduser()), recursive=True)
