"""robots.txt by RFC 9309, for the crawlers that gather text for AI."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.robots_txt import RobotsRules, groups_of, is_allowed


def test_groups() -> None:
    text = (
        "user-agent: ccbot/2.0\r\nUser-Agent: Other\nDISALLOW: /a # comment\nCrawl-delay: 3\nAllow:\n\n"
        "Disallow /no-colon\nUser-agent: *\nDisallow: /\nuser-agent: CCBot\ndisallow: /b\n"
    )
    assert groups_of(text, ["ccbot", "gptbot"]) == {"ccbot": [("/a", False), ("/b", False)]}


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
    ],
)
def test_rules(path: str, allowed: bool) -> None:
    rules = [
        ("/shop", False), ("/shop/public", True), ("/same", False), ("/same", True), ("/*.pdf$", False),
        ("/a*/b", False), ("/caf%c3%a9", False),
    ]  # fmt: skip
    assert is_allowed(path, rules) is allowed


def test_the_latest_capture_counts_and_any_crawler() -> None:
    rules = RobotsRules(["CCBot", "GPTBot"])
    rules.add("example.org", "2026-02-01", "User-agent: GPTBot\nDisallow: /\n\nUser-agent: CCBot\nDisallow:")
    rules.add("example.org", "2026-01-01", "")
    assert rules.opts_out("https://EXAMPLE.org/page")
    rules.add("example.org", "2026-03-01", "")
    assert not rules.opts_out("https://example.org/page")
    assert not rules.opts_out("no url at all")


@given(st.text(st.sampled_from("/*$%aé2\n:#"), max_size=80), st.text(st.sampled_from("/%aé2"), max_size=40))
def test_no_rule_breaks_it(pattern: str, path: str) -> None:
    assert groups_of(f"user-agent: ccbot\ndisallow: {pattern}", ["ccbot"]).keys() <= {"ccbot"}
    assert is_allowed(path, [(pattern, True)])
    assert is_allowed(path, [(pattern, False)]) in (True, False)
