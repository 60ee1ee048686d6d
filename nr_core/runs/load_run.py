"""A finished run as a model and its tokenizer, ready to write text."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from nr_core.base.load_base import device, load_base
from nr_core.errors import ModelError
from nr_core.files import foreign_files, write_json
from nr_core.runs.build_on_earlier import (
    ADAPTER_FOLDER,
    MODEL_FOLDER,
    activate,
    adapter_folders,
    base_of_run,
    require_safetensors,
)
from nr_core.settings import BaseSpec
from nr_core.tokenization.tokenizer import load_tokenizer

BASE_TYPE = "base.json"  # beside an adapter: dtype and quantize of the base that it learned on

# Loading the model of a trained run.


def load_run(base: BaseSpec, run: Path | None) -> Any:
    """Return the model of a run's folder; the base itself where run is None."""
    if run is None:
        return load_base(base)
    if (run / MODEL_FOLDER).is_dir():
        return load_base(BaseSpec(model=str(run / MODEL_FOLDER), trust_remote_code=base.trust_remote_code))
    if not (run / ADAPTER_FOLDER).is_dir():
        raise ModelError(f"{run} holds no trained run: neither {MODEL_FOLDER}/ nor {ADAPTER_FOLDER}/; train it first.")
    return with_adapters(load_base(base), adapter_folders(run))


def with_adapters(base: Any, folders: list[Path]) -> Any:
    """Return a base with some adapters, oldest first, all active; the last is `default`."""
    from peft import PeftModel

    import nr_core.peft  # noqa: F401  (registers the tuner that from_pretrained looks up)

    *earlier, newest = [require_safetensors(folder) for folder in folders]
    sentence = "The adapter in {} could not be put on its base: {}; get its folder anew, or give the base it is for."
    with foreign_files(lambda reason: sentence.format(newest, reason)):
        model: Any = PeftModel.from_pretrained(base, newest)
        for i, folder in enumerate(earlier):
            model.load_adapter(folder, adapter_name=f"earlier_{i}")
            activate(model)
    return model if getattr(model, "is_quantized", False) else model.to(device())


def load_finished(folder: Path, trust_remote_code: bool = False) -> tuple[Any, Any]:
    """Load model and tokenizer of a run's folder, of an adapter's (PEFT's) or of a model's.

    Raises ModelError where the folder holds none of these, where the base that it names is gone, or where that base
    runs code of its own and the caller does not trust it: a folder may come from somebody else.
    """
    if (folder / "run.json").is_file():
        base = _base_of_run(folder, trust_remote_code)
        full = folder / MODEL_FOLDER
        own = BaseSpec(model=str(full), trust_remote_code=base.trust_remote_code)
        return load_run(base, folder), load_tokenizer(own if full.is_dir() else base)
    if (folder / "adapter_config.json").is_file():
        return _with_adapter(folder, trust_remote_code)
    if (folder / "config.json").is_file():
        spec = BaseSpec(model=str(folder), trust_remote_code=trust_remote_code)
        return load_base(spec), load_tokenizer(spec)
    raise ModelError(
        f"{folder} holds no run (run.json), no adapter (adapter_config.json) and no model (config.json); give the "
        f"folder of one, such as RUN/{ADAPTER_FOLDER}."
    )


def _with_adapter(folder: Path, trust_remote_code: bool) -> tuple[Any, Any]:
    """Return the adapters of before, which are active beside it, lie beside it in its run and inside it on the hub."""
    base = _base_of_adapter(folder, trust_remote_code)
    inside_a_run = folder.name == ADAPTER_FOLDER and (folder.parent / "run.json").is_file()
    earlier = adapter_folders(folder.parent if inside_a_run else folder)[:-1]
    return with_adapters(load_base(base), [*earlier, folder]), load_tokenizer(base)


def _base_of_run(folder: Path, trust_remote_code: bool) -> BaseSpec:
    with _readable(folder / "run.json"):
        base = base_of_run(folder, json.loads((folder / "run.json").read_text()))
    if base.trust_remote_code and not trust_remote_code:
        raise ModelError(
            f"{folder} was trained on {base.model}, which runs Python code of its own; if you trust that code, say so "
            "with --trust-remote-code."
        )
    return base


def write_base_type(base: BaseSpec, adapter: Path) -> None:
    """Say beside an adapter's weights how the base was held that it learned on, where that was not in float32.

    PEFT's own file has no room for it: LoRA's config warns of every key that it does not know.
    """
    held = base.model_dump(mode="json", include={"dtype", "quantize"}, exclude_defaults=True)
    if held:
        write_json(adapter / BASE_TYPE, held)


def _base_type(adapter: Path) -> dict[str, Any]:
    """Return what write_base_type wrote; the folder may come from somebody else, and says nothing else of the base."""
    if not (adapter / BASE_TYPE).is_file():
        return {}
    with _readable(adapter / BASE_TYPE):
        held = json.loads((adapter / BASE_TYPE).read_text())
        known = {name: held[name] for name in ("dtype", "quantize") if name in held}
        return BaseSpec.model_validate({"model": str(adapter), **known}).model_dump(include=set(known))


def _base_of_adapter(folder: Path, trust_remote_code: bool) -> BaseSpec:
    """Return the base as its run had it; of one that was taken out of its run, PEFT's file says model and revision."""
    if (folder.parent / "run.json").is_file():
        return _base_of_run(folder.parent, trust_remote_code)
    with _readable(folder / "adapter_config.json"):
        config = json.loads((folder / "adapter_config.json").read_text())
        if not config.get("base_model_name_or_path"):
            raise ModelError(f"{folder}/adapter_config.json names no base; set base_model_name_or_path in it.")
        return BaseSpec(
            model=config["base_model_name_or_path"],
            revision=config.get("revision"),
            trust_remote_code=trust_remote_code,
            **_base_type(folder),
        )


def _readable(file: Path) -> AbstractContextManager[None]:
    return foreign_files(lambda reason: f"{file} could not be read ({reason}); get the folder anew.")
