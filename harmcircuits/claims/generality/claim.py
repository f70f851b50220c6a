"""`Generality`: what was found, with its figures."""

from typing import TYPE_CHECKING, ClassVar

from ...figures.generality import overlap_matrix, transfer_matrix
from ...report.claims import ON_TRIPLES
from ..earlier import Claim
from .decision import HALF, LEVEL

if TYPE_CHECKING:
    import plotly.graph_objects as go


class Generality(Claim):
    """Whether one mechanism writes several kinds of harm.

    `values`, in nats per token where nothing else is said; selectivity is the rise of L on harmful − on near responses of the
    test triples, positive where the ablation hurts harmful text more:

    - diagonal, off_diagonal, beyond_matched: mean selectivity over groups, on the own group, on the others, and the latter less
      that of matched random circuits on those others;
    - transfer_ratio: off_diagonal / diagonal;
    - excess_overlap, excess_overlap_p: Jaccard of two groups' circuits beyond that with each other's twin circuits.

    `tables`: transfer (a row a circuit and tested group, matched random circuits last), overlap (a pair of groups).
    """

    NAME: ClassVar[str] = "generality"
    ASKS: ClassVar[str] = "Does one mechanism write every kind of harm: does what writes one kind write the others?"
    METHOD: ClassVar[tuple[str, ...]] = (
        ON_TRIPLES,
        "For each kind of harm a circuit is selected on its training triples, and tested on the test triples of every "
        "kind, for the loss alone. Diagonal: the mean selectivity on the own kind; off-diagonal: on the others; transfer "
        "ratio: the second divided by the first. Excess overlap: the Jaccard index of two kinds' circuits beyond that of "
        "each with the other's circuit aimed at near twins, tested by swapping harmful and near labels at random within "
        "triples and selecting again.",
        "Yes: the off-diagonal, and its difference to matched random circuits, lie above 0; the lower end of the transfer "
        f"ratio is above {HALF:g}; and the mean excess overlap is above 0 with p at most {LEVEL:g}. No: the upper end of "
        f"the ratio is below {HALF:g}, and the difference to matched random circuits is not shown to be above 0. Cannot be "
        "measured: the diagonal is not shown to be above 0, so that there is nothing to transfer. Intervals are over "
        "test triples, redrawn within kinds. The rule was fixed before anything was measured.",
    )

    def figures(self) -> "dict[str, go.Figure]":
        """transfer and overlap."""
        return {"transfer": transfer_matrix(self.table()), "overlap": overlap_matrix(self.tables["overlap"])}
