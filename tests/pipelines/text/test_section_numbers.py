"""Numbers of sections stay, also those of an enumeration; addresses go, also beside them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.settings import PiiSettings
from pipelines.text.pii import IPV4, replace_pii

ADDRESSES = PiiSettings(emails=False)


@pytest.mark.parametrize(
    "text",
    [
        "subsections 3.1.4.2, 3.1.4.3 and 3.1.5.1; chapters 4.1.2.2 to 4.1.2.9",
        "Az 5.2.6.1 és az 5.2.6.3 pontban, a 7.1.2.3–7.1.2.8. alpontok, az 5.2.6.1-es vagy az 5.2.6.2-es szakasz",
        "v podkapitole 3.2.5.1 a 3.2.5.2, pododdíly 8.1.1.4 až 8.1.1.9",
        "zgodnie z §§ 6.2.1.3 i 6.2.1.4, w podrozdziałach 2.5.1.1 oraz 2.5.1.2, ust. 7.3.1.2",
        "u potpoglavljima 3.6.1.2 i 3.6.1.3",
        "punctele 9.4.1.2 și 9.4.1.3, alin. 7.7.1.2",
        "die Unterabschnitte 14.32.1.3 und 14.32.1.40, Ziff. 3.5.2.1, Satz 6.1.3.2",
        "Theorem 3.5.1.2 and Lemma 3.5.1.3. A 4.1.1.7. tétel, Definíció 4.1.1.8",
        "trypsin (EC 3.4.21.4), EC 1.14.14.1 and EC 2.7.1.40",
        "Teorema 5.1.2.3, théorème 5.1.2.4, věta 6.1.2.3, twierdzenie 6.1.2.4, Nr. 3.2.1.1",
    ],
)
def test_sections_and_what_is_numbered_by_them(text: str) -> None:
    assert replace_pii(text, ADDRESSES) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a 12.2.3.4 és a 82.168.1.5 gépek", "a {} és a {} gépek"),
        ("servers 8.8.8.8, 8.8.4.4 and 1.1.1.1", "servers {}, {} and {}"),
        ("see section 2.5.1.2, 83.12.9.41 and 2.5.1.3", "see section 2.5.1.2, {} and 2.5.1.3"),
        ("IP 5.9.20.7 és 5.9.20.8 pont", "IP {} és 5.9.20.8 pont"),
        ("server 81.2.3.44 v síti", "server {} v síti"),
        ("3.1.4.1 Az elv, 5.9.20.7 és 5.9.20.8", "3.1.4.1 Az elv, {} és {}"),
    ],
)
def test_addresses_beside_them(text: str, expected: str) -> None:
    assert replace_pii(text, ADDRESSES) == expected.format(*[IPV4] * 3)


NUMBERS = st.lists(st.lists(st.integers(1, 30), min_size=4, max_size=4), min_size=1, max_size=5)
JOINTS = st.sampled_from([", ", " and ", " és a ", "–", "; ", " und ", ", valamint az ", "/"])


@given(NUMBERS, JOINTS, st.sampled_from(["sections {}", "a {} pontok", "§ {}", "({}. fejezet)"]))
def test_an_enumeration_stays_whole(numbers: list[list[int]], joint: str, around: str) -> None:
    text = "Text: " + around.format(joint.join(".".join(map(str, number)) for number in numbers))
    assert replace_pii(text, ADDRESSES) == text


@given(NUMBERS, JOINTS, st.sampled_from(["sections {}", "a {} pontok", "servers {}", "{}"]))
def test_a_second_time_changes_nothing(numbers: list[list[int]], joint: str, around: str) -> None:
    listed = (".".join(str(part * 8 if sum(number) % 2 else part) for part in number) for number in numbers)
    once = replace_pii(around.format(joint.join(listed)), ADDRESSES)
    assert replace_pii(once, ADDRESSES) == once


@pytest.mark.parametrize("piece", ["1.2.3.4 ", "1.2.3.4, ", "§ 1.2.3.4 és a ", "1.2.3.4-es "])
def test_many_numbers_take_linear_time(piece: str) -> None:
    start = time.process_time()
    replace_pii(piece * (400_000 // len(piece)), ADDRESSES)
    assert time.process_time() - start < 2
