"""Stop words by language: a text with fewer than two different ones is hardly running text in it.

English: Rae et al. 2021 (Gopher), section A1.1. All others: FineWeb2's, the most frequent words of each language's
Wikipedia (github.com/huggingface/fineweb-2, configs/<language>_<script>.yml, read in November 2026). Fourteen lists are
of commit baedee44 of it, the others from 05e6729; where both were at hand (hun) they are the same. Parts of words
that FineWeb2's tokenisers cut off (French l', Maltese il-) are left out: words here are what white space parts.
Their licence stands in NOTICE.
"""

from collections.abc import Mapping

_TABLE = """
eng the be to of and that have with
bul на и в е от за се г. с през да по
cat de el la a i d en que va els per un les una amb es
ces v a se na je z s do
dan i og af en til er den at som på for med det blev var der fra de han et
deu der und die in von im den des mit das er dem als wurde für
ell του και το της η την από ο με τον να που των στην για στο σε είναι τη τα οι
est ja on oli ta aastal eesti ka ning et mis kui aasta ei või see oma tema
fin ja on oli hän vuonna myös joka se ei sen ovat sekä mutta että tai vuoden kanssa hänen s. jälkeen the
fra de la le et à en des du les est un une il dans par au
gle an a na agus ar i is le sa go é ag sé bhí de
hrv je u i se na su za od s a
hun a az és is egy volt hogy nem meg de magyar első el között
ita di e il la in a del che è della un per nel con da i una
lav un ir no ar gadā gada par bija arī
lit m ir buvo į nuo iš d su yra lietuvos a iki o kaip kad apie po km
mlt u ta' li
nld de van in het een en is op voor met door zijn werd hij uit
nor i og av som en er til på for ble med den det var han de å fra
pol w i na z do się roku od a jest przez po jako oraz o został był nie
por de a e o em do da que um no uma com para na é foi
ron de în a și din la o cu este un pe fost care al
rus в и на с года по году из был к не от что за для его как а он также до после
slk v a na sa je z roku s
slv je v in na so se ki za leta z
spa de la en el y a que del los se por un con una las su
swe i och är av en som den med på till att för
tur ve bir olarak bu ile için olan da de tarafından yılında sonra en daha ilk the
ukr у в на і з та до року за що
"""

STOP_WORDS: Mapping[str, frozenset[str]] = {
    line[:3]: frozenset(line[4:].split()) for line in _TABLE.strip().splitlines()
}
