"""Δb = b(fine-tuned) − b(intact model) of each arm, by fine-tuning and question; positive: bad advice has become likelier.

Of the rise from the arm's own start, b(pruned) stands in the place of b(intact model).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from ...organisms.advice import OPEN
from ...statistics import Estimate, two_level, two_level_mean
from .equal import Curve, EqualLoss, at
from .plan import NOTHING, Run
from .questions import Losses, log_odds

Part: TypeAlias = Literal["own domain", "other domains", "open questions", "all but its own"]
PARTS: tuple[Part, ...] = ("own domain", "other domains", "open questions", "all but its own")
INSIDE, OTHERS, OPENED, OUTSIDE = PARTS
"""Which questions are asked, as seen from the domain that was learnt; the last: other domains and open questions together."""
Where: TypeAlias = Literal["last stage", "equal loss"]
LAST: Where = "last stage"
EQUAL: Where = "equal loss"
Since: TypeAlias = Literal["intact model", "own start"]
INTACT: Since = "intact model"
START: Since = "own start"
"""After pruning, before the fine-tuning."""
Grid = Float[np.ndarray, "seed item"]


@dataclass(frozen=True)
class Arm:
    """Models that are alike but for domain and seed: what they learn, after what was pruned, read where, and from where on."""

    lesson: str = "bad"
    pruned: str = NOTHING
    where: Where = LAST
    since: Since = INTACT


@dataclass(frozen=True, eq=False)
class Measured:
    """All runs as numbers.

    Attributes:
        curves: by run.
        base: L of the intact model, [item, answer].
        domains: of each question; "open" for an open one.
        equal: where runs that learn bad advice are as far as each other.
        options: of every interval.
    """

    curves: Mapping[Run, Curve]
    base: Losses
    domains: Sequence[str]
    equal: EqualLoss
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def learnt(self) -> list[str]:
        """The domains that were learnt."""
        return list(dict.fromkeys(run.domain for run in self.curves))

    def asked(self, domain: str, part: Part) -> Bool[np.ndarray, " item"]:
        """Which questions a part is, for a model that learnt `domain`."""
        own = np.array([one == domain for one in self.domains])
        opened = np.array([one == OPEN for one in self.domains])
        return np.asarray({INSIDE: own, OTHERS: ~own & ~opened, OPENED: opened, OUTSIDE: ~own}[part])

    def runs(self, domain: str, arm: Arm) -> list[Run]:
        """Of one domain, seed by seed."""
        return [run for run in self.curves if (run.domain, run.lesson, run.pruned) == (domain, arm.lesson, arm.pruned)]

    def change(self, run: Run, where: Where = LAST, since: Since = INTACT) -> Float[np.ndarray, " item"]:
        """Δb of every question; or its rise from the run's own start."""
        curve = self.curves[run]
        now = curve[-1] if where == LAST else at(curve, self.equal.places[run])
        return np.asarray(log_odds(now) - log_odds(self.base if since == INTACT else curve[0]))

    def comparable(self, *arms: Arm, among: Sequence[str]) -> list[str]:
        """The domains in which all of these arms were run, and got as far where they are read at equal loss."""
        return [
            domain
            for domain in among
            if all(self.runs(domain, arm) for arm in arms)
            and all(self.equal.reached(domain, arm.pruned) for arm in arms if arm.where == EQUAL)
        ]

    def grid(self, arm: Arm, part: Part, among: Sequence[str]) -> Grid:
        """Δb of an arm, [seed, item]; nan where no model is asked.

        A question that several models of one seed are asked (of other domains learnt) has the mean over them.
        """
        runs = [run for domain in among for run in self.runs(domain, arm)]
        seeds = sorted({run.seed for run in runs})
        total, count = np.zeros((len(seeds), len(self.domains))), np.zeros((len(seeds), len(self.domains)))
        for run in runs:
            asked, row = self.asked(run.domain, part), seeds.index(run.seed)
            total[row, asked] += self.change(run, arm.where, arm.since)[asked]
            count[row, asked] += 1
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

    def effect(self, arm: Arm, part: Part, *, among: Sequence[str]) -> Estimate:
        """The mean Δb of an arm, over fine-tunings and questions; nats per token."""
        domains = self.comparable(arm, among=among)
        return self._mean(self.grid(arm, part, domains)) if domains else self._missing(arm, among=among)

    def contrast(self, more: Arm, less: Arm, part: Part, *, among: Sequence[str]) -> Estimate:
        """The mean of Δb of `more` − Δb of `less`, on the same questions and seeds, in domains in which both can be read."""
        domains = self.comparable(more, less, among=among)
        if not domains:
            return self._missing(less, more, among=among)
        return self._mean(self.grid(more, part, domains) - self.grid(less, part, domains))

    def beyond_share(self, more: Arm, less: Arm, part: Part, *, share: float, among: Sequence[str]) -> Estimate:
        """The contrast on a part − `share` · the contrast in the domain itself, both drawn together."""
        domains = self.comparable(more, less, among=among)
        if not domains:
            return self._missing(less, more, among=among)
        both = np.stack([self.grid(more, own, domains) - self.grid(less, own, domains) for own in (part, INSIDE)], axis=-1)
        kept = np.isfinite(both).any(-1).all(0)
        difference = lambda x: np.nanmean(x[..., 0], (1, 2)) - share * np.nanmean(x[..., 1], (1, 2))
        return two_level(difference, both[:, kept], strata=self._strata(kept), **self.options)

    def _mean(self, values: Grid) -> Estimate:
        kept = np.isfinite(values).all(0)
        return two_level_mean(values[:, kept], strata=self._strata(kept), **self.options)

    def _strata(self, kept: Bool[np.ndarray, " item"]) -> list[str]:
        return [domain for domain, own in zip(self.domains, kept, strict=True) if own]

    def _missing(self, *arms: Arm, among: Sequence[str]) -> Estimate:
        reasons = [
            f"no model learnt {arm.lesson} advice after pruning {arm.pruned}"
            if not any(self.runs(domain, arm) for domain in self.learnt)
            else f"after pruning {arm.pruned}, not every model gets to the loss at which arms are compared"
            for arm in arms
            if not self.comparable(arm, among=among)
        ]
        return Estimate.missing("; ".join(reasons) or "no domain in which both can be read")
