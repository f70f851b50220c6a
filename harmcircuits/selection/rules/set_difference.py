"""The paper's rule: the top of harmful A, without the top of benign U."""

from ...components import Circuit
from ..protected import select
from .evidence import Evidence


def set_difference(evidence: Evidence, *, heads: int = 0, neurons: int = 0) -> Circuit:
    """`select`: the largest A, the top `protect_fraction` by benign U left out.

    Raises:
        SelectionError: see `select`.

    Source: arXiv 2604.09544.
    """
    fraction = evidence.protect_fraction
    return select(evidence.harmful, protect=evidence.benign, heads=heads, neurons=neurons, protect_fraction=fraction)
