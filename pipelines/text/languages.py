"""The one table of languages: ISO 639-3 everywhere in this project, fastText's own label only at the identifier.

Labels are the 176 of lid.176 (https://fasttext.cc/docs/en/language-identification.html). Where a label is an
ISO 639-1 code of a macrolanguage (zh, ar, no) the code is the macrolanguage's, as in Common Crawl's index.
fastText's `als` is Wikipedia's Alemannic (gsw, not Tosk Albanian), `bh` Bihari, `sh` Serbo-Croatian.
"""

import re
from difflib import get_close_matches

from storage.errors import InputError

UNDETERMINED = "und"  # ISO 639-3 for "not known": documents that left before their language was identified

_TABLE = """
af afr Afrikaans|als gsw Alemannic|am amh Amharic|an arg Aragonese|ar ara Arabic|arz arz Egyptian Arabic
as asm Assamese|ast ast Asturian|av ava Avaric|az aze Azerbaijani|azb azb South Azerbaijani|ba bak Bashkir
bar bar Bavarian|bcl bcl Central Bikol|be bel Belarusian|bg bul Bulgarian|bh bih Bihari|bn ben Bengali
bo bod Tibetan|bpy bpy Bishnupriya|br bre Breton|bs bos Bosnian|bxr bxr Russia Buriat|ca cat Catalan
cbk cbk Chavacano|ce che Chechen|ceb ceb Cebuano|ckb ckb Central Kurdish|co cos Corsican|cs ces Czech
cv chv Chuvash|cy cym Welsh|da dan Danish|de deu German|diq diq Zazaki|dsb dsb Lower Sorbian|dty dty Dotyali
dv div Dhivehi|el ell Greek|eml eml Emiliano-Romagnolo|en eng English|eo epo Esperanto|es spa Spanish
et est Estonian|eu eus Basque|fa fas Persian|fi fin Finnish|fr fra French|frr frr Northern Frisian
fy fry Western Frisian|ga gle Irish|gd gla Scottish Gaelic|gl glg Galician|gn grn Guarani|gom gom Goan Konkani
gu guj Gujarati|gv glv Manx|he heb Hebrew|hi hin Hindi|hif hif Fiji Hindi|hr hrv Croatian|hsb hsb Upper Sorbian
ht hat Haitian|hu hun Hungarian|hy hye Armenian|ia ina Interlingua|id ind Indonesian|ie ile Interlingue
ilo ilo Iloko|io ido Ido|is isl Icelandic|it ita Italian|ja jpn Japanese|jbo jbo Lojban|jv jav Javanese
ka kat Georgian|kk kaz Kazakh|km khm Khmer|kn kan Kannada|ko kor Korean|krc krc Karachay-Balkar|ku kur Kurdish
kv kom Komi|kw cor Cornish|ky kir Kirghiz|la lat Latin|lb ltz Luxembourgish|lez lez Lezghian|li lim Limburgish
lmo lmo Lombard|lo lao Lao|lrc lrc Northern Luri|lt lit Lithuanian|lv lav Latvian|mai mai Maithili
mg mlg Malagasy|mhr mhr Eastern Mari|min min Minangkabau|mk mkd Macedonian|ml mal Malayalam|mn mon Mongolian
mr mar Marathi|mrj mrj Western Mari|ms msa Malay|mt mlt Maltese|mwl mwl Mirandese|my mya Burmese|myv myv Erzya
mzn mzn Mazanderani|nah nah Nahuatl|nap nap Neapolitan|nds nds Low German|ne nep Nepali|new new Newari
nl nld Dutch|nn nno Norwegian Nynorsk|no nor Norwegian|oc oci Occitan|or ori Odia|os oss Ossetian|pa pan Punjabi
pam pam Kapampangan|pfl pfl Palatine German|pl pol Polish|pms pms Piedmontese|pnb pnb Western Punjabi
ps pus Pashto|pt por Portuguese|qu que Quechua|rm roh Romansh|ro ron Romanian|ru rus Russian|rue rue Rusyn
sa san Sanskrit|sah sah Yakut|sc srd Sardinian|scn scn Sicilian|sco sco Scots|sd snd Sindhi
sh hbs Serbo-Croatian|si sin Sinhala|sk slk Slovak|sl slv Slovenian|so som Somali|sq sqi Albanian|sr srp Serbian
su sun Sundanese|sv swe Swedish|sw swa Swahili|ta tam Tamil|te tel Telugu|tg tgk Tajik|th tha Thai|tk tuk Turkmen
tl tgl Tagalog|tr tur Turkish|tt tat Tatar|tyv tyv Tuvinian|ug uig Uyghur|uk ukr Ukrainian|ur urd Urdu
uz uzb Uzbek|vec vec Venetian|vep vep Veps|vi vie Vietnamese|vls vls West Flemish|vo vol Volapük|wa wln Walloon
war war Waray|wuu wuu Wu Chinese|xal xal Kalmyk|xmf xmf Mingrelian|yi yid Yiddish|yo yor Yoruba|yue yue Cantonese
zh zho Chinese
"""

# What else is asked for, each line behind the code that it is here: single languages of FineWeb2 and GlotLID of which
# lid.176 knows the macrolanguage (https://iso639-3.sil.org/code_tables/macrolanguage_mappings/data), and codes of
# ISO 639-2/B or retired ones (https://www.loc.gov/standards/iso639-2/php/code_list.php).
_OTHER_CODES = """
ara arb ary ars apc ajp acm acq aeb apd afb ayl arq|aze azj|est ekk vro|fas pes prs per|grn gug|kom kpv koi
kur kmr sdh|lav lvs ltg|mlg plt bhr|mon khk|msa zsm zlm may|nep npi|nor nob nb|ori ory spv|pus pbt pst|que quy quz qxa
sqi als aln aae aat alb|srd sro src|swa swh swc|uzb uzn uzs|yid ydd yih ji|zho cmn hak nan cdo hsn chi|gom knn kok
heb iw hbo|ind in|ron mo rum|hrv scr|srp scc|hye arm|eus baq|mya bur|ces cze|nld dut|fra fre|kat geo|deu ger|ell gre
isl ice|mkd mac|slk slo|bod tib|cym wel
"""

_ROWS = [entry.split(" ", 2) for line in _TABLE.split("\n") for entry in line.split("|") if entry]
CODE_OF_LABEL: dict[str, str] = {label: code for label, code, _ in _ROWS}
NAME_OF_CODE: dict[str, str] = {code: name for _, code, name in _ROWS}
_CODES_OF_OTHER: dict[str, list[str]] = {}
for _codes in (entry.split() for line in _OTHER_CODES.split("\n") for entry in line.split("|") if entry):
    for _other in _codes[1:]:
        _CODES_OF_OTHER.setdefault(_other, []).append(_codes[0])


def code_of_label(label: str) -> str:
    """Return the code of an identifier's label without its prefix: lid.176's own, or ISO 639-3 and ISO 15924 as GlotLID
    and OpenLID have them (hun_Latn). Single languages are their macrolanguage, as everywhere here; `und` where unknown.
    """
    if label in CODE_OF_LABEL:
        return CODE_OF_LABEL[label]
    code = label.partition("_")[0]
    if code in NAME_OF_CODE:
        return code
    known = _CODES_OF_OTHER.get(code)
    return known[0] if known else code if re.fullmatch("[a-z]{3}", code) else UNDETERMINED


def language_code(code: str) -> str:
    """Return `code` if it may be of a language: one of lid.176's, or ISO 639-3 of another, for another identifier.

    Raises InputError as known_language does for all else: names, two letters, and codes that have another name here.
    """
    is_foreign = re.fullmatch("[a-z]{3}", code) and code not in _CODES_OF_OTHER and code not in CODE_OF_LABEL
    return code if is_foreign else known_language(code)


def known_language(code: str) -> str:
    """Return `code` if it is an ISO 639-3 code that fastText's lid.176 can identify.

    Raises InputError with near matches (by code, two-letter code or English name) if it is not.
    """
    if code in NAME_OF_CODE:
        return code
    code_of_name = {name.lower(): iso for iso, name in NAME_OF_CODE.items()}
    asked = re.split("[-_]", code.strip().lower())[0]  # FineWeb2's hun_Latn, and pt-BR
    if asked in NAME_OF_CODE:
        near = [asked]
    elif asked in code_of_name:
        near = [code_of_name[asked]]
    elif known := [*_CODES_OF_OTHER.get(asked, []), *filter(None, [CODE_OF_LABEL.get(asked)])]:
        near = known
    else:
        names = get_close_matches(asked, code_of_name, n=3, cutoff=0.75)
        near = [code_of_name[name] for name in names] or get_close_matches(asked, NAME_OF_CODE, n=3)
    suggestion = " or ".join(f"'{iso}' ({NAME_OF_CODE[iso]})" for iso in near)
    raise InputError(
        f"language '{code}' is not one that fastText's lid.176 identifies: give its ISO 639-3 code"
        + (f", perhaps {suggestion}" if suggestion else " (see https://iso639-3.sil.org/code_tables/639/data)")
    )


# Languages that share their words: lid.176 divides its certainty among them, so that the certainty of a text in one of
# them is that of all together. The likeliest one is the text's language: of 400 Croatian pieces (below) 362 are taken
# for Croatian, 29 for Serbian and 9 for Serbo-Croatian, of 400 Serbian ones in Latin letters 354 for Serbian and 38 for
# Croatian. Bosnian and Montenegrin cannot be told from them at all.
GROUPS = (frozenset({"hrv", "srp", "bos", "hbs"}),)
GROUP_OF: dict[str, frozenset[str]] = {code: group for group in GROUPS for code in group}

# How sure lid.176 must be that a text is in a language. FineWeb2's thresholds are for another model (GlotLID).
#
# Calibrated on texts whose language is known, in pieces of 500 to 600 characters, at most 400 a language, by
# benchmarks/identification.py, 29 November 2026: GNOME's help (Debian's gnome-user-docs 43.0; paragraphs in English
# left out), treebanks of Universal Dependencies and novels of ELTeC. Share of pieces identified as their own language
# with at least the score, where .8 keeps less than .95; the other 26 of 34 languages have .958 or more there:
#
#                    pieces   any    .3     .4     .5     .6     .7     .8
#     dan  help         259  .996   .996   .996   .988   .954   .849   .591
#     dan  treebanks    191 1.000  1.000  1.000  1.000   .990   .974   .796
#     glg  help         400  .938   .938   .935   .902   .818   .725   .578   14 are Portuguese to lid.176, 11 Spanish
#     hrv  help         400  .905   .905   .905   .905   .905   .905   .892   with its group
#     ind  help         400  .998   .998   .995   .990   .965   .870   .490   Malay has a share
#     mar  help         215  .995   .995   .995   .995   .991   .977   .916
#     slk  treebanks    275 1.000  1.000  1.000   .996   .971   .873   .618   Czech has a share
#     slv  help         196 1.000   .980   .964   .852   .668   .332   .087   Croatian has a share
#     srp  help         400  .990   .990   .990   .970   .917   .790   .578   in Cyrillic; Macedonian has a share
#     srp  help         400  .885   .885   .885   .885   .882   .875   .825   in Latin, with its group
#     cat  help         400 1.000  1.000  1.000  1.000   .998   .990   .958
#
# So .8, Kyutai's (github.com/kyutai-labs/dactory), costs nothing where a language has no near relative. Norwegian has
# the value of Danish by symmetry, unmeasured, as Czech has that of Slovak (it keeps all at .8 as well). Galician,
# Croatian and Serbian lose a tenth to their neighbours at any threshold: for them another identifier is better
# (documents.language_model).
DEFAULT_THRESHOLD = 0.8
THRESHOLDS = {
    "bos": 0.7,
    "cat": 0.7,
    "ces": 0.5,
    "dan": 0.5,
    "glg": 0.4,
    "hbs": 0.7,
    "hrv": 0.7,
    "ind": 0.6,
    "mar": 0.7,
    "nor": 0.5,
    "slk": 0.5,
    "slv": 0.4,
    "srp": 0.4,
}


def threshold(language: str) -> float:
    return THRESHOLDS.get(language, DEFAULT_THRESHOLD)
