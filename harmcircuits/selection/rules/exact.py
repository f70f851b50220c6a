"""Exact scores in place of first-order ones, of a shortlist that first-order scores make."""

from math import ceil

from ...components import Circuit
from ..protected import SelectionError
from .difference import difference
from .evidence import Evidence
from .picking import asked_for, mean, ranked


def exact(evidence: Evidence, *, heads: int = 0, neurons: int = 0, penalty: float = 1.0, shortlist: float = 4.0) -> Circuit:
    """The largest A* − λ · U* on a shortlist, only A* > 0: A* is the rise of L itself when one component is off.

    The shortlist is the set difference of `shortlist` times the size asked for, or all that are eligible. A* is the mean rise
    on harmful examples, U* the mean size of the change on benign ones; nats per token.

    Args:
        penalty: λ, at least 0.
        shortlist: how many times as many components are measured as are selected, at least 1.

    Raises:
        SelectionError: no `exact` in the evidence, a shortlist below 1, or too few components left, also on the shortlist.
    """
    if evidence.exact is None:
        raise SelectionError("exact selection measures a shortlist: give Evidence(…, exact=) a function of heads and neurons")
    if shortlist < 1:
        raise SelectionError(f"a shortlist holds at least as many as are selected: 1 or more, not {shortlist}")
    first_order = {kind: mean(evidence.harmful, kind) for kind in ("heads", "neurons")}
    counts = asked_for(heads, neurons)
    listed = {
        kind: ranked(evidence, first_order, kind, count, protect=True)[: ceil(shortlist * count)]
        for kind, count in counts.items()
    }
    harmful, benign = evidence.exact(listed.get("heads", []), listed.get("neurons", []))
    try:
        return difference(Evidence(harmful=harmful, benign=benign), heads=heads, neurons=neurons, penalty=penalty)
    except SelectionError as error:
        raise SelectionError(f"exact scores of the shortlist: {error} Or measure a longer shortlist.") from error
