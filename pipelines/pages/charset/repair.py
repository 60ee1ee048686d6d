"""Repair of text that was decoded wrongly before it came to us (`schÃ¶n` for `schön`), by ftfy.

Speer, "ftfy" (2019), https://ftfy.readthedocs.io. Only faults are repaired: what an author chose stays, such as curly
quotes, ligatures and full-width letters, and `&lt;` in a text about HTML. FineWeb2 repairs with the same choices, but
for `&lt;` and for NFC, which gives a letter with its accent one form.
"""

import unicodedata

import ftfy

from pipelines.pages.characters import cap_marks

_FAULTS_ONLY = ftfy.TextFixerConfig(
    unescape_html=False,
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    fix_line_breaks=False,
    normalization=None,
    explain=False,
)


def repair(text: str) -> str:
    """Return `text` with wrongly decoded letters repaired. Plain ASCII has none, and is returned as it is."""
    if text.isascii():
        return text
    repaired = ftfy.fix_text(cap_marks(text), _FAULTS_ONLY)
    # Only now: wrongly decoded marks are marks once they are repaired, and NFC's time goes by the square of their runs.
    return unicodedata.normalize("NFC", cap_marks(repaired))
