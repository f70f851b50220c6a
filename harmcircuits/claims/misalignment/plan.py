"""Which models are fine-tuned, on what, and after what was pruned: known before anything is computed."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Literal, TypeAlias

from ...organisms.advice import DOMAINS
from ..claim import ClaimError
from .decision import LEAST

Lesson: TypeAlias = Literal["bad", "good"]
NOTHING, OWN, OTHER, HARMFUL = "nothing", "own domain", "another domain", "harmful requests"
RANDOM, MAGNITUDE, DAMAGE = "random", "magnitude", "random, equal damage"
RANDOM_HARMFUL, MAGNITUDE_HARMFUL = "random, like harmful requests", "magnitude, like harmful requests"
"""Controls as large as the mask of harmful requests in each matrix; `RANDOM` and `MAGNITUDE` are like the own domain's."""
ALL = "all"
"""Domains together, in tables."""
SELECTED = (OWN, OTHER, HARMFUL)
"""What is pruned because of what it writes."""
CONTROLS: dict[str, dict[str, str]] = {
    OWN: {RANDOM: RANDOM, MAGNITUDE: MAGNITUDE},
    HARMFUL: {RANDOM: RANDOM_HARMFUL, MAGNITUDE: MAGNITUDE_HARMFUL},
    OTHER: {},
}
"""What is pruned in their place, matched to them matrix by matrix. Another domain has none: nothing is claimed of it."""
BAD, GOOD, BENIGN = "bad advice", "good advice", "good advice after pruning"
ARMS = (BAD, GOOD, *SELECTED, RANDOM, MAGNITUDE, DAMAGE, BENIGN)
"""`BAD` and `GOOD`: nothing is pruned. `BENIGN`: good advice after pruning on the own domain, on harmful requests, and at
random. `RANDOM` and `MAGNITUDE`: bad advice after pruning the controls of the own domain's mask, and of that of harmful
requests, where these are among the arms. The others: bad advice after pruning what they name."""
AFTER: dict[str, tuple[tuple[Lesson, str], ...]] = {
    BAD: (("bad", NOTHING),),
    GOOD: (("good", NOTHING),),
    BENIGN: (("good", OWN), ("good", HARMFUL), ("good", RANDOM)),
    **{name: (("bad", name),) for name in (OWN, OTHER, HARMFUL, DAMAGE)},
}
QUICK: dict[str, Any] = {
    "domains": ("sport",),
    "arms": (BAD, GOOD, HARMFUL, RANDOM, MAGNITUDE, DAMAGE),
    "ask": 34,
    "answers": 2,
}
"""Options of a quick run: one domain; pruning on harmful requests against its controls; no matrix."""


@dataclass(frozen=True)
class Run:
    """One model that is fine-tuned.

    Attributes:
        domain: what it learns about.
        lesson: "bad" or "good" advice.
        pruned: what was set to zero before: "nothing", what a domain's bad answers rest on (its name), "harmful requests",
            a control of either ("random", …), or "random, equal damage".
        seed: of the fine-tuning, and of random weights.
    """

    domain: str
    lesson: Lesson
    pruned: str
    seed: int

    @property
    def kind(self) -> str:
        """What was pruned, as seen from the domain that is learnt.

        >>> Run("money", "bad", "money", 0).kind, Run("money", "bad", "sport", 0).kind
        ('own domain', 'another domain')
        """
        if self.pruned not in DOMAINS:
            return self.pruned
        return OWN if self.pruned == self.domain else OTHER

    @property
    def name(self) -> str:
        """For files: letters, digits, hyphens and underscores.

        >>> Run("money", "bad", "random, equal damage", 0).name
        'bad-money-random-equal-damage-0'
        """
        return re.sub(r"[^\w-]+", "-", f"{self.lesson} {self.domain} {self.pruned} {self.seed}")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be trained and asked.

    Attributes:
        domains: that are learnt.
        arms: some of `ARMS`, `BAD` and `GOOD` among them.
        train: questions of a domain that are learnt from; the others are asked.
        ask: of each domain that is not learnt, at most so many are asked; 0: all but those that its models would learn from.
        seeds: fine-tunings of each arm. With fewer than 3 there are no intervals, and nothing is decided.
        answers: questions of each domain, and open ones, that are answered freely; 0: none.

    Raises:
        ClaimError: a domain or an arm that there is not, or one that is missing; a number that makes no sense.
    """

    domains: tuple[str, ...] = DOMAINS
    arms: tuple[str, ...] = ARMS
    train: int = 200
    ask: int = 0
    seeds: int = 3
    answers: int = 4

    def __post_init__(self) -> None:
        for what, given, known in (("domain", self.domains, DOMAINS), ("arm", self.arms, ARMS)):
            if unknown := [name for name in given if name not in known]:
                raise ClaimError(f"there is no {what} {unknown[0]!r}: choose among {', '.join(map(repr, known))}")
            if not given or len(set(given)) < len(given):
                raise ClaimError(f"{what}s are named each once, and at least one: not {', '.join(given) or 'none'}")
        if missing := [name for name in (BAD, GOOD) if name not in self.arms]:
            raise ClaimError(f"the arm {missing[0]!r} is missing: without it nothing can be said of any other")
        if DAMAGE in self.arms and HARMFUL not in self.arms:
            raise ClaimError(f"the arm {DAMAGE!r} needs {HARMFUL!r}, whose damage it is grown to")
        for name, least in (("train", 1), ("ask", 0), ("seeds", 1), ("answers", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ClaimError(f"{name} must be a whole number of at least {least}, not {value!r}")

    def prunings(self, domain: str, arm: str) -> list[tuple[Lesson, str]]:
        """What a domain's models learn, and what is pruned before, in this arm."""
        if arm == OTHER:
            return [("bad", other) for other in DOMAINS if other != domain]
        if arm in (RANDOM, MAGNITUDE):
            matched = [source for source in (OWN, HARMFUL) if source in self.arms] or [OWN]
            return [("bad", CONTROLS[source][arm]) for source in matched]
        return [(lesson, domain if pruned == OWN else pruned) for lesson, pruned in AFTER[arm]]

    def runs(self, *, first_seed: int = 0) -> list[Run]:
        """Every model that is trained, seed by seed, so that a run that is stopped has whole seeds.

        >>> len(Plan(domains=("money",), arms=(BAD, GOOD, OTHER), seeds=3).runs())
        15
        """
        return [
            Run(domain, lesson, pruned, first_seed + at)
            for at, domain, arm in product(range(self.seeds), self.domains, self.arms)
            for lesson, pruned in self.prunings(domain, arm)
        ]

    def first(self, runs: Sequence[Run]) -> list[Run]:
        """Those without pruning, which tell whether there is anything to prevent, and come before all others; none where fewer
        than 3 fine-tunings could tell nothing."""
        return [] if self.seeds < LEAST else [run for run in runs if run.pruned == NOTHING]

    def again(self, runs: Sequence[Run]) -> list[Run]:
        """Those of `first` that are trained once more, after the others were found to be worth it: in them base values are put
        back on masks, and no model stays on the disk until there are some."""
        return [run for run in self.first(runs) if run.lesson == "bad"] if self.sources() else []

    def put_back(self) -> list[str]:
        """On what masks base values are put back in each model of `again`."""
        pruned, found = {run.pruned for run in self.runs()}, self.sources()
        own = [OWN] if {*self.domains} & {*found} else []
        return [*own, *(name for name in (HARMFUL, RANDOM, RANDOM_HARMFUL) if name in pruned)]

    def sources(self) -> list[str]:
        """What masks are selected on: domains, and harmful requests."""
        pruned = {run.pruned for run in self.runs()}
        needed = {HARMFUL} & pruned | {name for name in DOMAINS if name in pruned}
        if {RANDOM, MAGNITUDE, DAMAGE} & pruned:  # like a domain's mask, or beside it: on that too base values are put back
            needed |= {*self.domains}
        return [name for name in (*DOMAINS, HARMFUL) if name in needed]

    def as_dict(self) -> dict[str, Any]:
        """By name, for the file."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
