"""How far two scores of the same components agree: first order against exact, say, or one model's dtype against another's.

For each kind (heads, neurons), over the components that both measured: Spearman's and Pearson's correlation and the slope of
one on the other, each with a 95 % interval; and how many of the `k` components of largest A, which are those that `select`
would take, both have in common. Scores are means over examples, A in nats per asked token; positive promotes the response.

Intervals are the value ± 1.96 standard deviations of its bootstrap draws, for correlations on Fisher's scale. Each draw adds
noise of its own to many means at once, so that percentiles would be those of noisier data and could exclude the value.

Source: Efron and Tibshirani 1993, sections 12.6 and 13.2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import norm, rankdata
from torch import Tensor

from .. import figures
from ..notebook import notebook_html
from ..statistics import MAX_UNDEFINED, MIN_TRIPLES, Estimate, resamples
from .scores import KINDS, Attribution, AttributionError, Kind

if TYPE_CHECKING:
    import plotly.graph_objects as go

DRAWS = 200
_ONE = 1 - 1e-12  # beyond it Fisher's z has no finite value that means anything
_AT_A_TIME = 2**22  # numbers (32 MB)


@dataclass(frozen=True)
class KindAgreement:
    """Agreement of one kind of component.

    Attributes:
        n: components that both measured.
        spearman, pearson: correlations of the means over examples.
        slope: of the first scores on the second, by least squares: 1 where they are of one size, less where the first are
            smaller.
        k: size of the tops that are compared; no larger than the number of components with A > 0 on either side.
        shared: share of the `k` components of largest A that both have in common; random choices share k / n.
    """

    kind: Kind
    n: int
    spearman: Estimate
    pearson: Estimate
    slope: Estimate
    k: int
    shared: float | None

    def __repr__(self) -> str:
        return f"KindAgreement({self.n:,} {self.kind}: Spearman {_short(self.spearman)}, Pearson {_short(self.pearson)})"


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far two `Attribution`s agree; made by `Attribution.compare`.

    Attributes:
        heads, neurons: one summary a kind; None where no component of it was measured on both sides.
        over: what the intervals resample: "examples" where both sides hold as many, else "components".
        names: what each side is called.
        points: columns kind, layer, index, first, second: the two scores of every component that both measured.
    """

    heads: KindAgreement | None
    neurons: KindAgreement | None
    over: Literal["examples", "components"]
    names: tuple[str, str]
    points: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """One row a measure: kind, measure, value, low, high (95 % interval), chance, n (components), k (of a top)."""
        rows = [row for kind in self._kinds() for row in _rows(kind)]
        return pd.DataFrame(rows, columns=["kind", "measure", "value", "low", "high", "chance", "n", "k"])

    def figure(self) -> "go.Figure":
        """The first scores against the second, heads above neurons, with the line where they are equal."""
        spoken: dict[str, str] = {kind.kind: f"Spearman {_short(kind.spearman)}" for kind in self._kinds()}
        return figures.agreement_scatter(self.points, names=self.names, notes=spoken)

    def _kinds(self) -> list[KindAgreement]:
        return [kind for kind in (self.heads, self.neurons) if kind is not None]

    def __repr__(self) -> str:
        own = [(kind, kind.spearman.value) for kind in self._kinds()]
        parts = [f"{kind.n:,} {kind.kind}: Spearman {'undefined' if r is None else f'{r:.2f}'}" for kind, r in own]
        return f"Agreement({'; '.join(parts)}; intervals over {self.over})"

    def _repr_html_(self) -> str:
        return notebook_html(repr(self), self.table(), figure=self.figure)


def compare(own: Attribution, other: Attribution, *, k: int, names: tuple[str, str], seed: int) -> Agreement:
    """What `Attribution.compare` does; see there."""
    _check_shapes(own, other)
    if k < 1:
        raise AttributionError(f"k is {k}: it counts components, from 1")
    paired = _paired(own, other)
    summaries: dict[str, KindAgreement | None] = {}
    frames = []
    for kind in KINDS:
        sides = [getattr(side, f"per_example_{kind}") for side in (own, other)]
        both = own.measured[kind] & other.measured[kind]
        first, second = (_flat(side, both) for side in sides)
        summaries[kind] = _summary(kind, first, second, k=k, paired=paired, seed=seed) if both.any() else None
        layer, index = (part.numpy() for part in both.nonzero(as_tuple=True))
        columns = {"layer": layer, "index": index, "first": first.mean(0), "second": second.mean(0)}
        frames.append(pd.DataFrame({"kind": kind, **columns}))
    if not any(summaries.values()):
        raise AttributionError(
            "no component was measured on both sides, so that there is nothing to compare: "
            "score some of the same heads or neurons."
        )
    points = pd.concat(frames, ignore_index=True)
    return Agreement(summaries["heads"], summaries["neurons"], "examples" if paired else "components", names, points)


def pearson(a: Float[np.ndarray, "*draws n"], b: Float[np.ndarray, "*draws n"]) -> Float[np.ndarray, "*draws"]:
    """Pearson's correlation over the last axis; nan where either side has no spread."""
    x, y = _centred(a), _centred(b)
    product = np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    found = np.divide((x * y).sum(-1), product, out=np.full(np.shape(product), np.nan), where=product > 0)
    return np.asarray(np.clip(found, -1, 1))


def spearman(a: Float[np.ndarray, "*draws n"], b: Float[np.ndarray, "*draws n"]) -> Float[np.ndarray, "*draws"]:
    """Spearman's rank correlation over the last axis: Pearson's of the midranks."""
    return pearson(rankdata(a, axis=-1), rankdata(b, axis=-1))


def slope(a: Float[np.ndarray, "*draws n"], b: Float[np.ndarray, "*draws n"]) -> Float[np.ndarray, "*draws"]:
    """The least-squares slope of `a` on `b` over the last axis; nan where `b` has no spread."""
    x, y = _centred(a), _centred(b)
    square = (y * y).sum(-1)
    return np.asarray(np.divide((x * y).sum(-1), square, out=np.full(np.shape(square), np.nan), where=square > 0))


_STATISTICS = {"spearman": spearman, "pearson": pearson, "slope": slope}


def _centred(array: Float[np.ndarray, "*draws n"]) -> Float[np.ndarray, "*draws n"]:
    """Exactly 0 where all values are equal: rounding alone would leave a spread, and a correlation of it."""
    return np.where(np.ptp(array, axis=-1, keepdims=True) == 0, 0.0, array - array.mean(-1, keepdims=True))


def _check_shapes(own: Attribution, other: Attribution) -> None:
    if not isinstance(other, Attribution):
        raise AttributionError(f"an Attribution can be compared with another one, not with a {type(other).__name__}")
    for kind in KINDS:
        shapes = [tuple(getattr(side, f"per_example_{kind}").shape[1:]) for side in (own, other)]
        if shapes[0] != shapes[1]:
            raise AttributionError(
                f"the two scores are not of the same model: {kind} have the shapes {list(shapes[0])} and {list(shapes[1])}."
            )


def _paired(own: Attribution, other: Attribution) -> bool:
    """As many examples on both sides, and no two tokens' count that says that they are others."""
    lengths = [[len(part) for part in side.tokens] for side in (own, other)]
    return own.n_examples == other.n_examples and (not all(lengths) or lengths[0] == lengths[1])


def _flat(scores: Float[Tensor, "example layer index"], measured: Tensor) -> Float[np.ndarray, "example component"]:
    return scores[:, measured].double().numpy()


def _summary(
    kind: Kind,
    own: Float[np.ndarray, "example component"],
    other: Float[np.ndarray, "example component"],
    *,
    k: int,
    paired: bool,
    seed: int,
) -> KindAgreement:
    a, b = own.mean(0), other.mean(0)
    units = len(own) if paired else len(a)
    drawn = _draws(own, other, resamples(units, draws=DRAWS, seed=seed), paired=paired)
    estimates = {
        name: _interval(float(statistic(a, b)), drawn[name], n=units, correlation=name != "slope")
        for name, statistic in _STATISTICS.items()
    }
    k = min(k, int((a > 0).sum()), int((b > 0).sum()))
    tops = [set(np.argsort(-side, kind="stable")[:k].tolist()) for side in (a, b)]
    return KindAgreement(kind, len(a), **estimates, k=k, shared=len(tops[0] & tops[1]) / k if k else None)


def _draws(
    own: Float[np.ndarray, "example component"],
    other: Float[np.ndarray, "example component"],
    indices: Int[np.ndarray, "draw unit"],
    *,
    paired: bool,
) -> dict[str, Float[np.ndarray, " draw"]]:
    """Each statistic in each bootstrap draw, over examples (all components) or over components (all examples)."""
    size = own.shape[1] if paired else indices.shape[1]
    step = max(1, _AT_A_TIME // size)
    found: dict[str, list[Any]] = {name: [] for name in _STATISTICS}
    for start in range(0, len(indices), step):
        part = indices[start : start + step]
        if paired:
            weights = np.stack([np.bincount(row, minlength=len(own)) for row in part]) / len(own)
            a, b = weights @ own, weights @ other
        else:
            a, b = own.mean(0)[part], other.mean(0)[part]
        for name, statistic in _STATISTICS.items():
            found[name].append(statistic(a, b))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _interval(observed: float, draws: Float[np.ndarray, " draw"], *, n: int, correlation: bool) -> Estimate:
    """Missing where the value is undefined or more than 5 % of the draws are; without an interval below 3 units."""
    if not np.isfinite(observed):
        return Estimate.missing("undefined on the data: all scores of one side are equal")
    if n < MIN_TRIPLES:
        return Estimate(observed, n=n)
    defined = draws[np.isfinite(draws)]
    if draws.size - defined.size > MAX_UNDEFINED * draws.size:
        return Estimate.missing(f"undefined in {draws.size - defined.size} of {draws.size} bootstrap draws")
    half = norm.isf(0.025)
    if not correlation:
        return Estimate(observed, observed - half * defined.std(ddof=1), observed + half * defined.std(ddof=1), n)
    centre, spread = np.arctanh(np.clip(observed, -_ONE, _ONE)), np.arctanh(np.clip(defined, -_ONE, _ONE)).std(ddof=1)
    return Estimate(observed, np.tanh(centre - half * spread), np.tanh(centre + half * spread), n)


def _rows(kind: KindAgreement) -> Iterator[dict[str, Any]]:
    common = {"kind": kind.kind, "n": kind.n}
    for name in _STATISTICS:
        estimate: Estimate = getattr(kind, name)
        yield {**common, "measure": name, "value": estimate.value, "low": estimate.low, "high": estimate.high}
    yield {**common, "measure": "overlap of tops", "value": kind.shared, "chance": kind.k / kind.n, "k": kind.k}


def _short(estimate: Estimate) -> str:
    if estimate.value is None:
        return "undefined"
    interval = "" if estimate.low is None or estimate.high is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.value:.2f}{interval}"
