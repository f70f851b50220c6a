"""Selection rules with one signature: `rule(evidence, heads=, neurons=, **its own option) -> Circuit`; one file a rule."""

from collections.abc import Callable
from typing import TypeAlias

from ...components import Circuit
from .consistency import consistency
from .contrast import contrast
from .difference import difference
from .evidence import Evidence
from .exact import exact
from .greedy import greedy
from .ratio import ratio
from .set_difference import set_difference

Rule: TypeAlias = Callable[..., Circuit]

RULES: dict[str, Rule] = {
    "set_difference": set_difference,
    "difference": difference,
    "ratio": ratio,
    "consistency": consistency,
    "contrast": contrast,
    "greedy": greedy,
    "exact": exact,
}
"""By name, the paper's first."""

__all__ = [
    "RULES",
    "Evidence",
    "Rule",
    "consistency",
    "contrast",
    "difference",
    "exact",
    "greedy",
    "ratio",
    "set_difference",
]
