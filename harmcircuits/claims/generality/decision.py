"""What was found, from the numbers alone: the rule is fixed before anything is measured."""

from dataclasses import dataclass

from ...statistics import Estimate
from ..earlier import Found

HALF = 0.5
"""Of the selectivity on its own group, a circuit that is general keeps more than this on others."""
LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the decision rests on; selectivity is harmful − near, nats per token, mean over groups.

    Attributes:
        diagonal: selectivity of circuits on held-out triples of their own group.
        off_diagonal: on triples of the other groups.
        beyond: off_diagonal minus that of matched random circuits, paired.
        ratio: off_diagonal / diagonal.
        excess: Jaccard of two groups' circuits beyond that with each other's twin circuits, mean over pairs.
        p_value: of `excess` against swapped labels: one test, of the mean, so that nothing is adjusted.
    """

    diagonal: Estimate
    off_diagonal: Estimate
    beyond: Estimate
    ratio: Estimate
    excess: Estimate
    p_value: Estimate


def decide(evidence: Evidence) -> Found:
    """The first that holds:

    - "cannot be measured": the interval of the diagonal is not wholly above 0: a circuit is not shown to hurt its own
      group selectively, and there is nothing to transfer;
    - "yes": the intervals of off_diagonal and of `beyond` lie above 0, the lower end of the ratio above ½, the excess is above
      0 and its p at most 0.05;
    - "no": the upper end of the ratio lies below ½, and the interval of `beyond` reaches 0 or lies below: circuits do less than
      half as much on other groups, and there are not shown to do more than matched random ones;
    - else "undecided".

    >>> some, missing = Estimate(0.2, 0.1, 0.3, 40), Estimate.missing("not read")
    >>> parts = dict.fromkeys(("off_diagonal", "beyond", "excess"), some) | {"p_value": missing}
    >>> decide(Evidence(diagonal=some, ratio=Estimate(0.9, 0.7, 1.1, 40), **parts))  # no p value
    'undecided'
    """
    if not _above(evidence.diagonal, 0):
        return "cannot be measured"
    if all(_above(one, 0) for one in (evidence.off_diagonal, evidence.beyond)) and _above(evidence.ratio, HALF):
        return "yes" if _overlaps(evidence) else "undecided"
    separate = evidence.ratio.high is not None and evidence.ratio.high < HALF
    if separate and evidence.beyond.low is not None and evidence.beyond.low <= 0:
        return "no"
    return "undecided"


def _above(estimate: Estimate, bound: float) -> bool:
    return estimate.low is not None and estimate.low > bound


def _overlaps(evidence: Evidence) -> bool:
    excess, p = evidence.excess.value, evidence.p_value.value
    return excess is not None and excess > 0 and p is not None and p <= LEVEL


def sentence(evidence: Evidence, found: Found, *, n_groups: int) -> str:
    """What was found, with the numbers it rests on."""
    if found == "cannot be measured":
        return (
            f"Whether circuits generalise cannot be measured here: selected on one of {n_groups} kinds of harm, they are not "
            "shown to hurt held-out harmful text of that same kind more than its near twins (selectivity "
            f"{evidence.diagonal} nats per token), so that there is nothing to transfer."
        )
    begins = {
        "yes": "One circuit serves several kinds of harm",
        "no": "Circuits of one kind of harm are not seen to serve the others",
        "undecided": "Whether one circuit serves several kinds of harm is undecided",
    }[found]
    return (
        f"{begins}: selected on one of {n_groups} kinds, circuits hurt harmful text of the others more than its near twins by "
        f"{evidence.off_diagonal} nats per token, {evidence.beyond} beyond matched random circuits; that is {evidence.ratio} "
        f"of the {evidence.diagonal} on their own kind. Circuits of two kinds overlap by {evidence.excess} (Jaccard) more than "
        f"with each other's twins, p {evidence.p_value}."
    )
