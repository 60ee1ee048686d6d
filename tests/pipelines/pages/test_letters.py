"""What closes a letter stays, and what stands below texts on many sites does not."""

import pytest

from tests.pipelines.pages.article import PARAGRAPHS, SENTENCES, text_of


def behind(lines: tuple[str, ...], greeting: str = "") -> list[str]:
    """Return what is left of lines below a text."""
    below = "".join(f"<p>{line}</p>" for line in lines)
    text = text_of(f"<article><p>{greeting}</p>{PARAGRAPHS}{below}</article>")
    return text[text.index(SENTENCES.split("\n")[-1]) + 1 :]


@pytest.mark.parametrize(
    ("letter", "footer"),
    [
        (("Thanks!",), ("Home", "About us", "Imprint")),
        (("Thanks!",), ("Products", "Solutions", "Careers")),
        (("Thanks!", "Hanna"), ("Share this", "Comments")),
        (("Viele Grüße!", "Hanna"), ("Datenschutz", "AGB")),
        (("Kind regards", "Anna Kovács", "Head of communications", "Example Ltd"), ()),
        (("Üdvözlettel:", "Kovács Anna", "polgármester"), ("Kapcsolat",)),
        (("Cordialement,", "Jean Dupont"), ("Mentions légales", "Newsletter")),
        (("See you on Monday", "Love,", "Anna"), ("Older posts »",)),
        (("Vänligen,", "Ola"), ("Kontakt",)),
    ],
)
def test_a_signature_stays_and_the_footer_behind_it_goes(letter: tuple[str, ...], footer: tuple[str, ...]) -> None:
    assert behind((*letter, *footer)) == [*letter]


@pytest.mark.parametrize(
    "lines",
    [("Berlin,", "Impressum"), ("Paris,", "France"), ("Reuters,", "Ann Lee"), ("Newsletter", "Kind regards", "Anna")],
)
def test_a_place_or_a_footer_above_a_name_closes_no_letter(lines: tuple[str, ...]) -> None:
    assert behind(lines) == []


def test_a_word_with_a_comma_closes_a_text_that_greets_but_no_footer_does() -> None:
    assert behind(("Drum,", "Hans"), "Kära Anna") == ["Drum,", "Hans"]
    assert behind(("Berlin,", "Impressum"), "Kära Anna") == []
