"""What promotes harm on example after example, rather than much on a few."""

from ...components import Circuit
from .evidence import Evidence
from .picking import by_kind, picked, size, t_statistic


def consistency(evidence: Evidence, *, heads: int = 0, neurons: int = 0, penalty: float = 0.0) -> Circuit:
    """The largest t = (A − λ · U) / (s / √n) after protection, only A > 0; s: standard deviation (n − 1) of A over examples.

    >>> import torch
    >>> from ...attribution.scores import Attribution
    >>> each = Attribution(torch.tensor([[[0.9, 0.2]], [[0.0, 0.3]]]), torch.zeros(2, 1, 1))
    >>> consistency(Evidence(harmful=each, benign=each, protect_fraction=0), heads=1).heads
    ((0, 1),)

    Args:
        penalty: λ, at least 0; 0 leaves U to the protection alone.

    Raises:
        SelectionError: fewer than 2 examples, or too few components left (see `select`).
    """
    by = {
        kind: t_statistic(values, penalty * size(evidence.benign, kind)) for kind, values in by_kind(evidence.harmful).items()
    }
    return picked(evidence, by, heads=heads, neurons=neurons, protect=True)
