"""Attribution of single weights.

For a weight matrix W, and the loss L_n of the response of example n (mean negative log-likelihood, nats per token),

    A = −W ⊙ mean_n ∂L_n/∂W      over harmful examples: the first-order loss increase when the weight is zeroed
    U = mean_n |W ⊙ ∂L_n/∂W|     over benign examples, the absolute value taken per example.

`attribute_weights` keeps all scores, 8 bytes a weight. For a large model select from one layer's scores at a time
(`circuits.weight_selection.weight_masks`).

Source: arXiv 2604.09544, whose S is −A summed over examples (there: one pass a layer, one example a batch).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..data import Example, Prompt
from ..errors import HarmcircuitsError
from ..figures.matrix import heatmap, layer_by_kind
from ..models.protocol import HookedModel
from ..results import Result
from ..store import read_tensors, save_tensors
from .metrics import Metric, ModelMetric
from .scores import Sign, top_indices
from .weight_gradients import layer_sums, weight_scores

if TYPE_CHECKING:
    import plotly.graph_objects as go

FORMAT = "harmcircuits weight attribution 2"


@dataclass(frozen=True, eq=False, repr=False)
class WeightAttribution(Result):
    """Scores A and U of every eligible weight. **Positive A: promotes the response.**

    Matrices have the canonical names and the orientation [out, in] of `models/matrices.py`.

    Attributes:
        signed: A = −W ⊙ mean over the harmful examples of ∂L/∂W.
        absolute: U = mean over the benign examples of |W ⊙ ∂L/∂W| (over the harmful ones where no others were given).
        n_examples: how many examples A is the mean of.
        n_benign: how many benign examples U is the mean of; 0 where it is over the harmful ones.
    """

    signed: Mapping[str, Float[Tensor, "out in"]]
    absolute: Mapping[str, Float[Tensor, "out in"]]
    n_examples: int
    n_benign: int = 0

    def __post_init__(self) -> None:
        for name in ("signed", "absolute"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        if {name: U.shape for name, U in self.absolute.items()} != {name: A.shape for name, A in self.signed.items()}:
            raise HarmcircuitsError("signed and absolute scores are of different matrices: compute both with the same model")

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """(out, in) of every matrix."""
        return {name: (A.shape[0], A.shape[1]) for name, A in self.signed.items()}

    def table(self) -> pd.DataFrame:
        """Return one row a matrix: matrix, layer, kind, rows, columns, signed_sum = Σ A (the first-order loss increase when the
        whole matrix is zero), signed_max, signed_magnitude = Σ |A|, absolute_sum = Σ U, positive (share of weights with A > 0),
        share (of Σ |A| over all matrices)."""
        rows = []
        for name, A in self.signed.items():
            _, layer, kind = name.split(".", 2)
            sums = float(A.sum()), float(A.max()), float(A.abs().sum()), float(self.absolute[name].sum())
            rows.append((name, int(layer), kind, *A.shape, *sums, float((A > 0).float().mean())))
        columns = ["matrix", "layer", "kind", "rows", "columns", "signed_sum", "signed_max", "signed_magnitude"]
        frame = pd.DataFrame(rows, columns=[*columns, "absolute_sum", "positive"])
        return frame.assign(share=frame["signed_magnitude"] / (frame["signed_magnitude"].sum() or 1.0))

    def top(self, k: int = 10, *, matrix: str | None = None, sign: Sign = "promotes") -> pd.DataFrame:
        """Return the `k` weights of largest A, of one matrix or of all: weight ("blocks.3.mlp.out[5, 7]"), matrix, row, column,
        score (A), unsigned (U). Raises HarmcircuitsError for `k` below 1, another sign, or an unknown matrix."""
        if matrix is not None and matrix not in self.signed:
            raise HarmcircuitsError(f"there is no matrix {matrix!r}: {', '.join([*self.signed][:3])}, … (see W.table())")
        rows = []
        for name, A in self.signed.items():
            if matrix in (None, name):
                for row, column in (divmod(flat, A.shape[1]) for flat in top_indices(A.flatten(), k, sign).tolist()):
                    scores = float(A[row, column]), float(self.absolute[name][row, column])
                    rows.append((f"{name}[{row}, {column}]", name, row, column, *scores))
        rows.sort(key=lambda row: -abs(row[4]))
        return pd.DataFrame(rows[:k], columns=["weight", "matrix", "row", "column", "score", "unsigned"])

    def figure(self) -> "go.Figure":
        """Return each matrix's share of Σ |A| as a heat map, layers downwards, kinds to the right."""
        return heatmap(
            layer_by_kind(self.table(), "share") * 100,
            title="In which matrices does the attribution of weights lie?",
            caption="Each matrix's share of the sum of |A| of single weights over all matrices of the decoder blocks; A is "
            "averaged over examples. Larger matrices have more weights. No interval: of weights the mean alone is computed.",
            x_title="matrix",
            y_title="layer",
            bar="share of Σ|A| over all weights (%)",
        )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file (8 bytes a weight), atomically."""
        parts = {"signed": self.signed, "absolute": self.absolute}
        tensors = {f"{kind}/{name}": scores for kind, part in parts.items() for name, scores in part.items()}
        about = {"matrices": list(self.signed), "n_examples": self.n_examples, "n_benign": self.n_benign}
        save_tensors(path, tensors, format=FORMAT, about=about)

    @classmethod
    def load(cls, path: str | Path) -> "WeightAttribution":
        """Read what `save` wrote. Raises HarmcircuitsError where the file is missing, damaged, or holds something else."""
        with read_tensors(path, format=FORMAT, what="weight attribution") as (tensors, about):
            names = about.pop("matrices")
            signed, absolute = ({name: tensors[f"{kind}/{name}"] for name in names} for kind in ("signed", "absolute"))
            return cls(signed, absolute, **about)

    def __repr__(self) -> str:
        n, over = sum(map(Tensor.numel, self.signed.values())), f"{self.n_benign} benign" if self.n_benign else "the same"
        return (
            f"WeightAttribution({n} weights in {len(self.signed)} matrices; A over {self.n_examples} examples, U over {over})"
        )


def attribute_weights(
    model: HookedModel,
    harmful: Sequence[Example] | Sequence[Prompt],
    *,
    benign: Sequence[Example] | Sequence[Prompt] | None = None,
    metric: Metric | ModelMetric | None = None,
    batch_size: int = 8,
    progress: bool = False,
) -> WeightAttribution:
    """Return A over `harmful` and U over `benign` (None: over `harmful`) of every eligible weight.

    Use unprocessed weights: W ⊙ ∂L/∂W changes when norms are folded into them.

    Args:
        metric: of both sets, as in `attribute`; None: the loss of the response. It must be computed from the logits.
        batch_size: rows a pass; scores do not depend on it, beyond rounding.

    Raises:
        HarmcircuitsError: no examples, or a score that is not a number (names matrix and example); not even one row fits into
            the device's memory; an example without a response, where the metric reads responses; matrices that cannot be found;
            a state in which gradients mean something else (dropout, autocast, quantised or folded weights).
    """
    sets = [(harmful, metric)] if benign is None else [(harmful, metric), (benign, metric)]
    signed: dict[str, Tensor] = {}
    absolute: dict[str, Tensor] = {}
    layers = layer_sums(model, sets, signed=[0], absolute=[len(sets) - 1], batch_size=batch_size)
    for block, sums in tqdm(layers, total=model.cfg.n_layers, desc="weights", unit="layer", disable=not progress):
        signed = {matrix.name: weight_scores(matrix, sums[:1], kind="signed").cpu() for matrix in block} | signed
        absolute = {matrix.name: weight_scores(matrix, sums[-1:], kind="absolute").cpu() for matrix in block} | absolute
    return WeightAttribution(signed, absolute, len(harmful), 0 if benign is None else len(benign))
