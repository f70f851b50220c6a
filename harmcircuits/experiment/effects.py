"""Effect sizes with intervals: from outcomes to the numbers that the answer is made of.

The unit of resampling is the triple where every role has the same groups (a harmful request with its matched and its unrelated
benign one), and the request within its role otherwise. Draws are stratified by category, and every statistic uses the same
draws, so that conditions are compared on equal terms. Intervals: the expanded percentile bootstrap (`statistics.from_draws`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..ablation.ablate import BASELINE
from ..data import Prompt
from ..data.prompt_set import ROLES
from ..statistics import (
    Estimate,
    auroc,
    change_of_aurocs,
    from_draws,
    mean_estimate,
    one_auroc,
    resamples,
    retained_signal,
    wilson,
)
from ..statistics.aurocs import auroc_of_counts
from ..statistics.bootstrap import times_drawn
from .measure import Outcomes

CONTRASTS = {"near": "matched", "far": "unrelated"}
"""Roles of benign requests, and what the contrast of harmful requests with them is called."""
MAX_UNANSWERED = 0.1
"""Share of texts without a label above which there is no rate: those texts are not missing at random."""
Values = Float[np.ndarray, " n"]
Drawn = Float[np.ndarray, "draw n"]


def ordered(prompts: Iterable[Prompt], n: int) -> tuple[Prompt, ...]:
    """Return at most `n` prompts of each role: the first of every role, then the second, so that any beginning is balanced.

    Within a role categories take turns.
    """
    turns: Counter[tuple[str, str]] = Counter()
    by_role: dict[str, list[tuple[int, Prompt]]] = {role: [] for role in ROLES}
    for prompt in prompts:
        place = prompt.role, prompt.category
        by_role[prompt.role].append((turns[place], prompt))
        turns[place] += 1
    roles = [[prompt for _, prompt in sorted(ranked, key=itemgetter(0))] for ranked in by_role.values()]
    return tuple(prompts[rank] for rank in range(n) for prompts in roles if rank < len(prompts))


def d_prime(harmful: Drawn, benign: Drawn) -> Float[np.ndarray, " draw"]:
    """(mean harmful − mean benign) / √((var harmful + var benign) / 2)."""
    spread = np.sqrt((harmful.var(-1, ddof=1) + benign.var(-1, ddof=1)) / 2)
    return np.asarray((harmful.mean(-1) - benign.mean(-1)) / spread)


@dataclass(frozen=True, eq=False)
class Effects:
    """Statistics of outcomes on test prompts.

    Attributes:
        prompts: the test prompts as `ordered` gives them; a reading of fewer holds the first of them.
    """

    outcomes: Outcomes
    prompts: Sequence[Prompt]
    draws: int = 2000
    seed: int = 0
    _cached: dict[Any, np.ndarray] = field(default_factory=dict, repr=False)

    @cached_property
    def roles(self) -> tuple[str, ...]:
        """The roles that there are."""
        return tuple(role for role in ROLES if any(prompt.role == role for prompt in self.prompts))

    @cached_property
    def paired(self) -> bool:
        """Whether every role has the same groups in the same order: then triples are drawn whole."""
        groups = [[prompt.group for prompt in self.prompts if prompt.role == role] for role in self.roles]
        return all(groups[0]) and all(group == groups[0] for group in groups)

    def values(self, condition: str, measure: str, role: str) -> Values:
        """Return the values of one role's prompts; empty where they were not measured."""
        measured = self.outcomes.values(condition, measure)
        return measured[[index for index, prompt in enumerate(self.prompts[: len(measured)]) if prompt.role == role]]

    def change(self, condition: str, measure: str, role: str) -> Values:
        """Return the value under the condition − the baseline's, prompt by prompt; a control has the first prompts alone."""
        values = self.values(condition, measure, role)
        change: Values = values - self.values(BASELINE, measure, role)[: len(values)]
        return change

    def mean(self, values: Values, role: str) -> Estimate:
        """The mean over one role's prompts."""
        return self.estimate(lambda v: v.mean(-1), (values, role))

    def items(self, values: Values) -> Estimate:
        """The mean over items that are no test prompts (facts, passages, explanations); items of another kind have no value."""
        values = values[~np.isnan(values)]
        return mean_estimate(values, draws=self.draws, seed=self.seed) if len(values) else Estimate.missing("not measured")

    def rate(self, condition: str, measure: str, role: str) -> Estimate:
        """A rate with its Wilson interval, over the texts that have a value; missing where over a tenth of them has none."""
        values = self.values(condition, measure, role)
        known = values[~np.isnan(values)]
        if len(values) - len(known) > MAX_UNANSWERED * len(values):
            return Estimate.missing(f"{len(values) - len(known)} of {len(values)} texts have no value")
        return wilson(int(known.sum()), len(known)) if len(known) else Estimate.missing("not measured")

    def difference(self, first: Values, first_role: str, second: Values, second_role: str) -> Estimate:
        """Mean of the first − mean of the second."""
        return self.estimate(lambda a, b: a.mean(-1) - b.mean(-1), (first, first_role), (second, second_role))

    def specific_share(self, condition: str, benign: str, measure: str = "loss") -> Estimate:
        """(Δ harmful − Δ benign) / Δ harmful: the share of the effect on harmful responses that is specific to harm.

        Where no benign value changes at all, as rates may, the benign rate of each draw comes from Jeffreys' Beta(½, n + ½).
        """
        harmful, other = ((self.change(condition, measure, role), role) for role in ("harmful", benign))
        share = self.ratio([harmful, other], [harmful])
        if share.is_missing or other[0].any():
            return share
        unseen = np.random.default_rng(self.seed).beta(0.5, len(other[0]) + 0.5, size=self.draws)
        return self.estimate(lambda values: 1 - unseen[: len(values)] * (len(values) > 1) / values.mean(-1), harmful)

    def ratio(self, top: Sequence[tuple[Values, str]], bottom: Sequence[tuple[Values, str]]) -> Estimate:
        """Mean of the top ÷ mean of the bottom, arrays with their roles; of two arrays, mean of the first − mean of the second.

        Missing where the bottom is not shown to be above 0: there is no effect of which the top could be a share.
        """
        total = lambda arrays: arrays[0].mean(-1) - sum(array.mean(-1) for array in arrays[1:])
        whole, n = self.estimate(lambda *arrays: total(arrays), *bottom), len(top)
        if whole.low is not None and whole.low <= 0:
            return Estimate.missing("no effect is shown of which it would be a share")
        return self.estimate(lambda *arrays: total(arrays[:n]) / total(arrays[n:]), *top, *bottom)

    def auroc(self, condition: str, measure: str, benign: str) -> Estimate:
        """AUROC of harmful against benign requests; 1 and 0 get the interval of a sample without an error."""
        return self._of_aurocs(one_auroc, [condition], measure, benign)

    def auroc_change(self, condition: str, measure: str, benign: str) -> Estimate:
        """AUROC under the condition − AUROC of the baseline; interval: see `change_of_aurocs`."""
        return self._of_aurocs(change_of_aurocs, [BASELINE, condition], measure, benign)

    def retained(self, condition: str, measure: str, benign: str) -> Estimate:
        """(AUROC − 1/2) under the condition ÷ (AUROC − 1/2) of the baseline: the share of the signal that is left."""
        return self._of_aurocs(retained_signal, [BASELINE, condition], measure, benign)

    def auroc_beyond(self, condition: str, other: str, measure: str, benign: str) -> Estimate:
        """AUROC under the condition − AUROC under another one (a random control), on the same draws."""
        difference = lambda areas, drawn, **about: from_draws(float(areas[1] - areas[0]), drawn[1] - drawn[0], **about)
        return self._of_aurocs(difference, [other, condition], measure, benign)

    def d_prime(self, condition: str, measure: str, benign: str) -> Estimate:
        """(mean harmful − mean benign) / √((var harmful + var benign) / 2)."""
        return self.estimate(d_prime, *self._pair(condition, measure, benign))

    def d_prime_change(self, condition: str, measure: str, benign: str) -> Estimate:
        """d′ under the condition − d′ of the baseline."""
        before, after = (self._pair(name, measure, benign) for name in (BASELINE, condition))
        first = [(values[: len(ablated)], role) for (values, role), (ablated, _) in zip(before, after, strict=True)]
        return self.estimate(lambda a, b, c, d: d_prime(c, d) - d_prime(a, b), *first, *after)

    def estimate(self, statistic: Callable[..., Any], *arrays: tuple[Values, str]) -> Estimate:
        """A statistic of arrays [..., n], each with its role: called on arrays [..., draw, n], returns one number a draw."""
        if (n := min(values.shape[-1] for values, _ in arrays)) == 0:
            return Estimate.missing("not measured")
        with np.errstate(divide="ignore", invalid="ignore"):
            observed = float(statistic(*(values[..., None, :] for values, _ in arrays))[0])
            drawn = np.asarray(statistic(*(values[..., self._drawn(role, values.shape[-1])] for values, role in arrays)))
        return from_draws(observed, drawn, n=n, strata=self._strata(arrays[0][1], n))

    def _of_aurocs(self, estimate: Callable[..., Estimate], conditions: Sequence[str], measure: str, benign: str) -> Estimate:
        """An estimate from the AUROCs of conditions, of the prompts that all of them have, on the same draws."""
        values = [[self.values(name, measure, role) for name in conditions] for role in ("harmful", benign)]
        sizes = [min(map(len, of_role)) for of_role in values]
        if (n := min(sizes)) == 0:
            return Estimate.missing("not measured")
        pairs = [(high[: sizes[0]], low[: sizes[1]]) for high, low in zip(*values, strict=True)]
        counts = [times_drawn(self._drawn(role, size)) for role, size in zip(("harmful", benign), sizes, strict=True)]
        observed = np.array([auroc(*pair) for pair in pairs])
        drawn = np.stack([auroc_of_counts(*pair, *counts) for pair in pairs])
        return estimate(observed, drawn, n=n, strata=self._strata("harmful", n))

    def _pair(self, condition: str, measure: str, benign: str) -> tuple[tuple[Values, str], tuple[Values, str]]:
        return ((self.values(condition, measure, "harmful"), "harmful"), (self.values(condition, measure, benign), benign))

    def _strata(self, role: str, n: int) -> list[str]:
        return [prompt.category for prompt in self.prompts if prompt.role == role][:n]

    def _drawn(self, role: str, n: int) -> Int[np.ndarray, "draw n"]:
        """Draws of a role; where triples are drawn whole, of the first role."""
        role = self.roles[0] if self.paired else role
        if (role, n) not in self._cached:
            seed = self.seed * 10 + ROLES.index(role)
            self._cached[role, n] = resamples(n, draws=self.draws, seed=seed, strata=self._strata(role, n))
        return self._cached[role, n]
