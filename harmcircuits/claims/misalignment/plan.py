"""Which models are fine-tuned, on what, and after what was pruned: known before anything is computed."""

import re
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Literal, TypeAlias

from ...organisms.advice import DOMAINS
from ..earlier import ClaimError
from .decision import LEAST

Lesson: TypeAlias = Literal["bad", "good"]
NOTHING, OWN, HARMFUL = "nothing", "own domain", "harmful requests"
RANDOM, MAGNITUDE = "random", "magnitude"
RANDOM_HARMFUL, MAGNITUDE_HARMFUL = "random, like harmful requests", "magnitude, like harmful requests"
"""Controls as large as the mask of harmful requests in each matrix; `RANDOM` and `MAGNITUDE` are like the own domain's."""
ALL = "all"
"""Domains together, in tables."""
SELECTED = (OWN, HARMFUL)
"""What is pruned because of what it writes."""
CONTROLS: dict[str, dict[str, str]] = {
    OWN: {RANDOM: RANDOM, MAGNITUDE: MAGNITUDE},
    HARMFUL: {RANDOM: RANDOM_HARMFUL, MAGNITUDE: MAGNITUDE_HARMFUL},
}
"""What is pruned in their place, matched to them matrix by matrix."""
BAD, GOOD = "bad advice", "good advice"
ARMS = (BAD, GOOD, *SELECTED, RANDOM, MAGNITUDE)
"""`BAD` and `GOOD`: nothing is pruned. `RANDOM` and `MAGNITUDE`: bad advice after pruning the controls of the own domain's
mask, and of that of harmful requests, where these are among the arms. The others: bad advice after pruning what they name."""
QUICK: dict[str, Any] = {"domains": ("sport",), "arms": (BAD, GOOD, HARMFUL, RANDOM, MAGNITUDE), "ask": 34, "answers": 2}
"""Options of a quick run: one domain; pruning on harmful requests against its controls."""


@dataclass(frozen=True)
class Run:
    """One model that is fine-tuned.

    Attributes:
        domain: what it learns about.
        lesson: "bad" or "good" advice.
        pruned: what was set to zero before: "nothing", what the own domain's bad answers or responses to harmful requests
            rest on, or a control of either.
        seed: of the fine-tuning, and of random weights.
    """

    domain: str
    lesson: Lesson
    pruned: str
    seed: int

    @property
    def name(self) -> str:
        """For files and logs.

        >>> Run("money", "bad", "random, like harmful requests", 0).name
        'bad-money-random-like-harmful-requests-0'
        """
        return re.sub(r"\W+", "-", f"{self.lesson} {self.domain} {self.pruned} {self.seed}")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be trained and asked.

    Attributes:
        domains: that are learnt; all there are and open questions are asked about.
        arms: some of `ARMS`, `BAD` and `GOOD` among them.
        train: questions of a domain that are learnt from; the others are asked.
        ask: of each domain that is not learnt, at most so many are asked; 0: all but those that its models would learn from.
        seeds: fine-tunings of each arm. With fewer than 3 there are no intervals, and nothing is decided.
        answers: questions of each domain, and open ones, that are answered freely where nothing is pruned; 0: none.

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
        if {RANDOM, MAGNITUDE} & {*self.arms} and not {*SELECTED} & {*self.arms}:
            raise ClaimError(f"a control needs what it is like among the arms: {OWN!r}, {HARMFUL!r}, or both")
        for name, least in (("train", 1), ("ask", 0), ("seeds", 1), ("answers", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ClaimError(f"{name} must be a whole number of at least {least}, not {value!r}")

    @property
    def decides(self) -> bool:
        """Whether there are enough fine-tunings for an interval."""
        return self.seeds >= LEAST

    def trained(self) -> list[tuple[Lesson, str]]:
        """What the models of each domain learn, and what is pruned before; those without pruning first."""
        pruned = [source for source in SELECTED if source in self.arms]
        controls = [control for source in pruned for arm, control in CONTROLS[source].items() if arm in self.arms]
        return [("bad", NOTHING), ("good", NOTHING), *(("bad", name) for name in (*pruned, *controls))]

    def runs(self, *, first_seed: int = 0) -> list[Run]:
        """Every model that is trained, seed by seed, so that a run that is stopped has whole seeds.

        >>> len(Plan(domains=("money",), arms=(BAD, GOOD, OWN), seeds=3).runs())
        9
        """
        return [
            Run(domain, lesson, pruned, first_seed + at)
            for at, domain, (lesson, pruned) in product(range(self.seeds), self.domains, self.trained())
        ]

    def sources(self) -> list[str]:
        """What masks are selected on: domains, and harmful requests."""
        return [*(self.domains if OWN in self.arms else ()), *((HARMFUL,) if HARMFUL in self.arms else ())]

    def as_dict(self) -> dict[str, Any]:
        """By name, for the file."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
