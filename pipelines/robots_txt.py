"""Rules for AI crawlers in robots.txt captures: which pages their owners keep from the use of their text.

The protocol is RFC 9309, https://www.rfc-editor.org/rfc/rfc9309. A page is opted out where the group of a crawler that
gathers text for AI, named in the file, disallows it. What the file says to all crawlers (`*`) is no word on AI.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipelines.host import host_of
from pipelines.read_warc import ReadFailure, read_warc
from pipelines.transfer import BodyTooLarge, undo_transfer

MAX_ROBOTS_BYTES = 500 * 1024  # RFC 9309, 2.5: what lies behind need not be read
_MAX_RULES, _MAX_RULE_CHARACTERS = 2000, 500
_MAX_WILDCARDS = 10  # in a rule, which bounds the time of a match

Rule = tuple[str, bool]  # path pattern, whether it allows


class RobotsRules:
    """The rules for AI crawlers of many hosts."""

    def __init__(self, agents: Iterable[str]) -> None:
        self._agents = frozenset(agent.lower() for agent in agents)
        self._of_host: dict[str, tuple[str, list[list[Rule]]]] = {}

    def add(self, host: str, date: str, text: str) -> None:
        """Take in a robots.txt; of several captures the one of the latest date counts."""
        if date >= self._of_host.get(host, ("",))[0]:
            self._of_host[host] = date, list(groups_of(text, self._agents).values())

    def opts_out(self, url: str) -> bool:
        """Whether the group of any AI crawler disallows this URL."""
        groups = self._of_host.get(host_of(url), ("", []))[1] if self._of_host else []
        if not groups:
            return False
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return not all(is_allowed(path, rules) for rules in groups)


def groups_of(text: str, agents: Iterable[str]) -> dict[str, list[Rule]]:
    """The rules of each of `agents` (in lower case) that the file names, its groups of one name joined."""
    wanted = frozenset(agents)
    found: dict[str, list[Rule]] = {}
    named: list[str] = []
    in_rules = False
    for line in text[:MAX_ROBOTS_BYTES].splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon:
            continue
        if key == "user-agent":
            if in_rules:
                named, in_rules = [], False
            agent = re.split(r"[/\s]", value.lower(), maxsplit=1)[0]  # a product token, without a version
            if agent in wanted:
                named.append(agent)
                found.setdefault(agent, [])
        elif key in ("allow", "disallow"):
            in_rules = True
            for agent in named:
                if value and len(found[agent]) < _MAX_RULES:
                    found[agent].append((value[:_MAX_RULE_CHARACTERS], key == "allow"))
    return found


def is_allowed(path: str, rules: Sequence[Rule]) -> bool:
    """Whether the longest rule that fits allows `path`; of equally long ones an allowing one wins."""
    fitting = [(len(pattern), allows) for pattern, allows in rules if _fits(pattern, path)]
    return max(fitting)[1] if fitting else True


def _fits(pattern: str, path: str) -> bool:
    """Match with `*` for any characters and `$` for the end, in one scan from left to right."""
    to_end = pattern.endswith("$")
    pieces = [unquote(piece) for piece in pattern.removesuffix("$").split("*", _MAX_WILDCARDS)]
    path = unquote(path)
    if not path.startswith(pieces[0]):
        return False
    position = len(pieces[0])
    for number, piece in enumerate(pieces[1:], start=1):
        if to_end and number == len(pieces) - 1:
            return path.endswith(piece) and len(path) - len(piece) >= position
        position = path.find(piece, position)
        if position < 0:
            return False
        position += len(piece)
    return not to_end or position == len(path)


def read_robots_rules(files: Iterable[Path], agents: Iterable[str], max_bytes: int) -> RobotsRules:
    """The rules in the robots.txt captures of some WARC files.

    Raises InputError for a file that is no WARC; where a file is damaged, what was read before it counts.
    """
    rules = RobotsRules(agents)
    for file in files:
        for host, date, text in _captures(file, max_bytes):
            rules.add(host, date, text)
    return rules


def _captures(file: Path, max_bytes: int) -> Iterator[tuple[str, str, str]]:
    for capture in read_warc(file, max_bytes):
        if capture is None or isinstance(capture, ReadFailure) or capture.status != 200:
            continue
        if capture.fault or not re.search(r"^[^?#]*://[^/?#]*/robots\.txt$", capture.url):
            continue
        try:
            body = undo_transfer(capture.payload, capture.transfer_encoding, capture.content_encoding, max_bytes)
        except BodyTooLarge:
            continue
        yield host_of(capture.url), capture.date, body[:MAX_ROBOTS_BYTES].decode("utf-8", errors="replace")
