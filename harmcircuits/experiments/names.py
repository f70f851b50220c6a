"""Names of conditions and examples, as digests of what they are: parts of a run are kept under them."""

import hashlib
from collections.abc import Sequence

from .. import store
from ..ablation.ablate import Ablation
from ..circuits import Circuit
from ..data import Example


def name_of(condition: Ablation) -> str:
    """A digest of what is off.

    >>> name_of(Circuit(heads=[(0, 1)])) == name_of(Circuit(heads=[(0, 1)])) != name_of(Circuit(heads=[(1, 0)]))
    True
    """
    if not condition:
        return "intact"
    if isinstance(condition, Circuit):
        return store.digest([condition.heads, condition.neurons])
    total = hashlib.sha256(str(sorted(condition.shapes.items())).encode())
    for name, indices in sorted(condition.indices.items()):
        total.update(f"{name} ".encode() + indices.numpy().tobytes())
    return total.hexdigest()


def name_of_examples(examples: Sequence[Example]) -> str:
    """A digest of requests, what was answered to them, and where they belong."""
    return store.digest([vars(one) for one in examples])
