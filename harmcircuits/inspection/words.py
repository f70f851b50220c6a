"""Tokens as text, with the words of a response hidden."""

from collections.abc import Sequence
from itertools import pairwise

from ..examples import Row
from ..models.protocol import HookedModel, vocabulary

HIDDEN = "·"


def pieces(model: HookedModel, ids: Sequence[int]) -> list[str]:
    """The text of each token. Each is decoded after the one before it: some tokenizers drop a blank at a text's beginning."""
    decode = vocabulary(model).decode
    alone = [str(decode([token])) for token in ids]
    both = [str(decode(list(pair))) for pair in pairwise(ids)]
    after = [
        whole.removeprefix(first) if whole.startswith(first) else own
        for whole, first, own in zip(both, alone, alone[1:], strict=False)
    ]
    return [*alone[:1], *after]


def shown_pieces(model: HookedModel, row: Row, *, words: bool) -> list[str]:
    """`pieces` of a row, those of its response hidden unless `words`."""
    texts = pieces(model, row.tokens)
    return texts if words else [HIDDEN if row.start <= at < row.stop else text for at, text in enumerate(texts)]
