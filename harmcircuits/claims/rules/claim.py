"""`Rules`: which rule of selection spares near twins most at the same loss of harmful writing."""

from typing import TYPE_CHECKING, ClassVar

from ...figures.rules import rule_fronts
from ...report.claims import ON_TRIPLES
from ..claim import Claim
from .compared import CIRCUITS
from .decision import AIM
from .plan import AS_EXACT, FACTORS

if TYPE_CHECKING:
    import plotly.graph_objects as go


class Rules(Claim):
    """Rules compared at the harmful rise that the paper's set difference has at the default size, on held-out categories.

    `found`: "yes" where the ratio of some rule (its rise on near twins / the set difference's, at equal harmful rise) has an
    interval that ends at ⅔ or below, and it reaches that rise in all deals; "no" where those of all rules that reach it in some
    deal begin above ⅔, and one of them reaches it in all; "cannot be measured" where the set difference is not shown to raise L
    on harmful responses or on near twins, or no rule reaches its harmful rise; else "undecided" (`decide` has the rule in
    full). Intervals of all rules hold together (95 %, Bonferroni). Heads and neurons decide; weights stand beside, and so does
    `exact` from first-order scores.

    `values`: harmful_rise and near_rise of the set difference (nats per token); by rule, ratio_NAME (near twins),
    far_ratio_NAME and auroc_change_NAME (recognition with this rule's circuit off − with the set difference's; negative:
    less); weights_ratio_NAME and weights_far_ratio_NAME; with `exact`, beside_ratio_difference_as_exact and
    beside_far_ratio_difference_as_exact. n counts the triples that are held out in some deal.
    """

    NAME: ClassVar[str] = "rules"
    ASKS: ClassVar[str] = (
        "At the same loss of harmful writing, does another rule of selection hurt near twins at most two thirds as much as the "
        "set difference?"
    )
    METHOD: ClassVar[tuple[str, ...]] = (
        ON_TRIPLES,
        "Categories are dealt at random into two halves, several times: rules choose from the training triples of one "
        "half, and are judged on the test triples of the other. Each makes circuits of "
        f"{', '.join(f'{one:g}' for one in FACTORS)} times the default size. Where its rise on held-out harmful responses "
        "first is that of the set difference at the default size, between two sizes by a straight line, its rise on near "
        "twins is divided by the set difference's: the ratio, of means over deals. Intervals are bootstraps over triples, "
        "within categories and with the same draws for all rules, and hold together (Bonferroni).",
        "Yes: of a rule that reaches that harmful rise in all deals, the interval of the ratio ends at ⅔ or below. No: "
        "the intervals of all rules that reach it in some deal begin above ⅔, and one of them reaches it in all. Heads "
        "and neurons decide, single weights stand beside. The rule was fixed before anything was measured.",
    )

    def figures(self) -> "dict[str, go.Figure]":
        """ "fronts" of heads and neurons that decide, and "weights" where they were compared."""
        frame = self.tables["fronts"]
        frame = frame[frame["rule"] != AS_EXACT]
        titles = {
            CIRCUITS: "At the same loss of harmful writing, which rule spares near twins?",
            "weights": "And for single weights?",
        }
        names = {CIRCUITS: "fronts", "weights": "weights"}
        return {
            names[panel]: rule_fronts(frame[frame["panel"] == panel], aim=AIM, title=titles[panel])
            for panel in dict.fromkeys(frame["panel"])
        }
