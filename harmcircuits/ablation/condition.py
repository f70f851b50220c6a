"""A condition: what is ablated, how, and where it comes from."""

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from .. import store
from ..circuits import Circuit, WeightMask
from ..models.protocol import HookedModel
from .changes import Method
from .hooks import Ablation, ablated

BASELINE = "baseline"


@dataclass(frozen=True, eq=False)
class Condition:
    """An ablation by name; without one, the baseline.

    Attributes:
        name: what tables call it.
        ablation: heads and neurons, single weights, or None.
        method: "zero" or "scale".
        alpha: the factor of "scale".
        labels: where it comes from, such as `{"component": "heads", "control": "random"}`.

    >>> Condition("heads", Circuit(heads=[(0, 1)])).size
    1
    """

    name: str
    ablation: Ablation = None
    method: Method = "zero"
    alpha: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Heads, neurons or weights that are ablated."""
        return 0 if self.ablation is None else len(self.ablation)

    @property
    def key(self) -> str:
        """A digest of what is ablated and how; names and labels are no part of it."""
        if self.size == 0:
            return BASELINE
        if isinstance(self.ablation, Circuit):
            return store.digest([self.ablation.heads, self.ablation.neurons, self.method, self.alpha])
        assert isinstance(self.ablation, WeightMask)
        total = hashlib.sha256(str((self.method, self.alpha, sorted(self.ablation.shapes.items()))).encode())
        for name, indices in sorted(self.ablation.indices.items()):
            total.update(f"{name} ".encode() + indices.numpy().tobytes())
        return total.hexdigest()

    def ablated(self, model: HookedModel) -> AbstractContextManager[HookedModel]:
        """Inside, the model without what this condition ablates; see `harmcircuits.ablated`."""
        return ablated(model, self.ablation, method=self.method, alpha=self.alpha)
