"""robots.txt by RFC 9309, for the crawlers that gather text for AI, and what it says of training."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.pages.robots_txt import RobotsRules, read_robots_rules
from pipelines.settings import OptOutSettings
from tests.pipelines.warc_files import Page

SITE = "https://example.org"


def said_of(text: str, path: str, *agents: str) -> str | None:
    rules = RobotsRules(agents or ["CCBot", "GPTBot"])
    rules.add("example.org", "2026", text)
    return rules.opts_out(SITE + path)


def test_groups() -> None:
    text = (
        "user-agent: ccbot/2.0\r\nUser-Agent: Other\nDISALLOW: /a # comment\nCrawl-delay: 3\nAllow:\n\n"
        "Disallow /no-colon\nUser-agent: *\nDisallow: /\nuser-agent: CCBot\ndisallow: /b\n"
    )
    assert said_of(text, "/a") == said_of(text, "/b/1") == "robots_txt"
    assert said_of(text, "/c") is said_of(text, "/no-colon") is None
    assert said_of(text, "/a", "GPTBot") is None  # what is said to all is no word on AI


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", True),
        ("/shop/item", False),
        ("/shop/public/item", True),  # the longer rule
        ("/same", True),  # of equally long rules the allowing one
        ("/file.pdf", False),
        ("/file.pdf?download", True),  # $ is the end
        ("/a/x/b", False),
        ("/a/b", False),
        ("/caf%C3%A9", False),
        ("/café", False),
        ("//shop/item", True),
    ],
)
def test_rules(path: str, allowed: bool) -> None:
    rules = (
        "User-agent: CCBot\nDisallow: /shop\nAllow: /shop/public\nDisallow: /same\nAllow: /same\nDisallow: /*.pdf$\n"
        "Disallow: /a*/b\nDisallow: /caf%c3%a9\n"
    )
    assert (said_of(rules, path) is None) is allowed


def test_the_latest_capture_counts_and_any_crawler() -> None:
    rules = RobotsRules(["CCBot", "GPTBot"])
    rules.add("example.org", "2026-02-01", "User-agent: GPTBot\nDisallow: /\n\nUser-agent: CCBot\nDisallow:")
    rules.add("example.org", "2026-01-01", "")
    assert rules.opts_out("https://EXAMPLE.org:443/page")
    rules.add("example.org", "2026-03-01", "")
    assert not rules.opts_out("https://example.org/page")
    assert not rules.opts_out("no url at all")


@pytest.mark.parametrize(
    "encoded",
    [
        b"\xef\xbb\xbf" + b"User-agent: CCBot\nDisallow: /k\n",
        "\ufeffUser-agent: CCBot\nDisallow: /k\n".encode("utf-16-le"),
        "\ufeffUser-agent: CCBot\nDisallow: /k\n".encode("utf-16-be"),
        "Sitemap: https://kert.example/s.xml\n\ufeffUser-agent: CCBot\nDisallow: /k\n".encode(),
        "\u200bUser-agent: CCBot\u200b\n\u00a0Disallow: /k\u200b\n".encode(),
    ],
    ids=["utf-8", "utf-16-le", "utf-16-be", "in the middle", "spaces of no width"],
)
def test_byte_order_marks(encoded: bytes, write_warc: "pytest.FixtureRequest") -> None:
    page = Page(encoded, "https://kert.example/robots.txt", headers={"Content-Type": "text/plain"})
    rules = read_robots_rules([Path(write_warc([page], "robots.warc.gz"))], ["CCBot"], 1_000_000)  # type: ignore[operator]
    assert rules.opts_out("https://kert.example/k/1") == "robots_txt"
    assert rules.opts_out("https://kert.example/other") is None


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("User-agent: *\nAllow: /\nContent-Usage: train-ai=n\n", "/a", "content_usage_robots_txt"),
        ("User-agent: *\nContent-Usage: search=y, train-ai=n;x=1\n", "/a", "content_usage_robots_txt"),
        ("User-agent: *\nContent-Usage: train-ai=y\n", "/a", None),
        ("User-agent: *\nContent-Usage: search=n\n", "/a", None),
        ("User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /open/ train-ai=y\n", "/open/1", None),
        ("User-agent: *\nContent-Usage: /closed/\ttrain-ai=n\n", "/closed/1", "content_usage_robots_txt"),
        ("User-agent: *\nContent-Usage: /closed/\ttrain-ai=n\n", "/other", None),
        ("User-agent: *\nContent-Usage: train-ai=y\nContent-Usage: train-ai=n\n", "/a", "content_usage_robots_txt"),
        ("User-agent: GPTBot\nContent-Usage: train-ai=n\n", "/a", "content_usage_robots_txt"),
        ("User-agent: Other\nContent-Usage: train-ai=n\n", "/a", None),
        ("User-Agent: *\nContent-signal: search=yes,ai-train=no\nAllow: /\n", "/a", "content_signal_robots_txt"),
        ("User-agent: *\nContent-Usage: /a search=y  train-ai = n bots=y\n", "/a", "content_usage_robots_txt"),
        ("Content-Signal: ai-train=no\n\nUser-agent: Other\nDisallow: /x\n", "/a", "content_signal_robots_txt"),
        ("User-agent: *\nContent-Signal: ai-train=yes, search=no, ai-input=no\n", "/a", None),
        ("User-agent: *\nDisallowAITraining: /\nAllowAITraining: /open/\n", "/a", "content_usage_robots_txt"),
        ("User-agent: *\nDisallowAITraining: /\nAllowAITraining: /open/\n", "/open/1", None),
        ("User-agent: *\nDisallowAITraining:\n", "/a", None),
        ("User-agent: *\nContent-Usage: trained=n, train-ai=maybe\n", "/a", None),
        ("User-agent: *\nUser-agent: Other\nContent-Signal: AI-Train = No\n", "/a", "content_signal_robots_txt"),
    ],
)
def test_usage_preferences(text: str, path: str, reason: str | None) -> None:
    assert said_of(text, path) == reason
    ignoring = RobotsRules(["GPTBot"], preferences=False)
    ignoring.add("example.org", "2026", text)
    assert ignoring.opts_out(SITE + path) is None


@pytest.mark.parametrize(
    "named",
    [
        "Other, CCBot",
        '"CCBot"',
        "CCBot*",
        "Mozilla/5.0 (compatible; ccbot/2.0)",
        "'CCBot' 'Other'",
        "CCBot;",
        "[CCBot]",
        "<CCBot>",
    ],
)
def test_agents_named_otherwise_than_by_the_rfc(named: str) -> None:
    assert said_of(f"User-agent: {named}\nDisallow: /k\n", "/k/1", "CCBot") == "robots_txt"
    assert said_of(f"User-agent: {named}\nDisallow: /k\n", "/k/1", "GPTBot") is None


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("Ai2Bot-Dolma", "robots_txt"),  # a token of its own, beside AI2Bot
        ("AI2BOT", "robots_txt"),
        ("Claude-Web", "robots_txt"),
        ("FacebookBot", "robots_txt"),
        ("Meta-ExternalAgent", "robots_txt"),
        ("Omgilibot", "robots_txt"),
        ("Webzio-Extended", "robots_txt"),
        ("ChatGPT-User", None),  # for one user's question
        ("meta-externalfetcher", None),
        ("Diffbot", None),
        ("facebookexternalhit", None),
        ("AI2Bot-Other", None),
    ],
)
def test_crawlers_that_a_config_takes_for_those_that_gather_text_for_ai(named: str, reason: str | None) -> None:
    assert said_of(f"User-agent: {named}\nDisallow: /k\n", "/k/1", *OptOutSettings().agents) == reason


@pytest.mark.parametrize(
    "path", ["k/", '"/k/"', "https://example.org/k/", "HTTP://www.example.org/k/", "*/k/", "https://Example.org:443/k/"]
)
def test_paths_written_otherwise_than_by_the_rfc(path: str) -> None:
    assert said_of(f"User-agent: CCBot\nDisallow: {path}\n", "/k/1") == "robots_txt"
    assert said_of(f"User-agent: CCBot\nDisallow: {path}\n", "/other") is None
    assert said_of("User-agent: CCBot\nDisallow: https://example.org\n", "/k/1") == "robots_txt"
    assert said_of("User-agent: CCBot\nDisallow: https://other.example/k/\n", "/k/1") is None


def test_half_of_a_surrogate_pair_in_an_address() -> None:
    assert said_of("User-agent: CCBot\nDisallow: /k\n", "/k/\ud83d") == "robots_txt"


@given(st.text(st.sampled_from("/*$%aé2\n:#"), max_size=80), st.text(st.sampled_from("/%aé2"), max_size=40))
def test_no_rule_breaks_it(pattern: str, path: str) -> None:
    assert said_of(f"user-agent: ccbot\nallow: {pattern}", f"/{path}") in (None, "robots_txt")
    assert said_of(f"user-agent: ccbot\ndisallow: {pattern}", f"/{path}") in (None, "robots_txt")
    assert said_of(f"user-agent: ccbot\ncontent-usage: {pattern} train-ai=n", f"/{path}") in (
        None,
        "content_usage_robots_txt",
    )


def test_thousands_of_rules_for_each_agent_are_all_read() -> None:
    agents = [f"bot{number}" for number in range(12)]
    rules = "".join(f"Disallow: /{number}*a*b*c$\n" for number in range(3000))
    text = "".join(f"User-agent: {agent}\n" for agent in agents) + rules + "Disallow: /last\n"
    assert said_of(text, "/last/" + "%41" * 30_000, *agents) == "robots_txt"
    assert said_of(text, "/first/" + "%41" * 30_000, *agents) is None
