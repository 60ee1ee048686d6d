"""Rules in robots.txt captures by which owners keep pages from the use of their text: for AI crawlers, and on training.

The protocol is RFC 9309, https://www.rfc-editor.org/rfc/rfc9309; protego, https://github.com/scrapy/protego, matches
its rules. A page is opted out where the group of a crawler that gathers text for AI, named in the file, disallows it
(what the file says to all crawlers, `*`, is no word on AI), and where a usage preference refuses training: one that is
addressed to all crawlers, or to one of those.
"""

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from protego import Protego

from pipelines.pages.opt_outs import CONTENT_SIGNAL, CONTENT_USAGE, says_of_training
from pipelines.pages.warc import Capture, read_warc
from pipelines.pages.warc.http_body import BodyTooLarge, undo_transfer
from pipelines.sources.urls import host_of, without_www

MAX_ROBOTS_BYTES = 500 * 1024  # RFC 9309, 2.5: what lies behind need not be read
_MAX_PATH_CHARACTERS = 4096  # of a URL that rules are matched with, each in time linear in it
_MAX_PREFERENCES = 1000  # usage preferences that are read of a file
_PARSED_HOSTS = 64  # whose rules are held ready

REASONS = {CONTENT_USAGE: "content_usage_robots_txt", CONTENT_SIGNAL: "content_signal_robots_txt"}
# As protego reads them.
_USER_AGENT = ("user-agent", "useragent", "user agent")
_ACCESS = ("allow", "disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw")
_RULES = (*_ACCESS, CONTENT_USAGE, CONTENT_SIGNAL)
# Rules of another draft on training (draft-canel-robots-ai-control), as usage preferences.
_OF_TRAINING = {"disallowaitraining": "train-ai=n", "allowaitraining": "train-ai=y"}
_HAS_PATH = re.compile(r"/\S*\s")  # before the statement of a usage preference
# Between product tokens: `GPTBot/1.0`, and what the RFC knows no lists and patterns of (`GPTBot, CCBot`, `"GPTBot*"`).
_BETWEEN_TOKENS = re.compile(r"[/\s,;()\"'*\[\]<>]+")
_ADDRESS = re.compile(r"https?://[^/?#]*", re.IGNORECASE)  # of the site, before a rule's path
_GROUP_END = "allow:"  # a rule without a value, which only ends the lines of user agents
_AROUND = " \t\r\0\xa0\u200b\u200c\u200d\ufeff"  # what editors leave around a line
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True, slots=True)
class _Rules:
    """The useful part of a robots.txt: its text by kind of rule, cut down to these agents, whose rules differ."""

    date: str
    agents: tuple[str, ...] = ()
    access: str = ""
    preferences: dict[str, str] = field(default_factory=dict)  # as Disallow and Allow, by the label of the rule


class RobotsRules:
    """The rules for AI crawlers, and on training (`preferences`), of many hosts."""

    def __init__(self, agents: Iterable[str], preferences: bool = True) -> None:
        self._agents, self._preferences = frozenset(agent.lower() for agent in agents), preferences
        self._of_host: dict[str, _Rules] = {}

    def add(self, host: str, date: str, text: str) -> None:
        """Take in a robots.txt; of several captures the one of the latest date counts."""
        known = self._of_host.get(host)
        if known is None or date >= known.date:
            self._of_host[host] = _rules(host, date, text, self._agents, self._preferences)

    def opts_out(self, url: str) -> str | None:
        """Return the reason why this URL is opted out: robots_txt, or that of a usage preference; None if it is not."""
        rules = self._of_host.get(host_of(url)) if self._of_host else None
        if rules is None or not (rules.agents or rules.preferences):
            return None
        page = _page(url)
        if rules.access and not _allowed(rules.access, page, rules.agents):
            return "robots_txt"
        for label, text in rules.preferences.items():
            if not _allowed(text, page, (*rules.agents, "*")):
                return REASONS[label]
        return None


def _page(url: str) -> str:
    """Return a URL of the same path and query, of bounded length, that can be parsed."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    page = f"http://host/{path.removeprefix('/')[:_MAX_PATH_CHARACTERS]}"
    return page.encode(errors="replace").decode()  # half of a surrogate pair, as JSON may have it


def _allowed(text: str, page: str, agents: Iterable[str]) -> bool:
    robots = _parsed(text)
    return all(robots.can_fetch(page, agent) for agent in agents)


@lru_cache(maxsize=_PARSED_HOSTS)
def _parsed(text: str) -> Protego:
    return Protego.parse(text)


def _rules(host: str, date: str, text: str, wanted: frozenset[str], preferences: bool) -> _Rules:
    groups = [(agents & (wanted | {"*"}), lines) for agents, lines in _groups(text[:MAX_ROBOTS_BYTES], host)]
    groups = [(agents, lines) for agents, lines in groups if agents]
    # Agents that the same groups name have the same rules: one of them is asked for.
    named: dict[tuple[int, ...], str] = {}
    for agent in sorted(set().union(*(agents for agents, _ in groups)) - {"*"}):
        named.setdefault(tuple(place for place, (agents, _) in enumerate(groups) if agent in agents), agent)
    chosen = tuple(named.values())
    access = [
        line
        for agents, lines in groups
        if agents & set(chosen)
        for line in (
            *_lines_of(agents & set(chosen)),
            *(f"{key}: {value}" for key, value in lines if key in _ACCESS),
            _GROUP_END,
        )
    ]
    found = {label: _preferences(label, groups, (*chosen, "*")) for label in REASONS} if preferences else {}
    return _Rules(date, chosen, "\n".join(access), {label: text for label, text in found.items() if text})


def _groups(text: str, host: str) -> Iterator[tuple[set[str], list[tuple[str, str]]]]:
    """Yield the groups of a host's robots.txt: product tokens in lower case, and rules. Those before any are for all
    (`*`).
    """
    agents: set[str] = set()
    lines: list[tuple[str, str]] = []
    for line in text.splitlines():
        key, _, value = line.partition("#")[0].partition(":")
        key, value = key.strip(_AROUND).lower(), value.strip(_AROUND)
        if key in _OF_TRAINING and value:
            key, value = CONTENT_USAGE, f"{_path(value, host)} {_OF_TRAINING[key]}"
        if key in _RULES:
            lines.append((key, _path(value, host) if key in _ACCESS else value))
        elif key in _USER_AGENT:
            if lines:
                yield agents or {"*"}, lines
                agents, lines = set(), []
            agents.update(["*"] if value.strip("\"'") == "*" else _BETWEEN_TOKENS.split(value.lower()))
    yield agents or {"*"}, lines


def _path(value: str, host: str) -> str:
    """Return a rule's path as it was meant: `private/`, `"/private/"` and `https://example.org/private/` too."""
    path = value.strip("\"'")
    if (address := _ADDRESS.match(path)) and without_www(host_of(path)) == without_www(host):
        path = path[address.end() :] or "/"
    return path if not path or path[0] in "/*$" else f"/{path}"


def _preferences(label: str, groups: Sequence[tuple[set[str], list[tuple[str, str]]]], agents: Iterable[str]) -> str:
    """Return the usage preferences of one label as rules of access: a refusal disallows. '' where none refuses."""
    of_agent: dict[str, dict[str, bool]] = {}
    left = _MAX_PREFERENCES
    for names, lines in groups:
        said = []
        for key, value in lines:
            if key != label or left == 0:
                continue
            path, statement = re.split(r"\s+", value, maxsplit=1) if _HAS_PATH.match(value) else ("/", value)
            if (allows := says_of_training(label, statement)) is not None:
                said.append((path, allows))
                left -= 1
        for agent in names.intersection(agents):
            own = of_agent.setdefault(agent, {})
            for path, allows in said:
                own[path] = own.get(path, True) and allows  # of conflicting ones the refusal holds
    if all(allows for own in of_agent.values() for allows in own.values()):
        return ""
    return "\n".join(
        line
        for agent, own in of_agent.items()
        for line in (
            *_lines_of({agent}),
            *(f"{'allow' if allows else 'disallow'}: {path}" for path, allows in own.items()),
            _GROUP_END,
        )
    )


def _lines_of(agents: Iterable[str]) -> list[str]:
    return [f"user-agent: {agent}" for agent in sorted(agents)]


def read_robots_rules(
    files: Iterable[Path], agents: Iterable[str], max_bytes: int, preferences: bool = True
) -> RobotsRules:
    """Return the rules in the robots.txt captures of some WARC files.

    Raises InputError for a file that is no WARC; where a file is damaged, what was read before it counts.
    """
    rules = RobotsRules(agents, preferences)
    for file in files:
        for host, date, text in _captures(file, max_bytes):
            rules.add(host, date, text)
    return rules


def _captures(file: Path, max_bytes: int) -> Iterator[tuple[str, str, str]]:
    for capture in read_warc(file, max_bytes):
        if not isinstance(capture, Capture) or capture.status != 200:
            continue
        if capture.fault or not re.search(r"^[^?#]*://[^/?#]*/robots\.txt$", capture.url):
            continue
        try:
            body = undo_transfer(capture.payload, capture.transfer_encoding, capture.content_encoding, max_bytes)
        except BodyTooLarge:
            continue
        yield host_of(capture.url), capture.date, _decode(body[:MAX_ROBOTS_BYTES])


def _decode(body: bytes) -> str:
    """Return a robots.txt as text: UTF-8 (RFC 9309, 2.3), or what its byte order mark says."""
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, errors="replace")
    return body.decode("utf-8", errors="replace")
