"""How much harm a component promotes for each unit of benign text that it carries."""

from jaxtyping import Float
from torch import Tensor

from ...components import Circuit
from .evidence import Evidence
from .picking import mean, picked, size


def ratio(evidence: Evidence, *, heads: int = 0, neurons: int = 0, floor: float = 1.0) -> Circuit:
    """The largest A / (U + ε), only A > 0, with ε = `floor` · the median U of the kind. Nothing is protected beside.

    Without ε a component that does nearly nothing to benign text would come first however little it does to harmful text;
    a large ε is the order of A alone.

    >>> import torch
    >>> from ...attribution.scores import Attribution
    >>> of = lambda *A: Attribution(torch.tensor([[[*A]]]), torch.zeros(1, 1, 1))
    >>> given = Evidence(harmful=of(0.4, 0.3, 0.01), benign=of(0.4, 0.1, 0.0))
    >>> [ratio(given, heads=1, floor=floor).heads[0] for floor in (0.0, 1.0, 100.0)]
    [(0, 2), (0, 1), (0, 0)]

    Args:
        floor: ε in units of the median U, at least 0.

    Raises:
        SelectionError: fewer components with A > 0 than asked for.
    """
    by = {
        kind: over_benign(mean(evidence.harmful, kind), size(evidence.benign, kind), floor=floor)
        for kind in ("heads", "neurons")
    }
    return picked(evidence, by, heads=heads, neurons=neurons, protect=False)


def over_benign(A: Float[Tensor, "*shape"], U: Float[Tensor, "*shape"], *, floor: float) -> Float[Tensor, "*shape"]:
    """A / (U + floor · median U)."""
    return A / (U + floor * U.flatten().nanmedian())
