"""What promotes harm, minus what it carries of benign text: a graded protection."""

from ...components import Circuit
from .evidence import Evidence
from .picking import mean, picked, size


def difference(evidence: Evidence, *, heads: int = 0, neurons: int = 0, penalty: float = 1.0) -> Circuit:
    """The largest A − λ · U, only A > 0. Nothing is protected beside: U is what protects.

    A: mean over harmful examples; U: mean |A| over benign ones; nats per token. U ≥ |mean|, so that a
    large λ leaves little but what is silent on benign text: `claims.rules` chooses it.

    >>> import torch
    >>> from ...attribution.scores import Attribution
    >>> of = lambda *A: Attribution(torch.tensor([[[*A]]]), torch.zeros(1, 1, 1))
    >>> given = Evidence(harmful=of(0.4, 0.3, 0.2), benign=of(-0.3, 0.1, 0.1))
    >>> difference(given, heads=1).heads, difference(given, heads=1, penalty=0.0).heads
    (((0, 1),), ((0, 0),))

    Args:
        penalty: λ, at least 0.

    Raises:
        SelectionError: fewer components with A > 0 than asked for.
    """
    by = {kind: mean(evidence.harmful, kind) - penalty * size(evidence.benign, kind) for kind in ("heads", "neurons")}
    return picked(evidence, by, heads=heads, neurons=neurons, protect=False)
