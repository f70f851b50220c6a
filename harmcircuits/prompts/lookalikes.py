"""Cyrillic and Greek letters that a reader takes for Latin ones: a copy that is written with them is a copy.

After Unicode Technical Standard 39 (confusables), the letters in everyday use whose small or capital form is taken for a Latin
one. Two texts in Cyrillic, or two in Greek, are at least as alike as before, since a letter becomes the same one everywhere.
"""

_LOOKS = {
    "авгеіјкмнопрсѕтухһѵԁԛԝӏ": "abreijkmhonpcstyxhvdqwl",
    "αβγεζηικμνορστυχ": "abyeznikuvopotux",
    "ɑɡı": "agi",
}
"""Small letters and what they look like: Cyrillic, Greek, and Latin ones beyond ASCII."""
_LATIN = str.maketrans("".join(_LOOKS), "".join(_LOOKS.values()))


def as_latin(text: str) -> str:
    """A text in small letters, those that look like Latin ones put into Latin.

    >>> as_latin("b\\u0430k\\u0435"), as_latin("bake")
    ('bake', 'bake')
    """
    return text if text.isascii() else text.translate(_LATIN)
