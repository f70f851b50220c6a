"""`Generality`: what was found, with its figures."""

from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from ...figures.generality import overlap_matrix, shared_forest, transfer_matrix
from ...report.claims import ON_TRIPLES
from ..claim import Claim
from .decision import HALF, LEVEL
from .transfer import OTHERS, RANDOM

if TYPE_CHECKING:
    import plotly.graph_objects as go

POOLED = f"{RANDOM}, any group"
HARMFUL = "aimed at harmful"


class Generality(Claim):
    """Whether one mechanism writes several kinds of harm.

    `values`, in nats per token where nothing else is said; selectivity is the rise of L on harmful − on near responses of the
    test triples, positive where the ablation hurts harmful text more:

    - diagonal, off_diagonal, matched_random, beyond_matched: mean selectivity over groups, on the own group, on the others, of
      matched random circuits on those others, and the difference of the last two;
    - transfer_ratio, rise_ratio: off_diagonal / diagonal, of selectivity and of the harmful rise;
    - all_others, all_others_ratio: of circuits selected on all groups but the one tested, and / diagonal;
    - left_out, left_out_difference, left_out_share: of circuits selected without a category, on it; minus, and divided by,
      that of the circuit that includes it;
    - excess_overlap, excess_overlap_p: Jaccard of two groups' circuits beyond that with each other's twin circuits;
    - shared, shared_p, participation, participation_p: `statistics.mechanisms.sharing` of the harmful
      scores beyond those of near twins, by category;
    - the same for benign text, as the contrast: near_transfer_ratio, far_transfer_ratio, near_excess_overlap,
      near_excess_overlap_p, near_shared, near_shared_p, far_shared, far_shared_p;
    - with weights: weights_diagonal, weights_off_diagonal, weights_transfer_ratio, weights_beyond_matched.

    `tables`: transfer (a row a circuit and tested group), overlap (an aim and pair of groups), left_out (a category),
    mechanism (a set of scores and measure).
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

    def transfer(self) -> pd.DataFrame:
        """Of the table of transfer what the heatmap shows: the groups' circuits, and the controls below them."""
        frame = self.tables["transfer"]
        shown = frame[(frame["grain"] == "heads and neurons") & frame["circuit"].isin([HARMFUL, OTHERS, POOLED])]
        return shown.assign(selected=shown["selected"].where(shown["circuit"] == HARMFUL, shown["circuit"]))

    def figures(self) -> "dict[str, go.Figure]":
        """transfer, overlap and mechanism."""
        overlap, mechanism = self.tables["overlap"], self.tables["mechanism"]
        return {
            "transfer": transfer_matrix(self.transfer()),
            "overlap": overlap_matrix(overlap[overlap["aim"] == "harmful"]),
            "mechanism": shared_forest(mechanism[mechanism["measure"] == "shared"]),
        }
