"""Tokens as text, with the words of a response hidden."""

from ..examples import Row, pieces
from ..models.protocol import HookedModel

HIDDEN = "·"


def shown_pieces(model: HookedModel, row: Row, *, words: bool) -> list[str]:
    """`pieces` of a row, those of its response hidden unless `words`."""
    texts = pieces(model, row.tokens)
    return texts if words else [HIDDEN if row.start <= at < row.stop else text for at, text in enumerate(texts)]
