"""How many tokens a model reads at once. Beyond that it is silent, or speaks nonsense: nothing is cut or read on unasked."""

from collections.abc import Sequence

from .protocol import HookedModel

_FIELDS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")
"""What transformers' configurations call it."""


def context_length(model: HookedModel) -> int | None:
    """Tokens that the model can read at once; None where its configuration does not say.

    Of a bridge the transformers configuration is asked: TransformerLens puts 2048 where that says nothing.
    """
    wrapped = getattr(model, "original_model", None)
    if wrapped is None:
        return getattr(model.cfg, "n_ctx", None)
    config = wrapped.config.get_text_config()
    named = (getattr(config, field, None) for field in _FIELDS)
    return next((int(length) for length in named if length), None)


def too_long(model: HookedModel, lengths: Sequence[int], *, what: str = "example") -> str:
    """Why the first text that is longer than the context cannot be read, with the cure; "" where all fit.

    Args:
        lengths: of each, in tokens.
        what: each is.
    """
    context = context_length(model)
    for at, length in enumerate(lengths):
        if context is not None and length > context:
            return (
                f"{what} {at} is {length} tokens long, and the model's context holds {context}: what comes later would be read "
                "wrongly, and nothing is cut off unasked. Shorten it, leave it out, or take a model with a longer context."
            )
    return ""
