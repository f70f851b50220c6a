"""`Rules`: which rule of selection spares near twins most at the same loss of harmful writing."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ...figures.rules import rule_fronts
from ...statistics import Estimate
from ..claim import Claim, Found

if TYPE_CHECKING:
    import plotly.graph_objects as go

AIM = 2 / 3
"""Of the set difference's rise on near twins: what a better rule should stay below."""


class Rules(Claim):
    """Rules compared at the harmful rise that the paper's set difference has at the default size, on held-out categories.

    `found`: "yes" where the ratio of some rule (its rise on near twins / the set difference's, at equal harmful rise) has an
    interval that ends at ⅔ or below; "no" where those of all rules begin above ⅔; "cannot be measured" where the set
    difference is not shown to raise L on harmful responses or on near twins, or no rule reaches its harmful rise; else
    "undecided". Intervals of all rules hold together (95 %, Bonferroni). Heads and neurons decide; weights stand beside.

    `values`: harmful_rise and near_rise of the set difference (nats per token); by rule, ratio_NAME (near twins),
    far_ratio_NAME and auroc_change_NAME (recognition with this rule's circuit off − with the set difference's; negative:
    less); weights_ratio_NAME and weights_far_ratio_NAME. n counts the triples that are held out in some deal.
    """

    NAME: ClassVar[str] = "rules"
    ASKS: ClassVar[str] = (
        "At the same loss of harmful writing, does another rule of selection hurt near twins at most two thirds as much as the "
        "set difference?"
    )

    def figures(self) -> "dict[str, go.Figure]":
        """ "fronts" of heads and neurons, and "weights" where they were compared."""
        frame = self.tables["fronts"]
        titles = {
            "heads and neurons": "At the same loss of harmful writing, which rule spares near twins?",
            "weights": "And for single weights?",
        }
        names = {"heads and neurons": "fronts", "weights": "weights"}
        return {
            names[panel]: rule_fronts(frame[frame["panel"] == panel], aim=AIM, title=titles[panel])
            for panel in dict.fromkeys(frame["panel"])
        }


def decide(harmful: Estimate, near: Estimate, ratios: Mapping[str, Estimate]) -> tuple[Found, str]:
    """What is found, and the rule that it is about: of those that meet the aim, or of all, the one with the smallest ratio.

    Args:
        harmful: rise of the set difference on harmful responses, nats per token.
        near: likewise on near twins.
        ratios: by rule, at equal harmful rise.

    >>> rise, spared = Estimate(0.3, 0.2, 0.4, 40), Estimate(0.5, 0.4, 0.6, 40)
    >>> decide(rise, rise, {"contrast": spared, "ratio": Estimate(0.9, 0.7, 1.1, 40)})
    ('yes', 'contrast')
    """
    raised = all(own.low is not None and own.low > 0 for own in (harmful, near))
    known = {rule: own for rule, own in ratios.items() if own.low is not None and own.high is not None}
    if not raised or not known:
        return "cannot be measured", ""
    by_value = lambda rules: min(rules, key=lambda rule: _number(ratios[rule].value))
    meet = [rule for rule, own in known.items() if own.high is not None and own.high <= AIM]
    if meet:
        return "yes", by_value(meet)
    all_above = len(known) == len(ratios) and all(own.low is not None and own.low > AIM for own in known.values())
    return ("no" if all_above else "undecided"), by_value(known)


def told(found: Found, rule: str, values: Mapping[str, Estimate]) -> str:
    """In plain words, with the numbers."""
    harmful, near = values["harmful_rise"], values["near_rise"]
    if found == "cannot be measured":
        if harmful.low is None or harmful.low <= 0:
            return f"Rules cannot be compared: the set difference is not shown to raise L on harmful responses ({harmful})."
        if near.low is None or near.low <= 0:
            return (
                f"Rules cannot be compared: the set difference raises L on harmful responses ({harmful}) and is not shown to "
                f"on near twins ({near}), so that there is nothing to spare them."
            )
        reasons = dict.fromkeys(own.reason or "no interval" for name, own in values.items() if name.startswith("ratio_"))
        return f"Rules cannot be compared at the set difference's harmful rise: {'; '.join(reasons)}."
    at = f"at the set difference's harmful rise ({_number(harmful.value):+.3f} nats per token, held-out categories)"
    lowest = (
        f"'{rule.replace('_', ' ')}' hurts near twins {_ratio(values[f'ratio_{rule}'])} times as much as the set difference"
    )
    kept = f" {_recognised(values[f'auroc_change_{rule}'])}{_weights(values)}"
    if found == "yes":
        return f"A rule meets the aim of two thirds: {at}, {lowest}.{kept}"
    if found == "no":
        return f"No rule meets the aim of two thirds: {at}, even {lowest}.{kept}"
    return f"Undecided, and so no rule wins: {at}, {lowest}, and the aim is two thirds.{kept}"


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
    return f"Recognition kept: {told_change}."


def _weights(values: Mapping[str, Estimate]) -> str:
    prefix = "weights_ratio_"
    known = {name.removeprefix(prefix): own for name, own in values.items() if name.startswith(prefix) and not own.is_missing}
    if not known:
        return ""
    best = min(known, key=lambda rule: _number(known[rule].value))
    return f" Of rules for single weights, '{best}' has the lowest ratio: {_ratio(known[best])}."


def _number(value: float | None) -> float:
    return float("inf") if value is None else value
