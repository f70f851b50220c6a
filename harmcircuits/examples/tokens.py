"""Tokens as text."""

from collections.abc import Sequence
from itertools import pairwise

from ..models.protocol import HookedModel, vocabulary


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
