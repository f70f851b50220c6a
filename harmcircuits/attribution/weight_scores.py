"""`WeightAttribution`: the scores of every eligible weight, whatever made them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from .. import figures
from ..notebook import notebook_html
from ..store.tensors import read_tensors, save_tensors
from .scores import AttributionError

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from .top import Sign

FORMAT = "harmcircuits weight attribution 2"
COLUMNS = ["matrix", "layer", "kind", "rows", "columns"]
COLUMNS += ["signed_sum", "signed_max", "signed_magnitude", "absolute_sum", "positive"]


@dataclass(frozen=True, eq=False, repr=False)
class WeightAttribution:
    """A_W and U_W of every eligible weight, float32 on the CPU, in nats per asked token. **Positive A: promotes the response.**

    Matrices have the canonical names and the orientation [out, in] of `models/matrices.py`.

    Attributes:
        signed: A_W = −W ⊙ mean over the harmful examples of ∂L/∂W.
        absolute: U_W = mean of |W ⊙ ∂L/∂W|, the absolute value taken per example, over the benign examples; over the harmful
            ones where no others were given.
        n_examples: how many examples A is the mean of.
        n_benign: how many benign examples U is the mean of; 0 where it is over the harmful ones.

    Raises:
        AttributionError: the two do not have the same matrices.
    """

    signed: Mapping[str, Float[Tensor, "out in"]]
    absolute: Mapping[str, Float[Tensor, "out in"]]
    n_examples: int
    n_benign: int = 0

    def __post_init__(self) -> None:
        shapes = [{name: tuple(scores.shape) for name, scores in part.items()} for part in (self.signed, self.absolute)]
        if shapes[0] != shapes[1]:
            raise AttributionError("signed and absolute scores are of different matrices: compute both with the same model")
        for name in ("signed", "absolute"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """(out, in) of every matrix."""
        return {name: (scores.shape[0], scores.shape[1]) for name, scores in self.signed.items()}

    @property
    def n_weights(self) -> int:
        return sum(scores.numel() for scores in self.signed.values())

    def table(self) -> pd.DataFrame:
        """One row a matrix: matrix, layer, kind, rows, columns; signed_sum = Σ A (the first-order rise of L when the whole
        matrix is zero), signed_max, signed_magnitude = Σ |A|, absolute_sum = Σ U, positive, the share of weights with A > 0,
        and share, the matrix's part in Σ |A| over all matrices."""
        rows = []
        for name, A in self.signed.items():
            _, layer, kind = name.split(".", 2)
            sums = float(A.sum()), float(A.max()), float(A.abs().sum()), float(self.absolute[name].sum())
            rows.append((name, int(layer), kind, *A.shape, *sums, float((A > 0).float().mean())))
        frame = pd.DataFrame(rows, columns=COLUMNS)
        return frame.assign(share=frame["signed_magnitude"] / (frame["signed_magnitude"].sum() or 1.0))

    def figure(self) -> "go.Figure":
        """Where the attribution lies: each matrix's share of Σ |A| as a heat map, layers downwards, kinds to the right."""
        return figures.weight_scores_by_matrix(self.table())

    def top(self, k: int = 10, *, matrix: str | None = None, sign: "Sign" = "promotes") -> pd.DataFrame:
        """The `k` weights that promote the response most, the largest A first; no interval, since the scores of single examples
        are not kept.

            W.top(10), W.top(10, matrix="blocks.3.mlp.out")

        Args:
            matrix: of this one alone; None: of all.
            sign: "promotes" takes A > 0 alone, "hinders" A < 0, the smallest first.

        Returns:
            weight ("blocks.3.mlp.out[5, 7]"), matrix, row, column, score (A), unsigned (U); nats per asked token.

        Raises:
            AttributionError: `k` below 1, another sign, or no such matrix.
        """
        from .top import top_weights  # here, because it imports this file

        return top_weights(self, k, matrix=matrix, sign=sign)

    def save(self, path: str | Path) -> None:
        """One safetensors file (8 bytes a weight), written atomically."""
        parts = {"signed": self.signed, "absolute": self.absolute}
        tensors = {f"{kind}/{name}": scores for kind, part in parts.items() for name, scores in part.items()}
        about = {"matrices": list(self.signed), "n_examples": self.n_examples, "n_benign": self.n_benign}
        save_tensors(path, tensors, format=FORMAT, about=about)

    @classmethod
    def load(cls, path: str | Path) -> "WeightAttribution":
        """Reads what `save` wrote.

        Raises:
            AttributionError: the file is missing, damaged, or holds something else.
        """
        tensors, about = read_tensors(path, format=FORMAT, what="weight attribution", error=AttributionError)
        try:
            kinds = ("signed", "absolute")
            signed, absolute = ({name: tensors[f"{kind}/{name}"] for name in about["matrices"]} for kind in kinds)
            return cls(signed, absolute, about["n_examples"], about["n_benign"])
        except (KeyError, TypeError) as error:
            raise AttributionError(f"{path} was changed since it was saved ({error}). Save the scores again.") from error

    def __repr__(self) -> str:
        over = f"{self.n_benign} benign" if self.n_benign else "the same"
        return (
            f"WeightAttribution({self.n_weights} weights in {len(self.signed)} matrices; A over {self.n_examples} examples, "
            f"U over {over})"
        )

    def _repr_html_(self) -> str:
        rows = [(name.split(".", 2)[2], rows * columns) for name, (rows, columns) in self.shapes.items()]
        sizes = pd.DataFrame(rows, columns=["kind", "weights"])
        kinds = sizes.groupby("kind", sort=False)["weights"].agg(matrices="count", weights="sum").reset_index()
        return notebook_html(repr(self), kinds, figure=self.figure)
