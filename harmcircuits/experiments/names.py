"""Names of conditions and examples, as digests of what they are: parts of a run are kept under them."""

import hashlib
from collections.abc import Sequence

from .. import store
from ..ablation.partial import Condition, Partial, whole
from ..components import Circuit
from ..examples import Example


def name_of(condition: Condition) -> str:
    """A digest of what is off, and by how much.

    >>> name_of(Circuit(heads=[(0, 1)])) == name_of(Circuit(heads=[(0, 1)])) != name_of(Circuit(heads=[(1, 0)]))
    True
    """
    about, alpha = whole(condition), float(condition.alpha) if isinstance(condition, Partial) else 0.0
    if not len(about):
        return "intact"
    if isinstance(about, Circuit):
        return store.digest([about.heads, about.neurons, alpha])
    total = hashlib.sha256(str((alpha, sorted(about.shapes.items()))).encode())
    for name, indices in sorted(about.indices.items()):
        total.update(f"{name} ".encode() + indices.numpy().tobytes())
    return total.hexdigest()


def name_of_examples(examples: Sequence[Example]) -> str:
    """A digest of requests, what was answered to them, and where they belong."""
    return store.digest([vars(one) for one in examples])
