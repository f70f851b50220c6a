"""How far two sets of scores of the same components agree: first order against exact, one dtype against another.

For each kind (heads, neurons), over the components that both sides measured, of the means over examples:

    spearman, pearson    correlations
    slope                of the first scores on the second, by least squares: below 1 where the first are smaller
    shared               the share of the k components of largest A > 0, those that `select` takes, that both have in common

Intervals are the value ± 1.96 standard deviations over bootstrap draws of the examples, the same ones on both sides; of
correlations on Fisher's scale. A draw adds noise to many means at once: its percentiles would be those of noisier scores.

Source: Efron and Tibshirani 1993, sections 12.6 and 13.2.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import norm, rankdata

from .. import figures
from ..errors import HarmcircuitsError
from ..results import Result
from ..statistics import LEAST_UNITS, Estimate, resamples
from ..statistics.bootstrap import times_drawn
from .scores import KINDS, Attribution, Kind

if TYPE_CHECKING:
    import plotly.graph_objects as go

DRAWS = 200
DRAWN = 1500
"""Components of a kind in the figure: a page with every neuron of a model is too heavy to open."""
MEASURES = ("spearman", "pearson", "slope")


@dataclass(frozen=True)
class KindAgreement:
    """Agreement of one kind of component: see the module. Intervals need as many examples on both sides.

    Attributes:
        n: components that both measured.
        k: size of the tops; at most the number of components with A > 0 on either side.
        shared: the overlap of tops, between 0 and 1; k / n by chance; None where k is 0.
    """

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
        names: what the two sides are called.
        points: columns kind, layer, index, first, second: the two scores of every component.
    """

    heads: KindAgreement | None
    neurons: KindAgreement | None
    names: tuple[str, str]
    points: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Return one row a measure: kind, measure, value, low, high (95 % interval), chance, n (components), k (of a top)."""
        rows: list[tuple[Any, ...]] = []
        for kind, summary in self._kinds().items():
            for measure in MEASURES:
                estimate: Estimate = getattr(summary, measure)
                rows.append((kind, measure, estimate.value, estimate.low, estimate.high, None, summary.n, None))
            rows.append((kind, "overlap of tops", summary.shared, None, None, summary.k / summary.n, summary.n, summary.k))
        return pd.DataFrame(rows, columns=["kind", "measure", "value", "low", "high", "chance", "n", "k"])

    def figure(self) -> "go.Figure":
        """Return the first scores against the second, heads above neurons, with the line where they are equal."""
        largest = self.points[["first", "second"]].abs().max(axis=1).sort_values(ascending=False, kind="stable").index
        points = self.points.loc[largest].groupby("kind").head(DRAWN).sort_index()
        names = points["kind"].map({"heads": "H", "neurons": "N"}) + points["index"].astype(str)
        same = np.sign(points["first"]) == np.sign(points["second"])
        return figures.scatter(
            points.assign(
                x=points["second"],
                value=points["first"],
                series=np.where(same, "same sign", "signs differ"),
                name="L" + points["layer"].astype(str) + names,
                facet=points["kind"].map(self._notes()),
            ),
            title="Do the two scores agree?",
            caption="Attribution A of each component by two scores, means over examples; positive promotes the response. On "
            f"the grey line both are equal. The {DRAWN:,} largest of a kind at most are drawn, without intervals.",
            x_title=f"{self.names[1]}: A (nats per token)",
            y_title=f"{self.names[0]}: A (nats per token)",
            diagonal=True,
        )

    def _kinds(self) -> dict[Kind, KindAgreement]:
        return {kind: summary for kind in KINDS if (summary := getattr(self, kind)) is not None}

    def _notes(self) -> dict[Kind, str]:
        number = lambda value: "undefined" if value is None else f"{value:.2f}"
        return {kind: f"{each.n:,} {kind}: Spearman {number(each.spearman.value)}" for kind, each in self._kinds().items()}

    def __repr__(self) -> str:
        return f"Agreement({'; '.join(self._notes().values())})"


def compare(first: Attribution, second: Attribution, *, k: int, names: tuple[str, str]) -> Agreement:
    """Return how far two attributions of the same model agree: see `Attribution.compare`."""
    if k < 1:
        raise HarmcircuitsError(f"k is {k}: it counts components, from 1")
    if first.shapes != second.shapes:
        raise HarmcircuitsError(f"the scores are of models of different shape: {first} and {second}")
    summaries: dict[str, KindAgreement | None] = dict.fromkeys(KINDS)
    points = []
    for kind in KINDS:
        both = first.measured[kind] & second.measured[kind]
        a, b = (getattr(side, f"per_example_{kind}")[:, both].double().numpy() for side in (first, second))
        if bool(both.any()):
            summaries[kind] = _summary(a, b, k)
        layer, index = (part.numpy() for part in both.nonzero(as_tuple=True))
        columns = {"layer": layer, "index": index, "first": a.mean(0), "second": b.mean(0)}
        points.append(pd.DataFrame({"kind": kind, **columns}))
    if not any(summaries.values()):
        raise HarmcircuitsError("no component was measured on both sides: score some of the same heads or neurons.")
    return Agreement(summaries["heads"], summaries["neurons"], names, pd.concat(points, ignore_index=True))


def _summary(
    first: Float[np.ndarray, "example component"], second: Float[np.ndarray, "other component"], k: int
) -> KindAgreement:
    a, b, n = first.mean(0), second.mean(0), len(first)
    draws = np.empty((0, 3))
    if LEAST_UNITS <= n == len(second):
        weights = times_drawn(resamples(n, draws=DRAWS)) / n
        draws = np.array([_statistics(weight @ first, weight @ second) for weight in weights])
    values = zip(_statistics(a, b), draws.T, (True, True, False), strict=True)
    spearman, pearson, slope = (_interval(value, drawn, n, correlation=bounded) for value, drawn, bounded in values)
    k = min(k, int((a > 0).sum()), int((b > 0).sum()))
    tops = [set(np.argsort(-side, kind="stable")[:k].tolist()) for side in (a, b)]
    return KindAgreement(len(a), spearman, pearson, slope, k, len(tops[0] & tops[1]) / k if k else None)


def _statistics(a: Float[np.ndarray, " component"], b: Float[np.ndarray, " component"]) -> tuple[float, float, float]:
    """Spearman's and Pearson's correlation, and the slope; nan where a side has no spread."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return np.nan, np.nan, np.nan
    x, y = a - a.mean(), b - b.mean()
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1]), float(np.corrcoef(a, b)[0, 1]), float(x @ y / (y @ y))


def _interval(value: float, draws: Float[np.ndarray, " draw"], n: int, *, correlation: bool) -> Estimate:
    if not np.isfinite(value):
        return Estimate.missing("all scores of one side are equal")
    if not len(draws):
        return Estimate(value, n=n)
    to, back = (lambda r: np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)), np.tanh) if correlation else (np.array, float)
    half = norm.isf(0.025) * to(draws[np.isfinite(draws)]).std(ddof=1)
    return Estimate(value, float(back(to(value) - half)), float(back(to(value) + half)), n)
