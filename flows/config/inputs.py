"""Check what a config names before anything runs: files, fields, and secrets, which are taken into the environment.

Secrets (S3 keys, a hub token) are named by Prefect's Secret blocks, never given as values; what is in the environment
already counts more than a block.
"""

import os
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from flows.config.own_files import refuse_unknown_kind
from flows.config.own_model import refuse_no_model
from flows.config.runs import PretrainedHere
from flows.config.study import Config
from pipelines.pages.second_extractor import refuse_missing_extractor
from pipelines.settings.corpora import names_a_file
from pipelines.settings.sources import TextSource
from pipelines.sources.urls import redacted
from pipelines.text.bad_words import read_bad_words
from pipelines.text.identify import refuse_unknown_languages
from storage.errors import InputError


def check_inputs(config: Config, *needs: str) -> None:
    """Refuse missing files, a language identifier or base that is not there, and fields that the step needs.

    Raises:
        InputError: the sentence names the field and the fix.
    """
    for field in needs:
        if not getattr(config, field):
            raise InputError(f"`{field}` is missing: {Config.model_fields[field].description}")
    if config.tracking != "none" and find_spec(config.tracking) is None:
        raise InputError(f"`tracking`: {config.tracking} is not installed; pip install {config.tracking}")
    launcher = config.resources.launcher
    if launcher and shutil.which(program := shlex.split(launcher)[0]) is None:
        raise InputError(f"`resources.launcher`: there is no program {program} on this machine; give a command of it")
    for name, source in config.sources.items():
        for pattern in source.local_patterns():
            if not (found := _matches(pattern)):
                raise InputError(
                    f"`sources.{name}.paths`: nothing matches {redacted(pattern)} (from {Path.cwd()}); correct the "
                    "path, or set `data_root` if it begins with ${data_root}"
                )
            if isinstance(source, TextSource):
                refuse_unknown_kind(f"`sources.{name}.paths`", map(Path, found))
    for name, text in config.evaluation.texts.items():
        if not Path(text.path).expanduser().is_file():
            raise InputError(f"`evaluation.texts.{name}.path`: there is no file {text.path}; correct the path")
    for name, corpus in config.corpora.items():
        for item in filter(names_a_file, corpus.decontaminate):
            if not Path(item).expanduser().is_file():
                raise InputError(f"`corpora.{name}.decontaminate`: there is no file {item}; correct the path")
        read_bad_words(name, corpus)
    if config.documents.identifier == "heliport":
        refuse_unknown_languages(config.documents)
    refuse_missing_extractor(config.documents.extraction)
    model = config.documents.language_model
    if model and not Path(model).expanduser().is_file():
        raise InputError(
            f"`documents.language_model`: there is no file {model}; correct the path or leave the field out"
        )
    if config.base is not None and not isinstance(config.base, PretrainedHere):
        refuse_no_model("`base.model`", config.base)


def _matches(pattern: str) -> list[str]:
    from glob import glob

    return glob(str(Path(pattern).expanduser()), recursive=True)


def take_secrets(config: Config) -> None:
    """Fill the environment variables that `secret_blocks` names.

    Raises:
        InputError: there is no such block.
    """
    for variable, name in config.secret_blocks.items():
        if variable in os.environ:
            continue
        from prefect.blocks.system import Secret

        try:
            block = cast("Secret[str]", Secret.load(name))
            os.environ[variable] = block.get()
        except ValueError:
            raise InputError(
                f"`secret_blocks.{variable}`: Prefect has no Secret block of this name; make it in the UI under "
                f"Blocks, or set {variable} in the environment"
            ) from None
