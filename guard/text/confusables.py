"""Letters of other alphabets that look like Latin ones, and that Unicode's compatibility forms (NFKC) do not fold.

Full-width, mathematical, circled, superscript and ligature forms are left to NFKC. The table is the project's own, drawn up by
the letters' shapes; each code point stands under the Latin letter that it passes for.
"""

from __future__ import annotations

_ALIKE = {
    "a": "а\u03b1\u0251\u1d00",
    "b": "Ь\u0184\u0299ƅ",
    "c": "с\u03f2\u1d04ϲᴄ",
    "d": "ԁ\u0501\u1d05ꓒ",
    "e": "её\u03b5\u1d07є\u0511ҽ",
    "f": "ƒ\u0192ꜰ",
    "g": "ɡց\u0262",
    "h": "һ\u04bbհ\u029c",
    "i": "іїι\u0131\u026a\u0269",
    "j": "јϳյ\u1d0a",
    "k": "кκ\u1d0b",
    "l": "ӏ\u029fǀ",
    "m": "м\u1d0d",
    "n": "ηո\u0274п",
    "o": "оοօ\u1d0fσ",
    "p": "рρ\u1d18",
    "q": "ԛ\u0566",
    "r": "г\u0280ꭇ",
    "s": "ѕ\ua731",
    "t": "т\u03c4\u1d1b",
    "u": "υս\u028b\u1d1c",
    "v": "ѵν\u1d20",
    "w": "ԝωա\u1d21ѡ",
    "x": "хχ",
    "y": "уүγ\u028f",
    "z": "\u1d22ʐ",
    "A": "АΑᎪ",
    "B": "ВΒᏴ",
    "C": "СϹᏟ",
    "D": "Ꭰꓓ",
    "E": "ЕΕЁᎬ",
    "F": "Ϝꓝ",
    "G": "ԌᏀ",
    "H": "НΗᎻ",
    "I": "ІΙӀЇ",
    "J": "ЈᎫ",
    "K": "КΚᏦ",
    "L": "Ꮮꓡ",
    "M": "МΜᎷ",
    "N": "Νꓠ",
    "O": "ОΟՕ",
    "P": "РΡᏢ",
    "Q": "Ԛ",
    "R": "Ꭱꓣ",
    "S": "ЅՏᏚ",
    "T": "ТΤᎢ",
    "U": "ՍꓴԱ",
    "V": "ѴᏙ",
    "W": "ԜᎳ",
    "X": "ХΧ",
    "Y": "УΥҮ",
    "Z": "ΖᏃ",
}
_TURKISH = "ğşİçöüĞŞÇÖÜ"
"""Letters in whose company a dotless i is meant."""

TABLE: dict[int, str] = {ord(letter): latin for latin, letters in _ALIKE.items() for letter in letters}
# Letters and signs of squared and bracketed forms that NFKC leaves alone or spreads over three code points.
SIGNS: dict[int, str] = {
    base + index: letter
    for base in (0x249C, 0x1F150, 0x1F170)
    for index, letter in enumerate("abcdefghijklmnopqrstuvwxyz" if base == 0x249C else "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
}
ANY = "".join(map(chr, TABLE))
"""All letters of the table, for a character class."""


def is_turkish(text: str) -> bool:
    """Whether a text has letters that say its dotless i is one."""
    return any(letter in text for letter in _TURKISH)
