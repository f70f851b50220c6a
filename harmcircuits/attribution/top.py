"""The components, or single weights, with the largest scores, as tables to be read.

A in nats per asked token: positive promotes the response, negative hinders it.
"""

from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ..statistics import mean_estimate
from .scores import KINDS, Attribution, AttributionError, Kind
from .weight_scores import WeightAttribution

Sign = Literal["promotes", "hinders"]
_LABELS: dict[Kind, str] = {"heads": "L{}H{}", "neurons": "neuron {}.{}"}
COLUMNS = ["component", "kind", "layer", "index", "score", "low", "high", "unsigned"]
OF_WEIGHTS = ["weight", "matrix", "row", "column", "score", "unsigned"]


def top(scores: Attribution, k: int, *, kind: Kind | None, sign: Sign, draws: int, seed: int) -> pd.DataFrame:
    """What `Attribution.top` does; see there."""
    _check(k, sign)
    if kind not in (None, *KINDS):
        raise AttributionError(f'kind {kind!r} is unknown: "heads" or "neurons", or None for both')
    rows = [row for own in KINDS if kind in (None, own) for row in _of_kind(scores, own, k, sign)]
    rows = sorted(rows, key=lambda row: -abs(row["score"]))[:k]
    for row in rows:
        found = mean_estimate(row.pop("each"), draws=draws, seed=seed)
        row |= {"low": found.low, "high": found.high}
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype(dict.fromkeys(("score", "low", "high", "unsigned"), float))


def _of_kind(scores: Attribution, kind: Kind, k: int, sign: Sign) -> list[dict[str, Any]]:
    """The `k` largest of a kind, without their intervals; `each`: the scores of single examples."""
    each: Float[Tensor, "example layer index"] = getattr(scores, f"per_example_{kind}")
    mean = each.mean(0)
    rows = []
    for flat, score in _largest(mean, k, sign):
        layer, index = (int(at) for at in np.unravel_index(flat, tuple(mean.shape)))
        own = each[:, layer, index]
        rows.append(
            {
                "component": _LABELS[kind].format(layer, index), "kind": kind.removesuffix("s"), "layer": layer, "index": index,
                "score": score, "unsigned": float(own.abs().mean()), "each": own.numpy(),
            }
        )  # fmt: skip
    return rows


def top_weights(scores: WeightAttribution, k: int, *, matrix: str | None, sign: Sign) -> pd.DataFrame:
    """What `WeightAttribution.top` does; see there."""
    _check(k, sign)
    known = list(scores.signed)
    if matrix is not None and matrix not in scores.signed:
        raise AttributionError(f"there is no matrix {matrix!r}: there are {', '.join(known[:3])}, … (see W.table())")
    rows = []
    for name in known if matrix is None else [matrix]:
        width = scores.signed[name].shape[1]
        for flat, score in _largest(scores.signed[name], k, sign):
            place = divmod(flat, width)
            label = f"{name}[{place[0]}, {place[1]}]"
            rows.append((label, name, *place, score, float(scores.absolute[name][place])))
    rows.sort(key=lambda row: -abs(row[4]))
    return pd.DataFrame(rows[:k], columns=OF_WEIGHTS)


def _check(k: int, sign: str) -> None:
    if k < 1:
        raise AttributionError(f"k is {k}: ask for at least 1 component")
    if sign not in get_args(Sign):
        raise AttributionError(f"sign {sign!r} is unknown: choose one of {', '.join(map(repr, get_args(Sign)))}")


def _largest(values: Float[Tensor, "..."], k: int, sign: Sign) -> list[tuple[int, float]]:
    """Flat index and value of the `k` largest (smallest) values of that sign; what is not a number is none."""
    turned = (values if sign == "promotes" else -values).flatten().nan_to_num(nan=-torch.inf)
    found, places = turned.topk(min(k, len(turned)))
    factor = 1 if sign == "promotes" else -1
    return [(int(at), factor * float(value)) for at, value in zip(places, found, strict=True) if value > 0]
