"""Where single weights lie, and their attribution: layers downwards, kinds of matrices to the right."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from . import style
from .style import FigureError

_PLACE = ["layer", "kind"]
_MASK = ["weights", "size"]
_SCORES = ["rows", "columns", "signed_sum", "signed_magnitude", "share", "positive"]


def weights_by_matrix(table: pd.DataFrame, *, title: str = "Where do the weights of the mask lie?") -> go.Figure:
    """How many weights a mask has in each matrix, as a share of the matrix, by layer and kind.

    Args:
        table: one row a matrix: layer, kind ("attn.q"), weights (in the mask), size (of the matrix); `WeightMask.table()`.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or does not hold numbers, or two rows for one place.

    >>> frame = pd.DataFrame({"layer": [0, 0], "kind": ["attn.q", "mlp.in"], "weights": [1, 0], "size": [1000, 4000]})
    >>> drawn = weights_by_matrix(frame).data[0]
    >>> drawn.z.tolist(), drawn.hovertext[0][0]
    ([[1000.0, 0.0]], 'layer 0, attn.q: 1 of 1,000 weights (1,000 per million)')
    """
    frame = _checked(table, _MASK, what="weights_by_matrix")
    frame["value"] = 1e6 * frame["weights"] / frame["size"]
    frame["words"] = [
        f"{_name(row)}: {row.weights:,.0f} of {row.size:,.0f} weights ({_short(row.value)} per million)"
        for row in _rows(frame[["layer", "kind", "weights", "size", "value"]])
    ]
    n, inside = frame["weights"].sum(), int((frame["weights"] > 0).sum())
    return _by_matrix(
        frame,
        title=title,
        bar="weights of the mask per million of the matrix",
        caption="How many weights the mask has in each matrix of the decoder blocks, per million weights of that matrix. "
        "A count: no interval.",
        alt=f"{n:,.0f} of {frame['size'].sum():,.0f} weights, in {inside} of {len(frame)} matrices.",
    )


def weight_scores_by_matrix(
    table: pd.DataFrame, *, title: str = "In which matrices does the attribution of weights lie?"
) -> go.Figure:
    """Each matrix's share of Σ|A| over all weights, by layer and kind.

    Args:
        table: one row a matrix: layer, kind, rows, columns, signed_sum (Σ A, nats per token; positive promotes the response),
            signed_magnitude (Σ|A|), share (of all Σ|A|), positive (the share of weights with A > 0);
            `WeightAttribution.table()`.
        title: the question above the figure.

    Raises:
        FigureError: a column is missing or does not hold numbers, or two rows for one place.
    """
    frame = _checked(table, _SCORES, what="weight_scores_by_matrix")
    sizes = frame["rows"] * frame["columns"]
    frame["value"] = 100 * frame["share"]
    frame["times"] = frame["share"] * sizes.sum() / sizes
    frame["words"] = [
        f"{_name(row)}: {row.value:.2f} % of Σ|A|, {row.times:.2f} times as much a weight as the mean of all<br>"
        f"Σ A {style.number(row.signed_sum)} nats/token; A > 0 of {100 * row.positive:.0f} % of its weights"
        for row in _rows(frame)
    ]
    return _by_matrix(
        frame,
        title=title,
        bar="share of Σ|A| over all weights (%)",
        caption="Attribution A of single weights, averaged over examples; each matrix's share of the sum of |A| over all "
        "matrices of the decoder blocks; no interval, since of weights the mean alone is kept. Larger matrices have more "
        "weights: hovers tell the share beside that of their size.",
        alt=f"{sizes.sum():,.0f} weights in {len(frame)} matrices.",
    )


def _by_matrix(frame: pd.DataFrame, *, title: str, bar: str, caption: str, alt: str) -> go.Figure:
    """The heat map of `value`; `words` are its hovers."""
    layers, kinds = sorted(set(frame["layer"])), list(dict.fromkeys(frame["kind"]))
    values, words = _grid(frame, layers, kinds)
    height = min(max(15 * len(layers), 180), 720)
    drawn = style.figure(
        title=title,
        height=height,
        caption=caption,
        alt=f"{alt} {_most(frame)}",
        under=124,
    )
    drawn.add_heatmap(
        z=values, y=layers, x=list(range(len(kinds))), zmin=0, zmax=float(np.nanmax(values, initial=0)) or 1.0, xgap=1, ygap=1,
        hovertext=words, hoverongaps=True, hovertemplate="%{hovertext}<extra></extra>",
        colorscale=[(0, "white"), (1, style.VERMILLION)],
        colorbar=style.colour_bar(bar, below=54, height=height),
    )  # fmt: skip
    names = [style.text(kind.rpartition(".")[2]) for kind in kinds]
    drawn.update_xaxes(title_text="matrix", showgrid=False, tickvals=list(range(len(kinds))), ticktext=names)
    drawn.update_yaxes(
        title_text="layer", showgrid=False, tickformat="d", autorange="reversed", **style.whole_ticks(len(layers))
    )
    return drawn


def _grid(
    frame: pd.DataFrame, layers: Sequence[float], kinds: Sequence[str]
) -> tuple[Float[ndarray, "layer kind"], list[list[str]]]:
    """`value` and `words` by layer and kind."""
    values, words = np.full((len(layers), len(kinds)), np.nan), [["no such matrix"] * len(kinds) for _ in layers]
    down, across = ({name: at for at, name in enumerate(names)} for names in (layers, kinds))
    for row in _rows(frame):
        layer, kind = down[row.layer], across[row.kind]
        values[layer, kind], words[layer][kind] = row.value, row.words
    return values, words


def _checked(table: pd.DataFrame, numbers: Sequence[str], *, what: str) -> pd.DataFrame:
    frame = style.checked(table, [*_PLACE, *numbers], numbers=["layer", *numbers], what=what)
    frame["kind"] = frame["kind"].astype(str)
    if frame.duplicated(_PLACE).any():
        again = next(_rows(frame[frame.duplicated(_PLACE)]))
        raise FigureError(f"{what}: {again.kind!r} of layer {again.layer:.0f} has two rows; keep one a matrix.")
    return frame


def _rows(frame: pd.DataFrame) -> Any:
    return frame.itertuples(index=False)


def _name(row: Any) -> str:
    return f"layer {row.layer:.0f}, {style.text(row.kind)}"


def _short(value: float) -> str:
    """Three digits below a thousand, all of them above."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _most(frame: pd.DataFrame) -> str:
    if frame.empty or not frame["value"].max() > 0:
        return "None has any."
    row = frame.iloc[int(frame["value"].to_numpy().argmax())]
    return f"Most in layer {row['layer']:.0f}, {row['kind']}: {_short(row['value'])}."
