"""Text that the language identifier takes for Hungarian, by seed."""

import random

WORDS = (
    "a az egy és hogy nem is volt szép kis nagy ház kert alma körte fa erdő hegy völgy folyó ember gyerek asszony "
    "király leány fiú szegény gazdag messze közel ment jött látott hallott mondott kérdezett felelt akkor most soha"
)


def tale(number: int, words: int = 80) -> str:
    pick = random.Random(number)
    return " ".join(pick.choice(WORDS.split()) for _ in range(words)) + "."
