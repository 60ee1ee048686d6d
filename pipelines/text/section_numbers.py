"""Tells numbers of sections, versions and the like, four with dots between, from addresses of version 4.

By a word before or behind, an ordinal's dot, or the place of a heading's number; and in an enumeration by one of those
that are listed: `sections 2.3.4.5, 2.3.4.6 and 2.3.4.7`.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

_SECTION = re.compile(
    r"§|v|ver|version|versions|verzió|versión|versione|versão|versie|wersja|verze|verzia|verzija|versiune|versio|"
    r"версия|версии|версію|версія|έκδοση|sürüm|release|build|firmware|oid|ec|"
    r"(?:sub)?sections?|secs?|(?:sub)?chapters?|articles?|arts?|(?:sub)?clauses?|(?:sub)?paragraphs?|figures?|figs?|"
    r"tables?|tabs?|appendix|appendices|items?|"
    r"(?:al)?fejezet\w{0,6}|(?:al)?szakasz\w{0,6}|(?:al)?pont\w{0,6}|cikk\w{0,6}|bekezdés\w{0,6}|ábr\w{1,6}|"
    r"táblázat\w{0,6}|mellékl\w{2,6}|"
    r"(?:unter)?abschnitt\w{0,2}|(?:unter)?kapitel[ns]?|kap|artikels?|artikeln|abs|absatz|absätze\w?|ziff|ziffern?|"
    r"anhang|abbildung(?:en)?|abb|tabellen?|(?:unter)?punkt\w{0,4}|"
    r"chapitres?|paragraphes?|annexes?|alinéas?|capítulos?|(?:sub)?secci(?:ón|ones)|artículos?|(?:sub)?apartados?|"
    r"(?:sub)?seç(?:ão|ões)|(?:sub)?secç(?:ão|ões)|artigos?|(?:sotto)?capitol\w{0,5}|(?:sotto)?sezion[ei]|articol\w{0,5}|"
    r"paragraf\w{0,4}|comm[ai]|"
    r"(?:pod)?rozdzia\w{1,5}|(?:pod)?sekcj\w{1,3}|ust|ustęp\w{0,4}|artyku\w{1,5}|rys|rysun\w{2,5}|tabel\w{0,3}|pkt|"
    r"podpunkt\w{0,4}|"
    r"(?:pod)?oddíl\w{0,3}|(?:pod)?část\w{0,3}|článk\w{1,3}|článek|čl|(?:pod)?odst\w{0,6}|bod\w{0,3}|obrázk?\w{0,3}|"
    r"obr|(?:pod)?kapitol\w{1,3}|tabulk\w{1,3}|(?:pod)?časť|(?:pod)?časti\w{0,2}|článok|(?:pod)?odsek\w{0,3}|"
    r"(?:sub|pot|pod)?poglavlj\w{1,3}|(?:pod|pot)?odjelj\w{2,5}|član\w{0,5}|stav\w{1,4}|slik\w{1,3}|tablic\w{1,3}|"
    r"(?:pod)?točk\w{1,3}|(?:pod)?tačk\w{1,3}|(?:пот)?поглављ\w{1,3}|члан\w{0,5}|(?:pod)?razdel\w{0,3}|"
    r"(?:pod)?poglavj\w{1,3}|"
    r"(?:sub)?secțiun\w{1,4}|(?:sub)?punct\w{0,5}|alin|alineat\w{1,4}|"
    r"(?:under|del)?kapittel|(?:under|del)?kapitler|(?:under)?kapitl\w{1,4}|(?:under)?afsnit\w{0,5}|"
    r"(?:under)?avsnitt\w{0,3}|stykke|tabell\w{0,3}|figur\w{0,3}|"
    r"hoofdstuk(?:ken)?|(?:sub)?paragra(?:af|fen)|artikelen|(?:ala)?luku|(?:ala)?luvu\w{1,5}|(?:ala)?kohta|"
    r"(?:ala)?kohda\w{1,4}|taulukko|kuva|"
    r"(?:под)?раздел\w{0,3}|глав\w{1,3}|(?:под|під)?пункт\w{0,3}|стать\w{1,2}|таблиц\w{1,2}|рисун\w{2,4}|"
    r"(?:під)?розділ\w{0,3}|стаття|статті|член\w{0,3}|точк\w{1,3}|(?:υπο)?κεφάλαι\w{1,2}|(?:υπο)?ενότητ\w{1,3}|"
    r"άρθρ\w{1,2}|πίνακα\w?|σχήμα|"
    r"bölüm\w{0,6}|madde\w{0,6}|tablo|şekil|(?:po)?skyri\w{1,3}|straipsn\w{1,4}|(?:apakš)?nodaļ\w{1,2}|pants?|"
    r"(?:ala)?peatük\w{1,3}|jagu",
    re.IGNORECASE,
)
# They refer to a section, or to a page of the net: which, the size of the numbers tells.
_REFERENCE = re.compile(
    r"siehe|vgl|see|cf|voir|lásd|ld|vö|zob|por|viz|viď|vid|véase|vedi|veja|zie|se|jfr|jf|katso|ks|см|ср|див|vezi|"
    r"vaata|vt|žr|sk|glej|gl|βλ|bkz|nr|č|sz|br|št|lit",
    re.IGNORECASE,
)
# What has a number by its section; other things have numbers too.
_NUMBERED = re.compile(
    r"theorem\w{0,2}|satz|sätze\w?|lemma\w{0,3}|lemmát|corollar\w{1,3}|propositions?|definition\w{0,4}|remarks?|"
    r"examples?|exercises?|equations?|eqs?|algorithms?|rules?|steps?|requirements?|"
    r"tétel\w{0,6}|definíci\w{1,6}|állítás\w{0,5}|példa|példá\w{0,5}|feladat\w{0,6}|egyenlet\w{0,6}|képlet\w{0,6}|"
    r"algoritmus\w{0,6}|megjegyzés\w{0,5}|követelmény\w{0,6}|lépés\w{0,5}|kép|"
    r"beispiel\w{0,2}|übung(?:en)?|aufgaben?|gleichung(?:en)?|bemerkung(?:en)?|bild\w{0,3}|"
    r"théorèmes?|exemples?|exercices?|équations?|teorem\w{0,4}|ejemplos?|exemplos?|esemp[io]|ejercicios?|"
    r"definici\w{1,4}|definicj\w{1,2}|definizion[ei]|definiç(?:ão|ões)|twierdzeni\w{1,3}|przykład\w{0,4}|vět\w{1,3}|"
    r"příklad\w{0,3}|príklad\w{0,3}|úloh\w{1,3}|primjer\w{0,4}|primer\w{0,3}|zadat\w{1,4}|exempl\w{1,4}|"
    r"exempel|eksempel|sætning|sats|oppgave|opgave|stelling|voorbeeld\w{0,2}|теорем\w{1,2}|лемм\w{1,2}|пример\w{0,3}",
    re.IGNORECASE,
)
_BEFORE_ONLY = frozenset({"v", "ver", "ec"})  # behind a number they are words of the sentence
_LETTER_OR_SIGN = re.compile(r"[^\W\d_]|[§/]")
_WORD_BEFORE = re.compile(r"(?<![^\W\d_])(?:§|([^\W\d_]{1,20}+))\Z|[A-Za-z]/\Z")
_IP_BEFORE = re.compile(r"\bip\b[^\d\n]{0,16}\Z", re.IGNORECASE)
# Hungarian and Turkish put an ending to the number: a 3.2.1.4-es szakasz, a 3.2.1.4-ben.
_ENDING = r"[-'’][^\W\d_]{1,5}(?![^\W_])"
_ENDING_BEHIND = re.compile(_ENDING)
_WORD_BEHIND = re.compile(rf"(?:{_ENDING})?\.?\)?[ \t-]{{0,3}}(§|[^\W\d_]{{1,20}}+)")
_ORDINAL_BEHIND = re.compile(r"\.[ \t]+([^\W\d_])")
_HEADING_BEHIND = re.compile(r"[.)]?[ \t]+[^\W\d_]")
_MOST_OF_SECTIONS = 30  # sections of a chapter; an address with four such numbers is one in 4,000
# Between two numbers of an enumeration: a 3.2.1.4. és a 3.2.1.5. pont; §§ 3.2.1.4-3.2.1.6.
_AND = (
    r"és|vagy|valamint|illetve|meg|und|oder|sowie|bis|and|or|to|through|et|ou|à|og|eller|och|till?|i|oraz|lub|albo|do|a|"
    r"až|nebo|anebo|alebo|či|ali|ili|in|ter|ed?|o|y|u|até|și|şi|sau|en|of|tot|ja|tai|või|ir|un|ar|и|или|та|і|або|й|по|"
    r"до|και|ή|ve|veya|ile|eta|dhe"
)
_ARTICLE = r"az?|der|die|das|den|dem|the|l[aeo]s?|el|il|de|do|os?|as|na|af|av"
_BETWEEN_LISTED = re.compile(
    rf"(?:{_ENDING})?\.?\)?(?:[ \t]?[,;/&\u2010-\u2014-][ \t]?(?:(?:{_AND})[ \t])?|[ \t](?:{_AND})[ \t])"
    rf"(?:(?:{_ARTICLE})[ \t])?§?[ \t]?",
    re.IGNORECASE,
)
_MOST_BETWEEN = 24
_MOST_LISTED = 1000  # of an enumeration that are looked at together


def addresses(numbers: Iterable[re.Match[str]]) -> Iterator[tuple[re.Match[str], bool]]:
    """Yield matches of four numbers in a text, in order, and whether each may be an address."""
    listed: list[re.Match[str]] = []
    for number in numbers:
        if listed and (len(listed) == _MOST_LISTED or not _goes_on(listed[-1], number)):
            yield from _judged(listed)
            listed = []
        listed.append(number)
    yield from _judged(listed)


def _goes_on(one: re.Match[str], other: re.Match[str]) -> bool:
    """Tell whether the other number is the next of an enumeration."""
    if not 1 < other.start() - one.end() <= _MOST_BETWEEN and one.string[one.end()] not in ",;/&-\u2010\u2011\u2012–—":
        return False
    return _BETWEEN_LISTED.fullmatch(one.string, one.end(), other.start()) is not None


def _judged(listed: list[re.Match[str]]) -> Iterator[tuple[re.Match[str], bool]]:
    told = [_is_told(number) for number in listed]
    beginnings = {_beginning(number[0]) for number, is_told in zip(listed, told, strict=True) if is_told}
    if beginnings and not _IP_BEFORE.search(_before(listed[0])):
        told = [
            is_told or _is_small(number[0]) or _beginning(number[0]) in beginnings
            for number, is_told in zip(listed, told, strict=True)
        ]
    for number, is_told in zip(listed, told, strict=True):
        yield number, not is_told and not _is_heading(number)


def _before(number: re.Match[str]) -> str:
    return number.string[max(number.start() - 40, 0) : number.start()].rpartition("\n")[2]


def _is_told(number: re.Match[str]) -> bool:
    """Tell whether a word beside a number, or its ending, says that it is a section's."""
    before, behind = _before(number), number.string[number.end() : number.end() + 32]
    kind = _kind_before(before)
    if kind == "section":
        return True
    word = _WORD_BEHIND.match(behind)
    kind_behind = _kind(word[1]) if word and word[1].lower() not in _BEFORE_ONLY else None
    if kind_behind == "section":
        return True
    if not _is_small(number[0]):
        return False
    if kind is not None or kind_behind == "numbered":
        return True
    if _ENDING_BEHIND.match(behind) and not _IP_BEFORE.search(before):
        return True
    return bool((ordinal := _ORDINAL_BEHIND.match(behind)) and ordinal[1].islower())


def _kind_before(before: str) -> str | None:
    nearest = before[-4:].rstrip(" \t.:")
    if not nearest or not _LETTER_OR_SIGN.match(nearest[-1]):  # most often: the search takes longer
        return None
    word = _WORD_BEFORE.search(before[: len(before) - len(before[-4:]) + len(nearest)])
    if word is None:
        return None
    return "section" if word[1] is None else _kind(word[1])


def _is_heading(number: re.Match[str]) -> bool:
    before = _before(number)
    if before.strip(" \t#*") or len(before) >= 40 or not _is_small(number[0]):
        return False
    return _HEADING_BEHIND.match(number.string, number.end()) is not None


@lru_cache(maxsize=4096)
def _kind(word: str) -> str | None:
    kinds = {"section": _SECTION, "numbered": _NUMBERED, "reference": _REFERENCE}
    return next((kind for kind, pattern in kinds.items() if pattern.fullmatch(word)), None)


@lru_cache(maxsize=4096)
def _is_small(number: str) -> bool:
    return all(int(part) <= _MOST_OF_SECTIONS for part in number.split("."))


def _beginning(number: str) -> tuple[str, ...]:
    return tuple(number.split(".")[:2])
