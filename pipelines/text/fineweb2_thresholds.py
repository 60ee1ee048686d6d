"""FineWeb2's thresholds by language: Penedo et al. 2025 (https://arxiv.org/abs/2506.20920).

Out of github.com/huggingface/fineweb-2, configs/<language>_<script>.yml, read in November 2026 (ekk, lvs and nob stand
for est, lav and nor). Those of lav, lit, mlt, nor, tur and ukr are of commit baedee44, the others of 05e6729: no commit
was at hand for all. They differ where both were (hun: top 2-grams .095 and .226, terminal lines .167 and .067, line
breaks .278 and .231), so those six are stricter on repetition than the others. FineWeb2's thresholds of the language
score are GlotLID's and are not used here: pipelines/text/languages.py holds ours for lid.176.
"""

from collections.abc import Mapping

_COLUMNS = (
    "duplicate_line_share_max",
    *(f"top_{n}_gram_share_max" for n in (2, 3, 4)),
    *(f"duplicate_{n}_gram_share_max" for n in (5, 6, 7, 8, 9, 10)),
    "terminal_line_share_min",
    "line_break_ratio_max",
    *("mean_word_length_min", "mean_word_length_max"),
    "alphabetic_word_share_min",
)
_TABLE = """
bul .317 .173 .157 .139 .170 .158 .144 .131 .120 .108 .154 .142 3 10 .756
cat .294 .216 .189 .168 .159 .149 .137 .126 .116 .105 .154 .118 2 11 .832
ces .311 .206 .183 .165 .168 .157 .145 .133 .121 .109 .060 .182 3 11 .781
dan .305 .367 .297 .232 .169 .158 .147 .134 .123 .112 .100 .182 3 11 .798
deu .263 .169 .153 .137 .141 .134 .126 .117 .108 .098 .000 .152 0 15 .774
ell .310 .194 .175 .156 .174 .163 .153 .142 .130 .119 .167 .116 3 11 .809
est .363 .345 .268 .215 .172 .161 .150 .139 .125 .113 .143 .213 3 13 .722
fin .293 .253 .202 .179 .153 .143 .133 .122 .112 .101 .114 .161 3 14 .755
fra .264 .161 .149 .134 .150 .141 .131 .121 .111 .100 .100 .185 2 11 .812
gle .395 .533 .421 .379 .203 .181 .181 .155 .145 .132 .000 .214 2 11 .816
hrv .312 .215 .190 .165 .173 .162 .150 .138 .126 .113 .099 .198 2 11 .751
hun .322 .226 .198 .172 .169 .159 .148 .136 .124 .112 .067 .231 3 15 .766
ita .246 .198 .156 .133 .144 .136 .127 .118 .109 .100 .025 .200 3 21 .807
lav .364 .147 .162 .178 .199 .177 .157 .142 .124 .110 .200 .222 3 13 .727
lit .353 .098 .126 .152 .213 .190 .173 .159 .147 .136 .273 .250 3 11 .688
mlt .458 .533 .607 .596 .267 .232 .207 .189 .171 .149 .200 .207 4 12 .823
nld .296 .213 .182 .158 .156 .146 .136 .126 .115 .104 .102 .154 3 17 .828
nor .312 .087 .107 .131 .163 .153 .134 .122 .115 .112 .200 .219 3 11 .783
pol .320 .222 .198 .176 .172 .160 .148 .136 .123 .111 .087 .158 3 12 .726
por .287 .371 .191 .163 .163 .153 .141 .130 .119 .108 .077 .186 3 13 .814
ron .289 .161 .146 .131 .160 .149 .138 .127 .117 .106 .081 .207 1 14 .779
rus .322 .184 .164 .146 .168 .156 .145 .133 .121 .109 .231 .139 3 11 .713
slk .319 .316 .218 .171 .176 .165 .152 .140 .127 .115 .000 .214 2 11 .752
slv .317 .262 .225 .189 .170 .158 .146 .135 .123 .111 .045 .273 2 12 .781
spa .252 .156 .140 .125 .145 .136 .127 .117 .108 .099 .182 .138 3 14 .825
swe .292 .242 .195 .174 .156 .147 .136 .125 .116 .105 .200 .135 3 12 .841
tur .303 .094 .114 .136 .168 .151 .135 .123 .116 .107 .200 .273 3 21 .773
ukr .333 .086 .108 .129 .176 .157 .139 .125 .113 .102 .308 .211 3 11 .694
"""

FINEWEB2: Mapping[str, Mapping[str, float]] = {
    line[:3]: dict(zip(_COLUMNS, map(float, line[4:].split()), strict=True)) for line in _TABLE.strip().splitlines()
}
