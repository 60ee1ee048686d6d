"""Files that the settings of documents name: found by the parent before workers start, in the key by their content."""

import glob
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from pipelines.pages.robots_txt import RobotsRules, read_robots_rules
from pipelines.pages.url_list import UrlList, list_files, read_url_list
from pipelines.settings import DocumentSettings
from storage.errors import InputError
from storage.files import walk
from storage.keys import file_sha256, hash_of

BLOCK_LISTS, HOSTS, ROBOTS_TXT = "documents.block_lists", "documents.opt_outs.hosts", "documents.opt_outs.robots_txt"


def block_list(settings: DocumentSettings) -> UrlList:
    return read_url_list(settings.block_lists, BLOCK_LISTS)


def opted_out_hosts(settings: DocumentSettings) -> UrlList:
    return read_url_list(settings.opt_outs.hosts, HOSTS)


def robots_rules(settings: DocumentSettings) -> RobotsRules:
    opt_outs = settings.opt_outs
    return _robots_rules(opt_outs.robots_txt, opt_outs.agents, settings.max_bytes, opt_outs.usage_preferences)


@lru_cache(maxsize=4)
def _robots_rules(
    patterns: tuple[str, ...], agents: tuple[str, ...], max_bytes: int, usage_preferences: bool
) -> RobotsRules:
    return read_robots_rules(_captures(patterns), agents, max_bytes, usage_preferences)


def given_files_hash(settings: DocumentSettings) -> str:
    """Hash of the content of all these files. Raises InputError where one is missing or cannot be read."""
    files: list[Sequence[Path]] = [
        list_files(settings.block_lists, BLOCK_LISTS),
        list_files(settings.opt_outs.hosts, HOSTS),
        _captures(settings.opt_outs.robots_txt),
    ]
    if settings.quality_model is not None:
        files.append((Path(settings.quality_model).expanduser(),))
    return hash_of(*([_content_hash(file) for file in group] for group in files))


def _captures(patterns: tuple[str, ...]) -> tuple[Path, ...]:
    files: set[Path] = set()
    for pattern in patterns:
        found = [Path(match) for match in glob.glob(os.path.expanduser(pattern), recursive=True)]
        for given in [path for path in found if path.is_dir()]:
            found += [Path(folder, name) for folder, _, names in walk(given) for name in names if ".warc" in name]
        if not any(path.is_file() for path in found):
            raise InputError(f"{ROBOTS_TXT}: {pattern} matches no file; correct the path or the pattern")
        files.update(path.resolve() for path in found if path.is_file())
    return tuple(sorted(files))


def _content_hash(file: Path) -> str:
    try:
        stat = file.stat()
        return _hash_of_state(file, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror})") from None


@lru_cache(maxsize=1024)
def _hash_of_state(file: Path, size: int, modified: int) -> str:
    """Hash a file, again only when its size or time changes: keys are asked for often."""
    return file_sha256(file)
