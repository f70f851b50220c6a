"""Decision rules as data: an ordered table of answers, each with the checks that must hold.

    DECISION = Decision(
        ("cannot be measured", ~above("recognition", 0.5)),
        ("dissociated", above("loss_increase") & at_least("retained", 0.8)),
    )
    DECISION(estimates)      # → Verdict("undecided", ["retained 0.92 [0.71, 1.1] (n=40) ≥ 0.8: not shown"])

The table of the main answer is `decision` of `experiment/dissociation.py`; each claim has its own method of that name.

A check reads one end of one interval, so that "not shown" is never mistaken for "shown not": `~above(x)` and `below(x)` differ.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any, NamedTuple

Evidence = Mapping[str, Any]
"""Estimates and plain facts (bools) by name."""
_COMPARE: dict[str, Callable[[float, float], bool]] = {">": gt, "≥": ge, "<": lt, "≤": le}


@dataclass(frozen=True)
class Check:
    """What must hold, and the lines that explain it; combine with `&`, `|`, `~`."""

    holds: Callable[[Evidence], bool]
    explain: Callable[[Evidence], list[str]]

    def __and__(self, other: "Check") -> "Check":
        return Check(lambda e: self.holds(e) and other.holds(e), lambda e: self.explain(e) + other.explain(e))

    def __or__(self, other: "Check") -> "Check":
        return Check(lambda e: self.holds(e) or other.holds(e), lambda e: self.explain(e) + other.explain(e))

    def __invert__(self) -> "Check":
        return Check(lambda e: not self.holds(e), self.explain)


def _check(name: str, holds: Callable[[Any], bool], shown: str, rule: str = "") -> Check:
    """A check of one estimate, and its line, such as "loss increase 0.4 [0.2, 0.6] (n=40) > 0: holds"."""
    line = lambda e: f"{name.replace('_', ' ')} {e[name]}{rule}: {shown if holds(e[name]) else 'not shown'}"
    return Check(lambda e: holds(e[name]), lambda e: [line(e)])


def _bound(end: str, operator: str) -> Callable[..., Check]:
    """Checks of one end of the interval ("low", "high") or of the value against a bound, 0 by default."""

    def check(name: str, bound: float = 0.0) -> Check:
        number = lambda estimate: getattr(estimate, end)
        holds = lambda estimate: number(estimate) is not None and _COMPARE[operator](number(estimate), bound)
        return _check(name, holds, "holds", f" {operator} {bound:g}")

    return check


above = _bound("low", ">")  # the whole interval lies above the bound
at_least = _bound("low", "≥")
below = _bound("high", "<")
at_most = _bound("high", "≤")
value_below = _bound("value", "<")  # whatever the interval
value_at_least = _bound("value", "≥")


def measured(name: str) -> Check:
    """There is a value."""
    return _check(name, lambda estimate: estimate.value is not None, "measured")


def of_measured(
    over: Callable[[Iterable[bool]], bool], check: Callable[[str, float], Check], names: Iterable[str], bound: float
) -> Check:
    """`over` (all or any) of the same check of those estimates that have a value; does not hold where none has one."""
    every = {name: check(name, bound) for name in names}
    known = lambda e: [each for name, each in every.items() if e[name].value is not None]
    holds = lambda e: bool(known(e)) and over(each.holds(e) for each in known(e))
    return Check(holds, lambda e: [line for each in known(e) or every.values() for line in each.explain(e)])


class Verdict(NamedTuple):
    """An answer and the checks that led to it."""

    answer: str
    reasons: list[str]


class Decision:
    """The first row that holds; else "undecided", with what the row `wanted` lacks."""

    def __init__(self, *rows: tuple[str, Check], wanted: str) -> None:
        self.rows, self.wanted = rows, wanted

    def __call__(self, evidence: Evidence) -> Verdict:
        for answer, check in self.rows:
            if check.holds(evidence):
                return Verdict(answer, check.explain(evidence))
        wanted = next(check for answer, check in self.rows if answer == self.wanted)
        return Verdict("undecided", [line for line in wanted.explain(evidence) if line.endswith("not shown")])


def over(verdicts: Mapping[str, Verdict]) -> Verdict:
    """Combine the answers of parts: "yes" if one says so, "no" or "cannot be measured" if all do, else "undecided".

    >>> over({"heads": Verdict("no", ["a"]), "neurons": Verdict("yes", ["b"])})
    Verdict(answer='yes', reasons=['neurons: b'])
    """
    answers = {verdict.answer for verdict in verdicts.values()}
    answer = "yes" if "yes" in answers else answers.pop() if len(answers) == 1 else "undecided"
    leads = [part for part, verdict in verdicts.items() if verdict.answer == answer] or list(verdicts)
    return Verdict(answer, [f"{part}: {reason}" for part in leads for reason in verdicts[part].reasons])
