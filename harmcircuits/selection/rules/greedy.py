"""The set difference in rounds, with scores taken anew while what was selected is off."""

from dataclasses import replace
from math import ceil

from ...components import Circuit
from ..protected import SelectionError
from .evidence import Evidence
from .picking import asked_for
from .set_difference import set_difference


def greedy(evidence: Evidence, *, heads: int = 0, neurons: int = 0, rounds: int = 4) -> Circuit:
    """`set_difference` in `rounds` rounds: each doubles the circuit, by scores with the circuit of the round before off.

    Round k of K ends with ⌈n / 2^(K − k)⌉ of each kind: a circuit of n / 2 in K − 1 rounds is one round of that of n in K.
    Re-scoring finds what stands in for what is off already (a double, whose score was 0). A component that is off has
    A = 0 and is not selected again.

    Args:
        rounds: at least 1, which is the set difference; each further one asks `evidence.rescore` once.

    Raises:
        SelectionError: no `rescore` in the evidence, fewer than 1 round, or too few components left in a round (see `select`).
    """
    asked_for(heads, neurons)
    if rounds < 1:
        raise SelectionError(f"greedy selection takes at least 1 round, not {rounds}")
    if evidence.rescore is None:
        raise SelectionError("greedy selection scores anew with a circuit off: give Evidence(…, rescore=) a function")
    found, now = Circuit(), evidence
    for left in reversed(range(rounds)):
        more = {
            "heads": ceil(heads / 2**left) - len(found.heads),
            "neurons": ceil(neurons / 2**left) - len(found.neurons),
        }
        if not any(more.values()):
            continue
        if len(found):
            harmful, benign = evidence.rescore(found)
            now = replace(evidence, harmful=harmful, benign=benign, near=None)
        found |= set_difference(now, **more)
    return found
