"""Train and held-out side: whole hosts, url paths or documents, chosen by their hash alone.

By hash, so that two corpora with the same url paths, a help page in two languages, hold out the same ones.
"""

import re
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

import xxhash

from pipelines.languages import CODE_OF_LABEL, NAME_OF_CODE
from pipelines.settings import CorpusSettings
from storage.errors import InputError

# A group with more of the documents than this is never held out: it would be the corpus.
MAX_GROUP_SHARE = 0.5
_FIRST_SEGMENT = re.compile(r"/([A-Za-z]{2,3})(?:[-_][A-Za-z]{2,4})?(?=/)")


def group_of(split_by: str, url: str, host: str, doc_id: str) -> str:
    """What is held out or not as a whole with this document. Never empty."""
    if split_by == "host":
        return host or url or doc_id
    if split_by == "url_path":
        return _path_without_language(url) or url or doc_id
    return url or doc_id  # captures of one page, or parts of one novel, stay together


def _path_without_language(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    path = parts.path or "/"
    first = _FIRST_SEGMENT.match(path)
    if first and (first[1].lower() in CODE_OF_LABEL or first[1].lower() in NAME_OF_CODE):
        path = path[first.end() :]
    return f"{path}?{parts.query}" if parts.query else path


def held_out_groups(name: str, groups: Sequence[str], settings: CorpusSettings) -> set[str]:
    """The groups to hold out, given the group of each document: those whose hash is in the lowest share, and more in
    the order of their hashes until there are enough documents.

    A group with more of the documents than the share asked is held out only where without such there are not enough:
    what a large host brings later would be on neither side.

    Raises InputError when either side would be left with too little.
    """
    sizes = Counter(groups)
    hashes = {group: xxhash.xxh3_64_intdigest(group.encode(errors="replace")) for group in sizes}
    chosen: set[str] = set()
    documents = 0
    in_order = sorted(sizes, key=lambda group: (hashes[group], group))
    small = max(1.0, settings.held_out_share * len(groups))
    for largest, share in ((small, settings.held_out_share), (MAX_GROUP_SHARE * len(groups), 0.0)):
        for group in in_order:
            enough = documents >= settings.held_out_min_documents
            if enough and hashes[group] >= share * 2**64:
                break
            if group not in chosen and sizes[group] <= largest:
                chosen.add(group)
                documents += sizes[group]
    field = f"corpora.{name}.held_out_min_documents ({settings.held_out_min_documents})"
    if groups and documents == len(groups):
        raise InputError(
            f"corpus {name}: the train side would be empty, since all {documents} documents are held out; "
            f"add sources, or lower {field}"
        )
    if documents < settings.held_out_min_documents:
        or_lower = f", or lower {field}" if documents else ""
        raise InputError(
            f"corpus {name}: the held-out side would have {documents} of {len(groups)} documents, since nearly all are "
            f"of one {settings.split_by}; set corpora.{name}.split_by to document{or_lower}"
        )
    return chosen
