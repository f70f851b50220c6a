"""What promotes a harmful response more than its own near twin, triple by triple."""

from ...components import Circuit
from ..protected import SelectionError
from .evidence import Evidence
from .picking import by_kind, picked, t_statistic


def contrast(evidence: Evidence, *, heads: int = 0, neurons: int = 0) -> Circuit:
    """The largest t over triples of A(harmful) − A(near twin) after protection, only A(harmful) > 0.

        t = mean D / (s_D / √n),   D = A on the harmful example − A on its near twin

    What serves any response to this topic cancels within a triple. A negative A on the twin counts as much as a positive one
    on the harmful response.

    >>> import torch
    >>> from ...attribution.scores import Attribution
    >>> of = lambda *rows: Attribution(torch.tensor([[[*row]] for row in rows]), torch.zeros(len(rows), 1, 1))
    >>> harmful, near = of((0.9, 0.2), (0.5, 0.3)), of((0.8, 0.0), (0.6, 0.0))
    >>> contrast(Evidence(harmful=harmful, benign=near, near=near, protect_fraction=0), heads=1).heads
    ((0, 1),)

    Raises:
        SelectionError: no near twins in the evidence, fewer than 2 triples, or too few components left (see `select`).
    """
    if evidence.near is None:
        raise SelectionError("contrast compares each harmful example with its near twin: give Evidence(…, near=) their scores")
    twins = by_kind(evidence.near)
    by = {kind: t_statistic(values - twins[kind]) for kind, values in by_kind(evidence.harmful).items()}
    return picked(evidence, by, heads=heads, neurons=neurons, protect=True)
