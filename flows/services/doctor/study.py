"""Find in seconds what a flow would refuse of a study after minutes: the first of its texts, and its base without the
weights. Nothing is fetched but what the hub says of a base.
"""

from collections import Counter
from collections.abc import Iterator
from glob import glob
from itertools import islice
from pathlib import Path

import psutil

from flows.config.inputs import check_inputs
from flows.config.runs import PretrainedHere
from flows.config.study import Config, load_config
from flows.maintenance.workspace_health import Wrong
from flows.steps.base import fitting_shape
from nr_core.settings import BaseSpec
from pipelines.corpus.filter import REMEDIES
from pipelines.pages.charset.decode import decode_plain_text
from pipelines.settings import CorpusSettings, DocumentSettings
from pipelines.settings.sources import TextSource
from pipelines.sources.retries import ReadFailure
from pipelines.sources.text_files import TextRecord, read_text
from pipelines.text.identify import FETCHED_MODEL, Identifier, load_identifier

SAMPLED = 300  # documents of a corpus that are looked at
DAMAGED = "damaged"
REASONS = {
    **REMEDIES,
    "no_text": "their field of the text holds none: set the source's text_field",
    "unreadable": "they cannot be read: write each as an object in a line of JSON, in UTF-8",
    "oversize": "they are longer than documents.max_bytes",
    DAMAGED: "their file breaks there: fetch or write it anew",
}


def open_study(file: Path) -> Config:
    """Return a study that can be begun. Raises InputError as `nr run` does."""
    config = load_config(file)
    check_inputs(config, "base", "inputs")
    return config


def texts_of(name: str, config: Config) -> tuple[str, Wrong | None]:
    """Tell how many of the first documents of a corpus would stay in it; what is wrong where too few would.

    Only files of text on this machine are looked at. Raises InputError for a file that a refresh would refuse.
    """
    corpus = config.corpora[name]
    sources = [config.sources[source] for source in corpus.sources]
    texts = [source for source in sources if isinstance(source, TextSource) and source.local_patterns()]
    if not texts:
        return "no file of text on this machine: a refresh looks at its sources", None
    identify = _identifier(config.documents)
    records = (record for source in texts for record in _records(source, config.documents.max_bytes))
    found = Counter(_reason(record, corpus, identify) for record in islice(records, SAMPLED))
    is_all = next(records, None) is None and len(texts) == len(sources)
    looked_at = f"{found['kept']} of {'its' if is_all else 'its first'} {found.total()} documents would stay"
    least = corpus.held_out_min_documents if is_all else 0
    if found["kept"] > least:
        return looked_at + _of_language(identify), None
    if not found.total():
        return "", Wrong("its files hold no document", f"give others as sources.{corpus.sources[0]}.paths")
    left = Counter({reason: count for reason, count in found.items() if reason != "kept"})
    if not left:
        says = f"it has {found.total()} documents, of which at least {least} are held out"
        return "", Wrong(says, f"add text, or lower corpora.{name}.held_out_min_documents")
    [(reason, count)] = left.most_common(1)
    why = REASONS.get(reason, "they hold no text").format(name=name, language=corpus.language)
    says = f"{looked_at}{f', and more than {least} must' if least else ''}; {count} leave with reason {reason}: {why}"
    return "", Wrong(says, "change what is named there, or give other text")


def _records(source: TextSource, max_bytes: int) -> Iterator[TextRecord | ReadFailure]:
    options = source.identity()
    for pattern in source.local_patterns():
        for file in sorted(map(Path, glob(str(Path(pattern).expanduser()), recursive=True))):
            if file.is_file():
                yield from read_text(file, options, max_bytes, decode_plain_text)


def _identifier(settings: DocumentSettings) -> Identifier | None:
    """Return what tells languages, where it is on this machine already."""
    fetched = settings.identifier == "heliport" or settings.language_model or FETCHED_MODEL.is_file()
    return load_identifier(settings) if fetched else None


def _of_language(identify: Identifier | None) -> str:
    return "" if identify else " (their language is told once the language model has been fetched)"


def _reason(record: TextRecord | ReadFailure, corpus: CorpusSettings, identify: Identifier | None) -> str:
    """Return why a document would leave, in the order of the filter; its rules over scores are left to a refresh."""
    if isinstance(record, ReadFailure):
        return DAMAGED
    if record.fault is not None:
        return record.fault
    text = record.text.strip()
    if identify is not None:
        language, score = identify(text)
        if language != corpus.language:
            return "language"
        if score < corpus.min_language_score:
            return "language_score"
    return "too_short" if len(text) < corpus.min_characters else "kept"


def base_of(config: Config) -> tuple[str, Wrong | None]:
    """Tell what base a study has, without its weights; what is wrong where memory has no room for them.

    Raises ModelError where there is none, where a file of it is cut short, or its context is too short.
    """
    from nr_core.base.load_base import check_files
    from nr_core.tokenization.tokenizer import tokenizer_hash

    base = config.base
    if not isinstance(base, BaseSpec):
        return "it is pretrained here" if isinstance(base, PretrainedHere) else "none", None
    check_files(base)
    shape = fitting_shape(base, config)
    tokenizer_hash(base)
    parameters = sum(weight.numel() for weight in shape.parameters())
    says = f"{shape.config.model_type} of {parameters / 1e6:.0f} M parameters"
    return says, _too_large(base, parameters)


def _too_large(base: BaseSpec, parameters: int) -> Wrong | None:
    import torch

    if base.quantize:
        return None
    on_gpu = torch.cuda.is_available()
    free = torch.cuda.mem_get_info()[0] if on_gpu else psutil.virtual_memory().available
    needed = parameters * getattr(torch, base.dtype).itemsize
    if needed < free:
        return None
    return Wrong(
        f"its {parameters / 1e6:.0f} M parameters are {needed / 1e9:.1f} GB in {base.dtype}, and "
        f"{free / 1e9:.1f} GB are free{' on the GPU' if on_gpu else ''}",
        "take a smaller model, or set base.dtype: bfloat16" if base.dtype == "float32" else "take a smaller model",
    )
