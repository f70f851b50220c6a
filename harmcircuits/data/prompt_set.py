"""A set of prompts: its roles, triples, tables, samples and splits."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from math import isclose
from typing import NamedTuple, get_args, overload

import pandas as pd

from ..errors import HarmcircuitsError
from ..results import Result, clipped
from .examples import Prompt, Role, as_prompts
from .splits import choose, content_key, divide, positions, stratum

ROLES: tuple[Role, ...] = get_args(Role)


class Triple(NamedTuple):
    """A harmful request, its matched benign request (same topic words and form) and its unrelated one (harmless topic)."""

    harmful: Prompt
    near: Prompt
    far: Prompt


@dataclass(frozen=True, repr=False)
class PromptSet(Result):
    """Prompts in a fixed order.

    A set holds at most one prompt of a group (triple) in each role.

    Attributes:
        prompts: the prompts; any iterable of them, or of requests as strings, is taken and kept as a tuple.
        name: what tables and reports call the set; it is no part of `digest`.

    Raises:
        HarmcircuitsError: if two prompts of one group have the same role.

    >>> PromptSet([Prompt(request="Name three birds.", category="birds", role="far")], name="mine")
    PromptSet('mine', prompts: 1 (0 harmful, 0 near, 1 far), categories: 1, triples: 0)
    """

    prompts: tuple[Prompt, ...] = ()
    name: str = "prompts"

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", as_prompts(self.prompts))
        counts = Counter((prompt.group, prompt.role) for prompt in self.prompts if prompt.group)
        if twice := [role for (_, role), count in counts.items() if count > 1]:
            raise HarmcircuitsError(
                f"{self.name}: two prompts of one group both are the {twice[0]!r} one. Name groups of each file apart."
            )

    def __len__(self) -> int:
        return len(self.prompts)

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.prompts)

    @overload
    def __getitem__(self, index: int) -> Prompt: ...
    @overload
    def __getitem__(self, index: slice) -> "PromptSet": ...
    def __getitem__(self, index: int | slice) -> "Prompt | PromptSet":
        """Return one prompt, or a slice as a set of the same name."""
        return PromptSet(self.prompts[index], self.name) if isinstance(index, slice) else self.prompts[index]

    def __add__(self, other: "PromptSet") -> "PromptSet":
        """Return the prompts of both, in order."""
        if not isinstance(other, PromptSet):
            return NotImplemented
        names = dict.fromkeys(part.name for part in (self, other) if len(part))
        return PromptSet(self.prompts + other.prompts, "+".join(names) or self.name)

    def __repr__(self) -> str:
        roles = ", ".join(f"{len(self._with(role))} {role}" for role in ROLES)
        counts = f"categories: {len(self.categories)}, triples: {len(self.triples)}"
        return f"PromptSet({clipped(self.name, 24)!r}, prompts: {len(self)} ({roles}), {counts})"

    @property
    def harmful(self) -> tuple[Prompt, ...]:
        """The harmful requests."""
        return self._with("harmful")

    @property
    def near_twins(self) -> tuple[Prompt, ...]:
        """Matched benign requests: in the words of a harmful one."""
        return self._with("near")

    @property
    def far_twins(self) -> tuple[Prompt, ...]:
        """Unrelated benign requests: on harmless topics."""
        return self._with("far")

    @property
    def benign(self) -> tuple[Prompt, ...]:
        """Matched benign requests, then unrelated ones."""
        return self.near_twins + self.far_twins

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The named categories, sorted."""
        return tuple(sorted({prompt.category for prompt in self if prompt.category}))

    @cached_property
    def triples(self) -> tuple[Triple, ...]:
        """The complete triples, in order of their first members."""
        groups = ([self.prompts[i] for i in group] for group in self._groups())
        return tuple(Triple(**{p.role: p for p in group}) for group in groups if len(group) == len(ROLES))

    @cached_property
    def digest(self) -> str:
        """SHA-256 (64 hexadecimal digits) of the prompts, in order."""
        return sha256("".join(map(content_key, self)).encode()).hexdigest()

    def table(self) -> pd.DataFrame:
        """Count the prompts: one row a category (with its harm group), one column a role, and their sum `all`."""
        rows = pd.DataFrame([(p.harm_group, p.category, p.role) for p in self], columns=["harm_group", "category", "role"])
        counts = rows.groupby([*rows]).size().unstack("role", fill_value=0).reindex(columns=[*ROLES], fill_value=0)
        return counts.assign(all=counts.sum(axis=1)).rename_axis(columns=None).reset_index()

    def sample(self, n_triples: int, *, seed: int = 0) -> "PromptSet":
        """Draw `n_triples` whole triples at random, each category in proportion; order is kept.

        Prompts outside triples are dropped. A set without triples is sampled by prompt, in proportion to category and role;
        incomplete groups stay whole.

        Raises:
            HarmcircuitsError: the set has fewer than `n_triples`.
        """
        units = self._groups()
        if self.triples:
            units = [unit for unit in units if len(unit) == len(ROLES)]
        if not 1 <= n_triples <= len(units):
            kind = "triples" if self.triples else "prompts"
            raise HarmcircuitsError(f"{self.name}: asked for {n_triples} of {len(units)} {kind}; ask for 1 to {len(units)}.")
        strata = [stratum([self.prompts[i] for i in unit]) for unit in units]
        keys = ["".join(sorted(content_key(self.prompts[i]) for i in unit)) for unit in units]
        drawn = sorted(i for chosen in choose(strata, keys, n_triples, seed=seed) for i in units[chosen])
        return PromptSet(tuple(self.prompts[i] for i in drawn), f"{self.name}/sample")

    def split(
        self, *, seed: int = 0, fractions: tuple[float, float, float] = (0.4, 0.2, 0.4)
    ) -> tuple["PromptSet", "PromptSet", "PromptSet"]:
        """Split into attribution, development and test sets: disjoint, complete, stratified by category.

        Triples and near-duplicates (`near_duplicate_groups`) are never divided. The order of the prompts has no influence.

        Raises:
            HarmcircuitsError: too few independent units, or fractions that are not three positive numbers that sum to 1.
        """
        if len(fractions) != 3 or min(fractions) <= 0 or not isclose(sum(fractions), 1, abs_tol=1e-6):
            raise HarmcircuitsError(f"fractions={fractions}: give three positive numbers that sum to 1, such as (.4, .2, .4).")
        parts = divide(self.prompts, fractions=fractions, seed=seed)
        prompts = (tuple(self.prompts[i] for i in part) for part in parts)
        names = (f"{self.name}/{part}" for part in ("attribution", "development", "test"))
        attribution, development, test = map(PromptSet, prompts, names)
        return attribution, development, test

    def _with(self, role: Role) -> tuple[Prompt, ...]:
        return tuple(prompt for prompt in self if prompt.role == role)

    def _groups(self) -> list[list[int]]:
        """Positions of the prompts of each group, and of each prompt outside groups."""
        return list(positions([prompt.group or position for position, prompt in enumerate(self)]).values())
