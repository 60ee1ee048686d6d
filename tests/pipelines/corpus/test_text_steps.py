"""Repair and PII, on the way of a corpus's texts to its shards."""

import pytest

from pipelines.corpus.text_steps import TextSteps
from pipelines.pages.charset.repair import repair
from pipelines.settings import CorpusSettings


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("Ã¡rvÃ­ztÅ±rÅ‘ tÃ¼kÃ¶rfÃºrÃ³gÃ©p", "árvíztűrő tükörfúrógép"),
        ("schÃ¶ne GrÃ¼ÃŸe", "schöne Grüße"),
        ("câ€™est dÃ©jÃ  lâ€™Ã©tÃ©", "c’est déjà l’été"),
        ("e\u0301te\u0301", "été"),
    ],
)
def test_repair(broken: str, whole: str) -> None:
    assert repair(broken) == whole


@pytest.mark.parametrize(
    "text",
    [
        "“curly” ‘quotes’ – and … ﬁne Ｆｕｌｌ width",
        "&lt;b&gt; is bold in HTML, déjà",
        "Ünnep: Ádám ő ű\n\nß",
        "plain &amp;",
    ],
)
def test_repair_leaves_what_is_whole(text: str) -> None:
    assert repair(text) == text


def settings(**fields: object) -> CorpusSettings:
    return CorpusSettings.model_validate({"language": "hun", "text_domain": "x", "sources": ["s"], **fields})


def test_an_address_in_a_broken_text_is_found() -> None:
    steps = TextSteps(settings(repair=True))
    assert steps("info@kovÃ¡cs.hu") == "email@example.com"
    assert steps("árvíztűrő") == "árvíztűrő"
    assert steps.changed == {"repair": 1, "pii": 1}


def test_profile_fineweb2_repairs_by_default() -> None:
    assert TextSteps(settings(profile="fineweb2"))("schÃ¶n") == "schön"
    assert TextSteps(settings(profile="fineweb2", repair=False))("schÃ¶n") == "schÃ¶n"
    assert TextSteps(settings())("schÃ¶n") == "schÃ¶n"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Név | Kor\n| | |\n\t|\nAnna | 3", "Név | Kor\n\n\nAnna | 3"),
        ("a\n\n \nb", "a\n\n \nb"),
        ("||\n|a|", "|a|"),
        ("", ""),
    ],
)
def test_lines_of_bars(text: str, left: str) -> None:
    assert TextSteps(settings(remove_bar_lines=True))(text) == left
    assert TextSteps(settings())(text) == text


def test_each_step_can_be_left_out() -> None:
    off = {"emails": False, "ip_addresses": False}
    steps = TextSteps(settings(pii=off))
    assert steps("schÃ¶n a@b.com") == "schÃ¶n a@b.com"
    assert steps.changed == {}
    assert TextSteps(settings(repair=True, pii=off))("schÃ¶n a@b.com") == "schön a@b.com"


def test_marks_that_repairing_brings_out_are_few():
    """NFC takes the square of a run of marks: of 30,000 that were wrongly decoded, some seconds."""
    marks = "\u0300\u0316" * 15_000
    wrongly = ("Vize" + marks).encode().decode("cp1252", errors="replace")
    assert repair(wrongly).startswith("Vizè") and len(repair(wrongly)) < 50
    assert repair("kÃ¶z ketto\u030bs") == "köz kettős"
