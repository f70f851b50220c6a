"""How far scores would come out the same with other examples, or with other responses to the same prompts.

Split half: the examples are divided at random into two halves, again and again, and the mean scores of one half are correlated
with those of the other, over components. A mean of m times as many examples has the reliability

    r_m = m·r / (1 + (m − 1)·r)        (Spearman and Brown; exact for Pearson's r of equal halves, near for ranks),

from which follow the reliability of the whole and the number of examples for a reliability that is asked for. Signal to noise:
the share of components whose mean score is not 0 beyond its standard error over examples. Scores in nats per asked token,
positive promotes the response.

Source: Spearman 1910; Brown 1910.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import t as student

from .. import figures
from ..notebook import notebook_html
from ..statistics import fdr, pearson, spearman, spearman_brown, times_needed, top_overlap
from .agreement import KINDS, Kind
from .scores import Attribution, AttributionError

if TYPE_CHECKING:
    import plotly.graph_objects as go

Measure = Literal["pearson", "spearman"]
MEASURES: tuple[Measure, Measure] = ("pearson", "spearman")
MIN_EXAMPLES = 4
FALSE_DISCOVERIES = 0.05
"""The expected share of false ones among the components that `KindReliability.discovered` counts."""

_AT_A_TIME = 2**21  # numbers a side (16 MB)


@dataclass(frozen=True, eq=False)
class KindReliability:
    """Reliability of one kind's scores.

    Attributes:
        n: components measured.
        half: examples in each half.
        curve: columns examples, measure ("pearson", "spearman", "overlap"), value, low, high: the correlation, or the share of
            the top `k` in common, between two disjoint random subsets of so many examples; mean and middle 95 % over draws,
            which is how much depends on the division, not a confidence interval.
        whole: reliability of all examples, by each correlation; None where halves do not agree (r ≤ 0, or undefined).
        k: size of the top that "overlap" counts, by A: 1 % of the components, at least 10, at most half of them.
        beyond_two: share of components whose mean differs from 0 by more than 2 standard errors over examples.
        beyond_two_chance: the same where every true mean is 0 (Student's t).
        discovered: share that differs from 0 at a false discovery rate of 5 % (Benjamini–Hochberg).
    """

    kind: Kind
    n: int
    half: int
    curve: pd.DataFrame
    whole: Mapping[str, float | None]
    k: int
    beyond_two: float
    beyond_two_chance: float
    discovered: float

    def __repr__(self) -> str:
        whole = ", ".join(f"{name} {'none' if own is None else f'{own:.2f}'}" for name, own in self.whole.items())
        return f"KindReliability({self.n:,} {self.kind}, whole: {whole})"

    def between_halves(self, measure: Literal["pearson", "spearman", "overlap"] = "pearson") -> float:
        """The mean over draws; nan where it is undefined."""
        chosen = (self.curve["examples"] == self.half) & (self.curve["measure"] == measure)
        return float(self.curve.loc[chosen, "value"].iloc[0])

    def examples_needed(self, target: float = 0.9, *, measure: Measure = "pearson") -> int | None:
        """Examples for a reliability of `target`, extrapolated from the halves; None where these do not agree (r ≤ 0).

        Raises:
            StatisticsError: a target outside (0, 1).
        """
        times = times_needed(self.between_halves(measure), target)
        return None if math.isnan(times) else max(1, math.ceil(self.half * times - 1e-9))


@dataclass(frozen=True, eq=False)
class Reliability:
    """How far scores depend on the examples; made by `Attribution.split_half`.

    Attributes:
        heads, neurons: one summary a kind; None where no component of it was measured.
        n_examples: examples of the whole.
        draws: random divisions.
    """

    heads: KindReliability | None
    neurons: KindReliability | None
    n_examples: int
    draws: int

    @property
    def curve(self) -> pd.DataFrame:
        """Agreement against the number of examples: kind, examples, measure, value, low, high (see `KindReliability.curve`)."""
        return pd.concat([kind.curve.assign(kind=kind.kind) for kind in self._kinds()], ignore_index=True)

    def table(self) -> pd.DataFrame:
        """One row a measure: kind, measure, value, low, high (middle 95 % of the draws), chance, n (components)."""
        rows = [row for kind in self._kinds() for row in _rows(kind)]
        return pd.DataFrame(rows, columns=["kind", "measure", "value", "low", "high", "chance", "n"])

    def figure(self, *, measure: Measure = "pearson", target: float = 0.9) -> "go.Figure":
        """The correlation between disjoint subsets against their size, with Spearman and Brown's extrapolation."""
        curve = self.curve
        predicted = [line for kind in self._kinds() for line in _predicted(kind, measure, target, self.n_examples)]
        return figures.reliability_curve(
            curve[curve["measure"] == measure],
            pd.DataFrame(predicted, columns=["kind", "examples", "value"]),
            target=target,
            measure=f"{measure.title()}'s correlation",
        )

    def _kinds(self) -> list[KindReliability]:
        return [kind for kind in (self.heads, self.neurons) if kind is not None]

    def __repr__(self) -> str:
        parts = []
        for kind in self._kinds():
            whole = kind.whole["pearson"]
            parts.append(f"{kind.kind} {'none' if whole is None else f'{whole:.2f}'}")
        return f"Reliability({self.n_examples} examples: {', '.join(parts)} (Pearson, whole), {self.draws} draws)"

    def _repr_html_(self) -> str:
        return notebook_html(repr(self), self.table(), figure=self.figure)


def split_half(scores: Attribution, *, draws: int, seed: int) -> Reliability:
    """What `Attribution.split_half` does; see there."""
    n = scores.n_examples
    if n < MIN_EXAMPLES:
        raise AttributionError(f"reliability needs at least {MIN_EXAMPLES} examples, two a half, not {n}: score more of them.")
    if draws < 1:
        raise AttributionError(f"draws is {draws}: divide the examples at least once.")
    order = np.random.default_rng(seed).permuted(np.tile(np.arange(n), (draws, 1)), axis=1)
    kinds = {kind: _reliability(kind, own, order) for kind in KINDS if (own := _measured(scores, kind)).size}
    if not kinds:
        raise AttributionError("no component was measured, so that there is no score whose reliability could be told.")
    return Reliability(kinds.get("heads"), kinds.get("neurons"), n, draws)


def reliability_between(attributions: Sequence[Attribution]) -> pd.DataFrame:
    """How far scores agree between responses elicited with different seeds (one `Attribution` a seed, the same prompts).

    For each kind, over the components measured in all: the correlation of mean scores for every two seeds. What the prompts
    have in common is in all of them, so that this is the part that is due to the sampling of responses alone; `split_half`
    has both.

        runs = [hc.attribute(model, hc.elicit(model, prompts, seed=seed)) for seed in range(4)]
        hc.reliability_between(runs)

    Returns:
        One row for each kind and measure: kind, measure ("pearson", "spearman"), mean, lowest, highest (over pairs), pairs,
        mean_of_all (reliability of the mean over all seeds, by Spearman and Brown; nan where the mean is not positive), n
        (components), matrix (the correlations, seed × seed).

    Raises:
        AttributionError: fewer than two, scores of different models, or no component measured in all.
    """
    if len(attributions) < 2:
        raise AttributionError(f"agreement between seeds needs at least two attributions, not {len(attributions)}.")
    rows = []
    for kind in KINDS:
        means = [np.asarray(getattr(scores, kind), dtype=np.float64) for scores in attributions]
        shapes = sorted({mean.shape for mean in means})
        if len(shapes) > 1:
            raise AttributionError(f"the scores are not of one model: {kind} have the shapes {shapes}.")
        flat = np.stack([mean.ravel() for mean in means])
        flat = flat[:, ~np.isnan(flat).any(0)]
        if flat.size:
            rows += [_between(kind, measure, flat) for measure in MEASURES]
    if not rows:
        raise AttributionError("no component was measured in all of them, so that there is nothing to compare.")
    return pd.DataFrame(rows)


def _between(kind: Kind, measure: Measure, means: Float[np.ndarray, "seed component"]) -> dict[str, Any]:
    correlate = {"pearson": pearson, "spearman": spearman}[measure]
    matrix = np.array([[float(correlate(a, b)) for a in means] for b in means])
    pairs = [matrix[i, j] for i, j in combinations(range(len(means)), 2)]
    mean = float(np.mean(pairs))
    return {
        "kind": kind, "measure": measure, "mean": mean, "lowest": min(pairs), "highest": max(pairs), "pairs": len(pairs),
        "mean_of_all": spearman_brown(mean, len(means)), "n": means.shape[1], "matrix": matrix,
    }  # fmt: skip


def _measured(scores: Attribution, kind: Kind) -> Float[np.ndarray, "example component"]:
    each = getattr(scores, f"per_example_{kind}")
    return np.asarray(each[:, scores.measured[kind]], dtype=np.float64)


def _reliability(
    kind: Kind, scores: Float[np.ndarray, "example component"], order: Int[np.ndarray, "draw example"]
) -> KindReliability:
    n_examples, n = scores.shape
    half, k = n_examples // 2, max(1, min(max(10, round(0.01 * n)), n // 2))
    sizes = [*(size for size in (2**power for power in range(half.bit_length())) if size < half), half]
    curve = pd.DataFrame([row for size in sizes for row in _between_subsets(scores, order, size, k)])
    at_half = curve[curve["examples"] == half].set_index("measure")["value"]
    whole = {name: spearman_brown(float(at_half[name]), n_examples / half) for name in MEASURES}
    p_values, t = _against_zero(scores)
    return KindReliability(
        kind=kind,
        n=n,
        half=half,
        curve=curve,
        whole={name: None if math.isnan(value) else value for name, value in whole.items()},
        k=k,
        beyond_two=float((np.abs(t) > 2).mean()),
        beyond_two_chance=float(2 * student.sf(2, n_examples - 1)),
        discovered=float((fdr(p_values) <= FALSE_DISCOVERIES).mean()),
    )


def _between_subsets(
    scores: Float[np.ndarray, "example component"], order: Int[np.ndarray, "draw example"], size: int, k: int
) -> Iterator[dict[str, Any]]:
    """Agreement of the means over two disjoint subsets of `size` examples, the first ones of each order."""
    statistics = {"pearson": pearson, "spearman": spearman, "overlap": lambda a, b: top_overlap(a, b, k)}
    found: dict[str, list[Any]] = {name: [] for name in statistics}
    step = max(1, _AT_A_TIME // scores.shape[1])
    for start in range(0, len(order), step):
        part = order[start : start + step]
        a, b = (_means(scores, subset) for subset in (part[:, :size], part[:, size : 2 * size]))
        for name, statistic in statistics.items():
            found[name].append(statistic(a, b))
    for name, parts in found.items():
        values = np.concatenate(parts)
        low, high = np.quantile(values, [0.025, 0.975])
        yield {"examples": size, "measure": name, "value": float(values.mean()), "low": float(low), "high": float(high)}


def _means(
    scores: Float[np.ndarray, "example component"], subsets: Int[np.ndarray, "draw some"]
) -> Float[np.ndarray, "draw component"]:
    weights = np.zeros((len(subsets), len(scores)))
    np.put_along_axis(weights, subsets, 1 / subsets.shape[1], axis=1)
    return np.asarray(weights @ scores)


def _against_zero(scores: Float[np.ndarray, "example component"]) -> tuple[np.ndarray, np.ndarray]:
    """Two-sided p-values and t of each mean; a component without any spread differs from 0 exactly where its mean does."""
    mean, error = scores.mean(0), scores.std(0, ddof=1) / len(scores) ** 0.5
    flat = np.ptp(scores, axis=0) == 0
    t = np.divide(mean, error, out=np.where(mean == 0, 0.0, np.copysign(np.inf, mean)), where=~flat)
    return 2 * student.sf(np.abs(t), len(scores) - 1), t


def _rows(kind: KindReliability) -> Iterator[dict[str, Any]]:
    common = {"kind": kind.kind, "n": kind.n}
    for _, row in kind.curve[kind.curve["examples"] == kind.half].iterrows():
        top = row["measure"] == "overlap"
        name = f"overlap of the top {kind.k} between halves" if top else f"{row['measure']} between halves"
        chance = {"chance": kind.k / kind.n} if top else {}
        yield {**common, "measure": name, "value": row["value"], "low": row["low"], "high": row["high"], **chance}
    for measure in MEASURES:
        yield {**common, "measure": f"{measure}, all examples", "value": kind.whole[measure]}
    for measure in MEASURES:
        yield {**common, "measure": f"examples for {measure} 0.9", "value": kind.examples_needed(measure=measure)}
    beyond = {"value": kind.beyond_two, "chance": kind.beyond_two_chance}
    yield {**common, "measure": "share beyond 2 standard errors", **beyond}
    yield {**common, "measure": "share at 5 % false discoveries", "value": kind.discovered}


def _predicted(kind: KindReliability, measure: Measure, target: float, n_examples: int) -> list[tuple[str, float, float]]:
    """Spearman and Brown's line from the halves to twice the examples, or to the target where that is further."""
    r = kind.between_halves(measure)
    if not r > 0:
        return []
    needed = kind.examples_needed(target, measure=measure) or 0
    last = max(2 * n_examples, min(needed, 64 * n_examples))
    return [(kind.kind, size, spearman_brown(r, size / kind.half)) for size in np.geomspace(kind.half, last, 40)]
