"""How far two sets of scores of the same components agree: first order against exact, one dtype against another.

For each kind (heads, neurons), over the components that both sides measured, of the means over examples:

    spearman, pearson    correlations
    slope                of the first scores on the second, by least squares: below 1 where the first are smaller
    overlap of tops      the share of the k components of largest A > 0, those that `select` takes, that both have in common

Intervals are the value ± 1.96 standard deviations over bootstrap draws, of correlations on Fisher's scale: a draw adds noise to
many means at once, so that its percentiles would be those of noisier scores. A draw takes the same examples from both sides
where these hold as many, else components, which are not independent: those intervals are too narrow.

Source: Efron and Tibshirani 1993, sections 12.6 and 13.2.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import norm, rankdata

from .. import figures
from ..results import Result
from ..statistics import LEAST_UNITS, Estimate, resamples
from .scores import KINDS, Attribution, AttributionError, Kind

if TYPE_CHECKING:
    import plotly.graph_objects as go

DRAWS = 200
DRAWN = 1500
"""Components of a kind in the figure: a page with every neuron of a model is too heavy to open."""
Means = Float[np.ndarray, "component"]


@dataclass(frozen=True)
class KindAgreement:
    """Agreement of one kind of component.

    Attributes:
        n: components that both measured.
        spearman, pearson, slope: see the module.
        k: size of the tops; at most the number of components with A > 0 on either side.
        shared: the overlap of tops, between 0 and 1; k / n by chance; None where k is 0.
    """

    kind: Kind
    n: int
    spearman: Estimate
    pearson: Estimate
    slope: Estimate
    k: int
    shared: float | None


@dataclass(frozen=True, eq=False)
class Agreement(Result):
    """How far two `Attribution`s agree; made by `Attribution.compare`.

    Attributes:
        heads, neurons: one summary a kind; None where no component of it was measured on both sides.
        over: what the intervals resample.
        names: what the two sides are called.
        points: columns kind, layer, index, first, second: the two scores of every component.
    """

    heads: KindAgreement | None
    neurons: KindAgreement | None
    over: Literal["examples", "components"]
    names: tuple[str, str]
    points: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Return one row a measure: kind, measure, value, low, high (95 % interval), chance, n (components), k (of a top)."""
        rows: list[dict[str, Any]] = []
        for own in self._kinds():
            for name in ("spearman", "pearson", "slope"):
                estimate: Estimate = getattr(own, name)
                ends = {"low": estimate.low, "high": estimate.high}
                rows.append({"kind": own.kind, "measure": name, "value": estimate.value, **ends, "n": own.n})
            tops = {"value": own.shared, "chance": own.k / own.n, "n": own.n, "k": own.k}
            rows.append({"kind": own.kind, "measure": "overlap of tops", **tops})
        return pd.DataFrame(rows, columns=["kind", "measure", "value", "low", "high", "chance", "n", "k"])

    def figure(self) -> "go.Figure":
        """Return the first scores against the second, heads above neurons, with the line where they are equal."""
        notes = {own.kind: f"{own.n:,} {own.kind}: Spearman {_short(own)}" for own in self._kinds()}
        points = self.points.dropna(subset=["first", "second"])
        largest = points[["first", "second"]].abs().max(axis=1).groupby(points["kind"]).rank(ascending=False, method="first")
        points = points[largest <= DRAWN]
        names = points["kind"].map({"heads": "H", "neurons": "N"}) + points["index"].astype(str)
        return figures.scatter(
            points.assign(
                x=points["second"],
                value=points["first"],
                series=np.where(np.sign(points["first"]) == np.sign(points["second"]), "same sign", "signs differ"),
                name="L" + points["layer"].astype(str) + names,
                facet=points["kind"].map(notes),
            ),
            title="Do the two scores agree?",
            caption="Attribution A of each component by two scores, means over examples; positive promotes the response. On "
            f"the grey line both are equal. The {DRAWN:,} largest of a kind at most are drawn, without intervals.",
            x_title=f"{self.names[1]}: A (nats per token)",
            y_title=f"{self.names[0]}: A (nats per token)",
            diagonal=True,
        )

    def _kinds(self) -> list[KindAgreement]:
        return [kind for kind in (self.heads, self.neurons) if kind is not None]

    def __repr__(self) -> str:
        parts = [f"{own.n:,} {own.kind}: Spearman {_short(own)}" for own in self._kinds()]
        return f"Agreement({'; '.join(parts)}; intervals over {self.over})"


def compare(first: Attribution, second: Attribution, *, k: int = 10, names: tuple[str, str] = ("first", "second")) -> Agreement:
    """Return how far two attributions of the same model agree, over the components that both measured.

        agreement = hc.attribute(model, harmful).compare(exact, names=("first order", "exact"))
        agreement.heads.spearman, agreement.table(), agreement.figure()

    Args:
        k: size of the tops whose overlap is counted.
        names: what the two sides are called in the figure.

    Raises:
        AttributionError: scores of another model, nothing measured on both sides, or `k` below 1.
    """
    if k < 1:
        raise AttributionError(f"k is {k}: it counts components, from 1")
    if (first.heads.shape, first.neurons.shape) != (second.heads.shape, second.neurons.shape):
        raise AttributionError(f"the scores are of models of different shape: {first} and {second}")
    lengths = [[len(part) for part in side.tokens] for side in (first, second)]
    paired = first.n_examples == second.n_examples and (not all(lengths) or lengths[0] == lengths[1])
    summaries: dict[str, KindAgreement | None] = dict.fromkeys(KINDS)
    points = []
    for kind in KINDS:
        both = first.measured[kind] & second.measured[kind]
        a, b = (getattr(side, f"per_example_{kind}")[:, both].double().numpy() for side in (first, second))
        if bool(both.any()):
            summaries[kind] = _summary(kind, a, b, k=k, paired=paired)
        layer, index = (part.numpy() for part in both.nonzero(as_tuple=True))
        columns = {"layer": layer, "index": index, "first": a.mean(0), "second": b.mean(0)}
        points.append(pd.DataFrame({"kind": kind, **columns}))
    if not any(summaries.values()):
        raise AttributionError("no component was measured on both sides: score some of the same heads or neurons.")
    over: Literal["examples", "components"] = "examples" if paired else "components"
    return Agreement(summaries["heads"], summaries["neurons"], over, names, pd.concat(points, ignore_index=True))


def _summary(
    kind: Kind,
    first: Float[np.ndarray, "example component"],
    second: Float[np.ndarray, "example component"],
    *,
    k: int,
    paired: bool,
) -> KindAgreement:
    a, b = first.mean(0), second.mean(0)
    units = len(first) if paired else len(a)
    drawn = []
    for indices in resamples(units, draws=DRAWS):
        weights = np.bincount(indices, minlength=units) / units
        drawn.append(_statistics(weights @ first, weights @ second) if paired else _statistics(a[indices], b[indices]))
    values, draws = _statistics(a, b), np.array(drawn).T
    names = ("spearman", "pearson", "slope")
    estimates = {
        name: _interval(value, own, n=units, correlation=name != "slope")
        for name, value, own in zip(names, values, draws, strict=True)
    }
    k = min(k, int((a > 0).sum()), int((b > 0).sum()))
    tops = [set(np.argsort(-side, kind="stable")[:k].tolist()) for side in (a, b)]
    return KindAgreement(kind, len(a), **estimates, k=k, shared=len(tops[0] & tops[1]) / k if k else None)


def _statistics(a: Means, b: Means) -> tuple[float, float, float]:
    """Spearman's and Pearson's correlation, and the slope; nan where a side has no spread."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return np.nan, np.nan, np.nan
    x, y = a - a.mean(), b - b.mean()
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1]), float(np.corrcoef(a, b)[0, 1]), float(x @ y / (y @ y))


def _interval(value: float, draws: Float[np.ndarray, " draw"], *, n: int, correlation: bool) -> Estimate:
    if not np.isfinite(value):
        return Estimate.missing("all scores of one side are equal")
    if n < LEAST_UNITS:
        return Estimate(value, n=n)
    to, back = (lambda r: np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)), np.tanh) if correlation else (np.array, float)
    half = norm.isf(0.025) * to(draws[np.isfinite(draws)]).std(ddof=1)
    return Estimate(value, float(back(to(value) - half)), float(back(to(value) + half)), n)


def _short(own: KindAgreement) -> str:
    return "undefined" if own.spearman.value is None else f"{own.spearman.value:.2f}"
