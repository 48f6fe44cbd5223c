"""Whether letters are spelled as words are, as in `kestra`, or were drawn at random."""

from itertools import pairwise

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
# How usual one letter is after another in 7,800 words of English technical text, a row for the
# first letter and a column for the second: log2 of (share of the pair x 676), plus 6, cut to 0..9.
_ROWS = """
07873473726989271989655463 63436012642733640563610042
80638218707733932658632040 74359331831534630674642340
85897764524879575998476852 62346610801633731645601040
62228356600546520763621022 71038000700343700535401040
76877770204879872788170506 40004000300000410020500000
41037230602403330263303000 83469432903834850366642180
86348320702453780264520040 84888694735536742389663252
56774563535789670977767443 82448435703733861867613160
00000000000201000010600000 94669563906676852787653160
63749447825644773489724150 83659428901654850887634273
67656450601778560777220201 70108000700230520100100200
62336305600305500552022000 30505302500220260126000220
33334321500445460355223001 30006000500000300012001012
"""
_USUALNESS = {
    first + second: int(usual)
    for first, row in zip(_LETTERS, _ROWS.split(), strict=True)
    for second, usual in zip(_LETTERS, row, strict=True)
}
# The mean below which a run of so many letters is no word: of 98 in 100 words it is higher, and of
# letters drawn at random in 1 of 10 (8 letters) to 1 of 200 (12). Shorter runs are not judged.
_LEAST_USUAL = ((11, 6.5), (9, 6.1), (7, 5.4))


def is_spelled_like_a_word(run: str) -> bool:
    """Return True when ASCII letters could be a word; up to six could be anything."""
    pairs = [first + second for first, second in pairwise(run.lower())]
    least = next((usual for length, usual in _LEAST_USUAL if len(run) >= length), 0.0)
    return sum(map(_USUALNESS.__getitem__, pairs)) >= least * len(pairs)
