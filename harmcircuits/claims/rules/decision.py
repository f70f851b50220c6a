"""What was found, from the numbers alone: the rule is fixed before anything is measured."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...statistics import Estimate
from ..claim import Found

AIM = 2 / 3
"""Of the set difference's rise on near twins: what a better rule should stay below."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far the paths of the rules come.

    Attributes:
        deals: how many there are.
        reached: by rule, in how many of them some circuit raises L on harmful responses as much as the set difference of the
            default size does.
        largest: the largest circuits tried, in units of the default size.
    """

    deals: int
    reached: Mapping[str, int]
    largest: float

    @property
    def never(self) -> list[str]:
        """Rules that reach it in no deal."""
        return [rule for rule, deals in self.reached.items() if not deals]

    def always(self, rule: str) -> bool:
        """Whether a rule reaches it in all deals."""
        return self.reached[rule] == self.deals


def decide(harmful: Estimate, near: Estimate, ratios: Mapping[str, Estimate], reach: Reach) -> tuple[Found, str]:
    """What is found, and the rule that it is about, the one with the smallest ratio of those that it rests on.

    The first that holds:

    - "cannot be measured": the set difference is not shown to raise L on harmful responses, or not on near twins; or no rule
      has a ratio;
    - "yes": a rule that reaches the set difference's harmful rise in all deals has an interval that ends at ⅔ or below;
    - "no": the intervals of all rules that reach it in some deal begin above ⅔, and one of them reaches it in all. A rule that
      never reaches it says nothing about what it would do there, and does not stand in the way;
    - else "undecided".

    Args:
        harmful: rise of the set difference on harmful responses, nats per token.
        near: likewise on near twins.
        ratios: by rule, at equal harmful rise.
        reach: of the same rules.

    >>> rise, spared = Estimate(0.3, 0.2, 0.4, 40), Estimate(0.5, 0.4, 0.6, 40)
    >>> reach = Reach(deals=3, reached={"contrast": 3, "ratio": 3}, largest=4)
    >>> decide(rise, rise, {"contrast": spared, "ratio": Estimate(0.9, 0.7, 1.1, 40)}, reach)
    ('yes', 'contrast')
    """
    raised = all(own.low is not None and own.low > 0 for own in (harmful, near))
    known = {rule: own for rule, own in ratios.items() if not own.is_missing}
    if not raised or not known:
        return "cannot be measured", ""
    by_value = lambda rules: min(rules, key=lambda rule: _number(ratios[rule].value))
    meet = [rule for rule, own in known.items() if reach.always(rule) and own.high is not None and own.high <= AIM]
    if meet:
        return "yes", by_value(meet)
    rest_on = [rule for rule in ratios if reach.reached[rule]]
    lows = [ratios[rule].low for rule in rest_on]
    if any(map(reach.always, rest_on)) and all(low is not None and low > AIM for low in lows):
        return "no", by_value(rest_on)
    return "undecided", by_value(known)


def told(found: Found, rule: str, values: Mapping[str, Estimate], reach: Reach) -> str:
    """In plain words, with the numbers."""
    if found == "cannot be measured":
        return _unmeasured(values)
    rise = _number(values["harmful_rise"].value)
    at = f"at the set difference's harmful rise ({rise:+.3f} nats per token, held-out categories)"
    lowest = f"{_spoken(rule)} hurts near twins {_ratio(values[f'ratio_{rule}'])} times as much as the set difference"
    if not reach.always(rule):
        lowest += f" in the {reach.reached[rule]} of {reach.deals} deals in which it reaches that rise"
    kept = f" {_recognised(values[f'auroc_change_{rule}'])}{_never(reach)}{_weights(values)}"
    if found == "yes":
        return f"A rule meets the aim of two thirds: {at}, {lowest}.{kept}"
    if found == "no":
        return f"No rule meets the aim of two thirds: {at}, even {lowest}.{kept}"
    return f"Undecided, and so no rule wins: {at}, {lowest}, and the aim is two thirds.{kept}"


def _unmeasured(values: Mapping[str, Estimate]) -> str:
    harmful, near = values["harmful_rise"], values["near_rise"]
    if harmful.low is None or harmful.low <= 0:
        return f"Rules cannot be compared: the set difference is not shown to raise L on harmful responses ({harmful})."
    if near.low is None or near.low <= 0:
        return (
            f"Rules cannot be compared: the set difference raises L on harmful responses ({harmful}) and is not shown to "
            f"on near twins ({near}), so that there is nothing to spare them."
        )
    reasons = dict.fromkeys(own.reason or "no interval" for name, own in values.items() if name.startswith("ratio_"))
    return f"Rules cannot be compared at the set difference's harmful rise: {'; '.join(reasons)}."


def _never(reach: Reach) -> str:
    """The rules that nothing is said about, and why."""
    if not reach.never:
        return ""
    names = " and ".join(filter(None, [", ".join(map(_spoken, reach.never[:-1])), _spoken(reach.never[-1])]))
    verb = "reaches" if len(reach.never) == 1 else "reach"
    return f" Nothing is said of {names}, which {verb} that rise in no deal, up to {reach.largest:g} times the default size."


def _spoken(rule: str) -> str:
    return f"'{rule.replace('_', ' ')}'"


def _ratio(value: Estimate) -> str:
    between = "" if value.low is None or value.high is None else f" ({value.low:.2f} to {value.high:.2f})"
    return f"{_number(value.value):.2f}{between}"


def _recognised(change: Estimate) -> str:
    if change.is_missing:
        return f"Its effect on recognition is not known: {change.reason}."
    interval = "" if change.low is None or change.high is None else f" ({change.low:+.3f} to {change.high:+.3f})"
    told_change = f"AUROC {_number(change.value):+.3f}{interval} against the set difference"
    if change.high is not None and change.high < 0:
        return f"But less recognition is left: {told_change}."
    return f"Less recognition is not shown: {told_change}."


def _weights(values: Mapping[str, Estimate]) -> str:
    prefix = "weights_ratio_"
    known = {name.removeprefix(prefix): own for name, own in values.items() if name.startswith(prefix) and not own.is_missing}
    if not known:
        return ""
    best = min(known, key=lambda rule: _number(known[rule].value))
    return f" Of rules for single weights, '{best}' has the lowest ratio: {_ratio(known[best])}."


def _number(value: float | None) -> float:
    return float("inf") if value is None else value
