"""Fronts: what a rule's circuits of growing size do to twins, against what they do to harmful writing."""

import numpy as np
from jaxtyping import Float

HARMFUL, NEAR, FAR = 0, 1, 2
Rises = Float[np.ndarray, "triple deal size role"]
"""L ablated − L intact, nats per token; nan where a triple is not held out in a deal, or a rule has no circuit of a size."""


def at_rise(
    target: Float[np.ndarray, "*draws"], harmful: Float[np.ndarray, "*draws size"], other: Float[np.ndarray, "*draws size"]
) -> Float[np.ndarray, "*draws"]:
    """`other` where `harmful` first reaches `target` on the way from (0, 0) over growing sizes, straight between two sizes.

    Sizes without a value (nan) are passed over. nan where the target is not reached; 0 for a target of at most 0.

    >>> harmful, near = np.array([1.0, 3.0, 2.0]), np.array([0.5, 1.5, 2.0])
    >>> [float(at_rise(np.array(target), harmful, near)) for target in (0.5, 2.0, 4.0)]
    [0.25, 1.0, nan]
    """
    h, o = _from_origin(harmful), _from_origin(other)
    reached = h >= np.asarray(target)[..., None]
    last = np.where(reached.any(-1), reached.argmax(-1), 0)
    first = np.maximum(last - 1, 0)
    pick = lambda values, at: np.take_along_axis(values, at[..., None], -1)[..., 0]
    step = pick(h, last) - pick(h, first)
    share = np.divide(target - pick(h, first), step, out=np.zeros_like(step), where=step > 0)
    found = pick(o, first) + share * (pick(o, last) - pick(o, first))
    return np.where(reached.any(-1), found, np.nan)


def _from_origin(values: Float[np.ndarray, "*draws size"]) -> Float[np.ndarray, "*draws grown"]:
    """With size 0 before the others, and the size before in place of one without a value."""
    full = np.concatenate([np.zeros_like(values[..., :1]), values], -1)
    for at in range(1, full.shape[-1]):
        full[..., at] = np.where(np.isnan(full[..., at]), full[..., at - 1], full[..., at])
    return full


def at_largest(other: Float[np.ndarray, "*draws size"]) -> Float[np.ndarray, "*draws"]:
    """`other` at the largest size that has a value; 0 where none has."""
    return np.asarray(_from_origin(other)[..., -1])


def over_triples(rises: Float[np.ndarray, "*draws triple deal size role"]) -> Float[np.ndarray, "*draws deal size role"]:
    """Mean over the triples that are held out in each deal."""
    known = np.isfinite(rises)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, rises, 0).sum(-4) / known.sum(-4))


def at_equal_harm(
    rises: Float[np.ndarray, "*draws triple deal size role"],
    first: Float[np.ndarray, "*draws triple deal size role"],
    *,
    default: int,
    role: int,
) -> Float[np.ndarray, "*draws deal"]:
    """A rule's rise on `role`, in each deal, at the harmful rise that the set difference has at the default size.

    Args:
        rises: of the rule.
        first: of the set difference.
        default: where the default size lies.
        role: NEAR or FAR.
    """
    own, target = over_triples(rises), over_triples(first)[..., default, HARMFUL]
    return at_rise(target, own[..., HARMFUL], own[..., role])
