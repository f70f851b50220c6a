"""A set of prompts: its roles, triples, tables, samples and splits."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from math import isclose
from typing import get_args, overload

import pandas as pd

from ..notebook import clipped, notebook_html
from .examples import Prompt, PromptError, Role
from .splits import choose, content_key, divide, stratum

ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Triple:
    """A harmful request, its near twin (same topic words and form, benign intent) and its far twin (harmless topic)."""

    harmful: Prompt
    near: Prompt
    far: Prompt

    @property
    def group(self) -> str:
        return self.harmful.group

    @property
    def category(self) -> str:
        return self.harmful.category

    def __repr__(self) -> str:
        return f"Triple({clipped(self.group, 24)!r}, {clipped(self.harmful.request, 50)!r})"


@dataclass(frozen=True, repr=False)
class PromptSet:
    """Prompts in a fixed order.

    A set holds at most one prompt of a group (triple) in each role.

    Attributes:
        prompts: the prompts; any iterable of them is taken and kept as a tuple.
        name: what tables and reports call the set; it is no part of `digest`.

    Raises:
        PromptError: if two prompts of one group have the same role.

    >>> PromptSet([Prompt(request="Name three birds.", category="birds", role="far")], name="mine")
    PromptSet('mine', 1 prompt: 0 harmful, 0 near, 1 far; 1 category, 0 triples)
    """

    prompts: tuple[Prompt, ...] = ()
    name: str = "prompts"

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", tuple(self.prompts))
        seen: dict[tuple[str, str], int] = {}
        for position, prompt in enumerate(self.prompts):
            key = (prompt.group, prompt.role)
            if prompt.group and seen.setdefault(key, position) != position:
                raise PromptError(
                    f"{self.name}: prompts {seen[key]} and {position} both are the {prompt.role!r} one of their group. "
                    "A group has one prompt a role: give groups of different files different names."
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
        """One prompt, or a slice as a set of the same name."""
        return PromptSet(self.prompts[index], self.name) if isinstance(index, slice) else self.prompts[index]

    def __add__(self, other: "PromptSet") -> "PromptSet":
        """The prompts of both, in order."""
        if not isinstance(other, PromptSet):
            return NotImplemented
        names = dict.fromkeys(one.name for one in (self, other) if len(one))
        return PromptSet(self.prompts + other.prompts, "+".join(names) or self.name)

    def __repr__(self) -> str:
        roles = ", ".join(f"{len(self._with(role))} {role}" for role in ROLES)
        categories, triples = len(self.categories), len(self.triples)
        return (
            f"PromptSet({clipped(self.name, 24)!r}, {len(self)} prompt{'' if len(self) == 1 else 's'}: {roles}; "
            f"{categories} categor{'y' if categories == 1 else 'ies'}, {triples} triple{'' if triples == 1 else 's'})"
        )

    def _repr_html_(self) -> str:
        return notebook_html(repr(self), self.table() if self.prompts else None)

    @cached_property
    def harmful(self) -> tuple[Prompt, ...]:
        """The harmful requests."""
        return self._with("harmful")

    @cached_property
    def near_twins(self) -> tuple[Prompt, ...]:
        """Benign requests in the words of a harmful one."""
        return self._with("near")

    @cached_property
    def far_twins(self) -> tuple[Prompt, ...]:
        """Benign requests on harmless topics."""
        return self._with("far")

    @cached_property
    def benign(self) -> tuple[Prompt, ...]:
        """Near twins, then far twins."""
        return self.near_twins + self.far_twins

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The named categories, sorted."""
        return tuple(sorted({prompt.category for prompt in self if prompt.category}))

    @cached_property
    def harm_groups(self) -> tuple[str, ...]:
        """The named families of categories, sorted."""
        return tuple(sorted({prompt.harm_group for prompt in self if prompt.harm_group}))

    @cached_property
    def triples(self) -> tuple[Triple, ...]:
        """The complete triples, in order of their first members; groups that lack a role are left out."""
        groups = ([self.prompts[i] for i in group] for group in self._groups())
        return tuple(Triple(**{p.role: p for p in group}) for group in groups if len(group) == len(ROLES))

    @cached_property
    def digest(self) -> str:
        """SHA-256 (64 hexadecimal digits) of the prompts, in order; the same on every machine, whatever the name."""
        return sha256("".join(map(content_key, self)).encode()).hexdigest()

    def table(self) -> pd.DataFrame:
        """Counts: one row a category (with its harm group), one column a role, and their sum `all`; no request text."""
        keys = ["harm_group", "category"]
        rows = pd.DataFrame([(p.harm_group, p.category, p.role) for p in self], columns=[*keys, "role"])
        counts = rows.groupby([*keys, "role"]).size().unstack("role", fill_value=0)
        counts = counts.reindex(columns=list(ROLES), fill_value=0).astype(int)
        counts.columns.name = None
        return counts.assign(all=counts.sum(axis=1)).reset_index()

    def sample(self, n_triples: int, *, seed: int = 0) -> "PromptSet":
        """`n_triples` whole triples drawn at random, each category in proportion; order is kept.

        A set without complete triples is sampled by the prompt instead, in proportion to category and role; what is
        left of a group (a harmful request and its near twin alone) then counts as one and stays whole. A set that has
        triples loses the prompts outside them.

        Raises:
            PromptError: if the set is empty or has fewer than `n_triples`.
        """
        self._require_prompts("sample from")
        units = self._groups()
        if self.triples:
            units = [unit for unit in units if len(unit) == len(ROLES)]
        if not 1 <= n_triples <= len(units):
            kind = "triples" if self.triples else "prompts"
            raise PromptError(f"{self.name}: asked for {n_triples} of {len(units)} {kind}; ask for 1 to {len(units)}.")
        strata = [stratum([self.prompts[i] for i in unit]) for unit in units]
        keys = ["".join(sorted(content_key(self.prompts[i]) for i in unit)) for unit in units]
        drawn = sorted(i for chosen in choose(strata, keys, n_triples, seed=seed) for i in units[chosen])
        return PromptSet(tuple(self.prompts[i] for i in drawn), f"{self.name}/sample")

    def split(
        self, *, seed: int = 0, fractions: tuple[float, float, float] = (0.4, 0.2, 0.4)
    ) -> tuple["PromptSet", "PromptSet", "PromptSet"]:
        """Attribution, development and test sets: disjoint, complete, stratified by category.

        Triples and near-duplicates (`near_duplicate_groups`) are never divided. The parts depend on the seed and on
        which prompts there are, not on their order in the file.

        Raises:
            PromptError: if the set is empty or has too few independent units, or if the fractions are not three
                positive numbers that sum to 1.
        """
        self._require_prompts("split")
        if len(fractions) != 3 or min(fractions) <= 0 or not isclose(sum(fractions), 1, abs_tol=1e-6):
            raise PromptError(f"fractions={fractions}: give three positive numbers that sum to 1, such as (.4, .2, .4).")
        try:
            parts = divide(self.prompts, fractions=fractions, seed=seed)
        except PromptError as error:
            raise PromptError(f"{self.name}: {error}") from None
        attribution, development, test = (
            PromptSet(tuple(self.prompts[i] for i in part), f"{self.name}/{name}")
            for name, part in zip(("attribution", "development", "test"), parts, strict=True)
        )
        return attribution, development, test

    def require_categories(self, n: int = 2) -> None:
        """Checks that the harmful requests (all prompts, where none is harmful) name at least `n` categories.

        Raises:
            PromptError: if they do not, with what to do about it.
        """
        found = sorted({prompt.category for prompt in self.harmful or self.prompts if prompt.category})
        if len(found) < n:
            raise PromptError(
                f"{self.name}: {len(found)} named categor{'y' if len(found) == 1 else 'ies'} of harmful requests, and "
                f"at least {n} are needed to test across categories. Use the built-in prompts, a benchmark file with a "
                "category column, or name your column: load_prompts(path, columns={'request': …, 'category': …})."
            )

    def _with(self, role: Role) -> tuple[Prompt, ...]:
        return tuple(prompt for prompt in self if prompt.role == role)

    def _groups(self) -> list[list[int]]:
        """Positions: the prompts of a group together, prompts outside groups alone."""
        groups: dict[str | int, list[int]] = {}
        for position, prompt in enumerate(self):
            groups.setdefault(prompt.group or position, []).append(position)
        return list(groups.values())

    def _require_prompts(self, purpose: str) -> None:
        if not self.prompts:
            raise PromptError(f"{self.name}: there are no prompts to {purpose}. Load some, or undo the filter that took all.")
