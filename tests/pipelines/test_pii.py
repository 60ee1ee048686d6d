"""Personal data goes, all else stays, whatever stood before it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.pii import EMAIL, IPV4, IPV6, PHONE, replace_pii
from pipelines.settings import PiiSettings

ALL = PiiSettings(phone_numbers=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to jane.o'neil+news@mail.example.co.uk.", f"Write to {EMAIL}."),
        ("<info@kovács.hu>, me@x.io; a_b@c-d.museum", f"<{EMAIL}>, {EMAIL}; {EMAIL}"),
        ("mailto:root@srv1.example.org?subject=x", f"mailto:{EMAIL}?subject=x"),
        ("The server 8.8.8.8:53, or 2a00:1450:4001:82b::200e.", f"The server {IPV4}:53, or {IPV6}."),
        ("[2001:4860:4860:0:0:0:0:8888]", f"[{IPV6}]"),
        ("Call +36 30 123 4567 or +49 (0)30 1234-567!", f"Call {PHONE} or {PHONE}!"),
        ("Tel. 030/123 45 67, (555) 234-5678, 06 12 34 56 78", f"Tel. {PHONE}, {PHONE}, {PHONE}"),
    ],
)
def test_what_is_replaced(text: str, expected: str) -> None:
    assert replace_pii(text, ALL) == expected


@pytest.mark.parametrize(
    "text",
    [
        "@home at a@b, x@y.1, @media (min-width: 3px), a @ b.com, user@localhost",
        "10.0.0.1, 192.168.1.254, 127.0.0.1, 256.1.1.1, 1.2.3.4.5, 01.02.2003, v8.8.8.8",
        "12:30:45, fe80::1, ::1, std::vector, 2:3:4, 2000:1:2, 3ab::call::x",
        "1848-1849, 12.03.2021, 1 234 567,89, 978-3-16-148410-0, 2021-03-04T10:20:30, 0,123 456 789, 4111111111111111",
    ],
)
def test_what_stays(text: str) -> None:
    assert replace_pii(text, ALL) == text


def test_each_kind_has_a_switch() -> None:
    text = "a@b.com 8.8.8.8 +36 30 123 4567"
    assert replace_pii(text, PiiSettings()) == f"{EMAIL} {IPV4} +36 30 123 4567"
    assert replace_pii(text, PiiSettings(emails=False, ip_addresses=False)) == text
    assert replace_pii(text, PiiSettings(emails=False)) == f"a@b.com {IPV4} +36 30 123 4567"


PIECES = st.sampled_from(["a@b.com", "8.8.8.8", "2a00::1", "+36 30 123 4567", "word", " ", "\n", ".", "@", "0", ":"])


@given(st.lists(PIECES | st.text(max_size=5), max_size=30).map("".join))
@example("a" * 100_000 + "@")
@example("a@" * 50_000)
@example("a@" + "b." * 50_000)
@example("1." * 50_000)
@example("2000:" * 20_000)
@example("0 12" * 20_000)
def test_a_second_time_changes_nothing(text: str) -> None:
    once = replace_pii(text, ALL)
    assert replace_pii(once, ALL) == once


@given(st.lists(st.sampled_from(["a@b.com", "8.8.8.8", "x", "+36 30 123 4567"]), max_size=8))
def test_lines_are_replaced_alike_in_any_order(lines: list[str]) -> None:
    together = replace_pii("\n".join(lines), ALL).split("\n")
    assert together == [replace_pii(line, ALL) for line in "\n".join(lines).split("\n")]
