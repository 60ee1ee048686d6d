"""How sure lid.176 must be that a text is in a language. FineWeb2's thresholds are for another model (GlotLID).

Calibrated on texts whose language is known, in pieces of 500 to 600 characters: Universal Dependencies treebanks
(German GSD and PUD, French GSD, Sequoia and PUD, Slovak SNK, English EWT and PUD, Danish DDT) and 145 novels of ELTeC
(English, French, Hungarian). Share of pieces identified as their own language with at least the score:

             pieces    .5     .6     .7     .8     .9
    deu         522  1.000  1.000  1.000  1.000  1.000
    fra       2,196  1.000  1.000  1.000   .999   .998
    hun         950  1.000  1.000  1.000  1.000  1.000
    eng       1,727   .999   .999   .998   .994   .976
    dan         191  1.000   .984   .969   .859   .335
    slk         275   .993   .967   .891   .618   .211

No piece was taken for another of these languages; one Slovak piece was taken for Czech, with .40. So .8, Kyutai's
(github.com/kyutai-labs/dactory), costs nothing where a language has no near relative, and a seventh of Danish and a
third of Slovak where it has one: there the model divides its certainty, and .5, more than all others together, is
enough. Czech and Norwegian are the other sides of those two and have the same value, by symmetry and unmeasured.
"""

DEFAULT_THRESHOLD = 0.8
THRESHOLDS = {"dan": 0.5, "nor": 0.5, "ces": 0.5, "slk": 0.5}


def threshold(language: str) -> float:
    return THRESHOLDS.get(language, DEFAULT_THRESHOLD)
