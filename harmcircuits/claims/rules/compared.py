"""Rules against the set difference, at its harmful rise: ratios, changes of recognition, and fronts as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from ...statistics import Estimate, auroc, bootstrap, ratio
from .front import FAR, HARMFUL, NEAR, Rises, at_equal_harm, at_largest, over_triples
from .plan import FIRST

ROLE_NAMES = {"harmful": HARMFUL, "near": NEAR, "far": FAR}
CIRCUITS = "heads and neurons"
LEVEL = 0.95
"""Of all intervals of one panel together."""


@dataclass(frozen=True, eq=False)
class Panel:
    """What the circuits of all rules did, on the triples that are held out in some deal.

    Attributes:
        name: "heads and neurons" or "weights".
        rises: by rule, the set difference among them.
        components: by rule, [deal, size, 3]: heads, neurons and weights of each circuit; nan where there is none.
        factors: the sizes, in units of the default size.
        options: of every interval: draws, seed, strata.
        beside: rules among them that do not decide.
    """

    name: str
    rises: Mapping[str, Rises]
    components: Mapping[str, Float[np.ndarray, "deal size 3"]]
    factors: Sequence[float]
    options: Mapping[str, Any]
    beside: Sequence[str] = ()

    @property
    def default(self) -> int:
        return list(self.factors).index(1.0)

    @property
    def challengers(self) -> list[str]:
        """The rules that decide."""
        return [rule for rule in self.rises if rule != FIRST and rule not in self.beside]

    @property
    def together(self) -> dict[str, Any]:
        """Options under which the intervals of all challengers hold together (Bonferroni)."""
        m = max(1, len(self.challengers))
        return {**self.options, "level": 1 - (1 - LEVEL) / m, "draws": max(self.options["draws"], 80 * m)}

    def reference(self, role: int) -> Estimate:
        """Rise of the set difference at the default size: mean over deals of the mean over held-out triples."""
        at = lambda rises: over_triples(rises)[..., self.default, role].mean(-1)
        return bootstrap(at, self.rises[FIRST], vectorised=True, **self.options)

    def key(self, name: str, rule: str) -> str:
        """Under which a value of a rule stands among the claim's."""
        before = "beside_" if rule in self.beside else "" if self.name == CIRCUITS else f"{self.name}_"
        return f"{before}{name}_{rule}"

    def reached(self, rule: str) -> Bool[np.ndarray, " deal"]:
        """Whether some circuit of a rule raises L on harmful responses as much as the set difference of the default size."""
        at = at_equal_harm(self.rises[rule], self.rises[FIRST], default=self.default, role=HARMFUL)
        return np.asarray(np.isfinite(at))

    def ratio(self, rule: str, role: int) -> Estimate:
        """Rise on `role` by `rule` at the set difference's harmful rise / that of the set difference itself; below 1: spared.

        Both are means over the deals in which the rule reaches that harmful rise. A draw in which it does not in one of them
        has no such ratio, and is not left out: the lower end counts it with the rise of the largest size (of a size that
        reached it, it would be larger), the upper end with a ratio of at least 1, not better than the set difference.

        Missing, with the reason, where it is reached in no deal, or the set difference is not shown to raise L on `role`.
        """
        deals = self.reached(rule)
        if not deals.any():
            return Estimate.missing(
                "no circuit of this rule raises L on harmful responses as much as the set difference does, in any deal: larger "
                "factors would tell"
            )
        own, first = self.rises[rule][:, deals], self.rises[FIRST][:, deals]
        shown = np.isfinite(first).any((1, 2, 3))
        strata = self.options.get("strata")
        kept = self.together | {
            "strata": None if strata is None else [one for one, here in zip(strata, shown, strict=True) if here]
        }
        below = lambda a, b: over_triples(b)[..., self.default, role].mean(-1)

        def least(a: Rises, b: Rises) -> Float[np.ndarray, "*draws"]:
            found = at_equal_harm(a, b, default=self.default, role=role)
            return np.asarray(np.where(np.isfinite(found), found, at_largest(over_triples(a)[..., role])).mean(-1))

        def most(a: Rises, b: Rises) -> Float[np.ndarray, "*draws"]:
            reached, at_least = np.isfinite(at_equal_harm(a, b, default=self.default, role=role)).all(-1), least(a, b)
            return np.where(reached, at_least, np.maximum(at_least, below(a, b)))

        low, high = (ratio(above, below, own[shown], first[shown], vectorised=True, **kept) for above in (least, most))
        return low if low.is_missing else Estimate(low.value, low.low, high.high, low.n, level=low.level)

    def fronts(self) -> pd.DataFrame:
        """One row a rule and size: panel, rule, factor, heads, neurons, weights (means over deals), default (whether this is
        the circuit that others are compared at), n, and harmful, near and far rise with the ends of their 95 % intervals."""
        rows = []
        for rule, rises in self.rises.items():
            for at, factor in enumerate(self.factors):
                values = rises[:, :, at]
                deals = np.isfinite(values).any((0, 2))
                if not deals.any():
                    continue
                sizes = np.nanmean(self.components[rule][:, at], 0)
                row = {"panel": self.name, "rule": rule, "factor": factor} | dict(
                    zip(("heads", "neurons", "weights"), map(float, sizes), strict=True)
                )
                row |= {"default": rule == FIRST and at == self.default, "n": int(np.isfinite(values).any((1, 2)).sum())}
                for name, role in ROLE_NAMES.items():
                    mean = lambda own, role=role: _mean(own[..., role])
                    own = bootstrap(mean, values[:, deals], vectorised=True, **self.options)
                    row |= {name: own.value, f"{name}_low": own.low, f"{name}_high": own.high}
                rows.append(row)
        frame = pd.DataFrame(rows)
        numbers = [name for name in frame if name not in ("panel", "rule", "default", "n")]
        return frame.astype(dict.fromkeys(numbers, float))


def _mean(values: Float[np.ndarray, "*draws triple deal"]) -> Float[np.ndarray, "*draws"]:
    """Over the triples held out in each deal, then over deals."""
    known = np.isfinite(values)
    return np.asarray((np.where(known, values, 0).sum(-2) / known.sum(-2)).mean(-1))


def recognition_change(
    first: Float[np.ndarray, "triple deal pair"],
    other: Float[np.ndarray, "triple deal pair"],
    held_out: Bool[np.ndarray, "triple deal"],
    options: Mapping[str, Any],
) -> Estimate:
    """AUROC with `other` off − AUROC with `first` off, harmful against near, mean over deals; negative: recognises less.

    Args:
        first: the primary reading of the harmful and the near response under the set difference of each deal.
        other: likewise under another rule.
        held_out: which triples count in each deal. A draw keeps their number where strata are categories.
    """
    if not first.shape[1]:
        return Estimate.missing("this rule has no circuit of the same harmful rise")
    read = np.isfinite(first).all(-1) & np.isfinite(other).all(-1)
    if not read[held_out].all():
        return Estimate.missing("recognition was not measured on all held-out triples")
    return bootstrap(_change, first, other, held_out, **options)


def _change(
    first: Float[np.ndarray, "triple deal pair"],
    other: Float[np.ndarray, "triple deal pair"],
    held_out: Bool[np.ndarray, "triple deal"],
) -> float:
    each = []
    for deal in range(first.shape[1]):
        here = held_out[:, deal]
        if not here.any():
            return np.nan
        before, after = (float(auroc(own[here, deal, 0], own[here, deal, 1])) for own in (first, other))
        each.append(after - before)
    return float(np.mean(each))
