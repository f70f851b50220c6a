"""Which claims there are: what runs each, and the class that it comes back as."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..distinct import Distinct, distinct
from ..earlier import Claim, ClaimError
from ..generality import Generality, generality
from .sizes import QUICK


@dataclass(frozen=True)
class Entry:
    """One claim.

    Attributes:
        kind: its class, with its name and what it asks.
        run: its function: `run(model, material=…, settings=…, judge=…, reproduce=…, **options)`.
        quick: its options in a quick run.
        headline: how the names of the values begin of which the smallest stands for the claim in the table of all; tried in
            this order.
    """

    kind: type[Claim]
    run: Callable[..., Claim]
    quick: Mapping[str, Any]
    headline: tuple[str, ...] = ()


CLAIMS: dict[str, Entry] = {
    "generality": Entry(Generality, generality, QUICK["generality"], ("transfer_ratio", "diagonal")),
    "distinct": Entry(Distinct, distinct, QUICK["distinct"], ("harm_circuit_near_share",)),
}
"""By name, in the order in which they are asked and shown."""


def entries(names: Sequence[str] | None) -> dict[str, Entry]:
    """The claims of these names, each once; None: all.

    Raises:
        ClaimError: none, or one that there is not.
    """
    known = ", ".join(CLAIMS)
    asked = list(CLAIMS) if names is None else list(dict.fromkeys(names))
    if not asked:
        raise ClaimError(f"no claim is asked: name some of {known}, or give none for all of them")
    if unknown := [name for name in asked if name not in CLAIMS]:
        raise ClaimError(f"there is no claim {', '.join(map(repr, unknown))}: there are {known}")
    return {name: CLAIMS[name] for name in asked}
