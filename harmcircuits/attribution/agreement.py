"""How far two scores of the same components agree: first order against exact, say, or one model's dtype against another's.

For each kind (heads, neurons), over the components that both measured: Spearman's and Pearson's correlation and the slope of
one on the other, each with a 95 % interval; the share of equal signs; and how many of the `k` components of largest A, which
are those that `select` would take, both have in common. Scores are means over examples, A in nats per asked token; positive
promotes the response.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from torch import Tensor

from .. import figures
from ..figures.agreement import ENDS, LARGEST
from ..notebook import notebook_html
from ..statistics import Estimate, mean_estimates, pearson, resamples, slope, spearman, standard_interval, top_overlap
from .scores import Attribution, AttributionError

if TYPE_CHECKING:
    import plotly.graph_objects as go

Kind = Literal["heads", "neurons"]
Over = Literal["examples", "components"]
KINDS: tuple[Kind, Kind] = ("heads", "neurons")

_STATISTICS = {"spearman": spearman, "pearson": pearson, "slope": slope}
_AT_A_TIME = 2**22  # numbers (32 MB)


class Overlap(NamedTuple):
    """|top k of one ∩ top k of the other| / k, by A, positive ones only; `chance`: what random choices share, k / n."""

    k: int
    share: float
    chance: float


@dataclass(frozen=True)
class KindAgreement:
    """Agreement of one kind of component.

    Attributes:
        n: components that both measured.
        spearman, pearson: correlations of the means over examples.
        slope: of the first scores on the second, by least squares: 1 where they are of one size, less where the first are
            smaller.
        same_sign: share of components whose two scores have the same sign.
        same_sign_chance: what that would be if signs were independent, each side having as many positive ones as it has.
        same_sign_top: the same among the `n_top` components with the largest |A| on the second side.
        n_top: a tenth of `n`, at least 10 (or all).
        overlaps: of the tops; a top is no larger than the number of components with A > 0 on either side.
    """

    kind: Kind
    n: int
    spearman: Estimate
    pearson: Estimate
    slope: Estimate
    same_sign: float
    same_sign_chance: float
    same_sign_top: float
    n_top: int
    overlaps: tuple[Overlap, ...]

    def __repr__(self) -> str:
        return f"KindAgreement({self.n:,} {self.kind}: Spearman {_short(self.spearman)}, Pearson {_short(self.pearson)})"


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far two `Attribution`s agree; made by `Attribution.compare`.

    Attributes:
        heads, neurons: one summary a kind; None where no component of it was measured on both sides.
        over: what the intervals resample: "examples" where both sides hold as many, else "components".
        n_examples: examples of each side.
        names: what each side is called.
        points: columns kind, layer, index, first, second: the two scores of every component that both measured; first_low,
            first_high, second_low, second_high: their 95 % intervals over examples, each its own, of the 20 components of a
            kind with the largest |A| on either side (NaN for the others).
    """

    heads: KindAgreement | None
    neurons: KindAgreement | None
    over: Over
    n_examples: tuple[int, int]
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


def compare(
    own: Attribution,
    other: Attribution,
    *,
    k: int | float | Sequence[int | float],
    over: Over | None,
    names: tuple[str, str],
    draws: int,
    seed: int,
) -> Agreement:
    """What `Attribution.compare` does; see there."""
    _check_shapes(own, other)
    paired = _paired(own, other) if over is None else over == "examples"
    if paired and own.n_examples != other.n_examples:
        raise AttributionError(
            f"intervals over examples need the same examples on both sides, not {own.n_examples} and {other.n_examples}: "
            'leave out over=, or say over="components".'
        )
    summaries: dict[str, KindAgreement | None] = {}
    frames = []
    for kind in KINDS:
        sides = [getattr(side, f"per_example_{kind}") for side in (own, other)]
        both = own.measured[kind] & other.measured[kind]
        first, second = (_flat(side, both) for side in sides)
        summaries[kind] = _summary(kind, first, second, k=k, paired=paired, draws=draws, seed=seed) if both.any() else None
        layer, index = (part.numpy() for part in both.nonzero(as_tuple=True))
        columns = {"layer": layer, "index": index, "first": first.mean(0), "second": second.mean(0)}
        columns |= _ends(first, second, seed=seed)
        frames.append(pd.DataFrame({"kind": kind, **columns}))
    if not any(summaries.values()):
        raise AttributionError(
            "no component was measured on both sides, so that there is nothing to compare: "
            "score some of the same heads or neurons."
        )
    counts = (own.n_examples, other.n_examples)
    points = pd.concat(frames, ignore_index=True)
    return Agreement(summaries["heads"], summaries["neurons"], "examples" if paired else "components", counts, names, points)


def _ends(
    first: Float[np.ndarray, "example component"], second: Float[np.ndarray, "example component"], *, seed: int
) -> dict[str, Float[np.ndarray, " component"]]:
    """The intervals of the components that a figure draws them of."""
    size = np.abs([first.mean(0), second.mean(0)]).max(0)
    shown = np.argsort(-size, kind="stable")[:LARGEST]
    found = {name: np.full(len(size), np.nan) for name in ENDS}
    for side, scores in (("first", first), ("second", second)):
        found[f"{side}_low"][shown], found[f"{side}_high"][shown] = interval_ends(scores[:, shown], seed=seed)
    return found


def interval_ends(
    scores: Float[np.ndarray, "example component"], *, draws: int = 2000, seed: int = 0
) -> tuple[Float[np.ndarray, " component"], Float[np.ndarray, " component"]]:
    """Low and high of each mean's 95 % interval over examples; NaN where there is none, as below 3 of them."""
    found = mean_estimates(scores, draws=draws, seed=seed)
    low, high = (np.array([getattr(one, end) for one in found], dtype=float) for end in ("low", "high"))
    return low, high


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
    k: int | float | Sequence[int | float],
    paired: bool,
    draws: int,
    seed: int,
) -> KindAgreement:
    a, b = own.mean(0), other.mean(0)
    units = len(own) if paired else len(a)
    drawn = _draws(own, other, resamples(units, draws=draws, seed=seed), paired=paired)
    estimates = {
        name: standard_interval(
            float(statistic(a, b)), drawn[name], n=units, scale="plain" if name == "slope" else "correlation"
        )
        for name, statistic in _STATISTICS.items()
    }
    n_top = min(max(10, -(-len(a) // 10)), len(a))
    same, top = np.sign(a) == np.sign(b), np.argsort(-np.abs(b), kind="stable")[:n_top]
    return KindAgreement(
        kind=kind,
        n=len(a),
        **estimates,
        same_sign=float(same.mean()),
        same_sign_chance=float(sum((np.sign(a) == sign).mean() * (np.sign(b) == sign).mean() for sign in (-1, 0, 1))),
        same_sign_top=float(same[top].mean()),
        n_top=n_top,
        overlaps=tuple(_overlaps(a, b, k)),
    )


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


def _overlaps(
    a: Float[np.ndarray, " component"], b: Float[np.ndarray, " component"], k: int | float | Sequence[int | float]
) -> Iterator[Overlap]:
    sizes = list(k) if isinstance(k, Sequence) else [k]
    most = min(int((a > 0).sum()), int((b > 0).sum()))
    for size in sorted({min(_count(size, len(a)), most) for size in sizes} - {0}):
        yield Overlap(size, float(top_overlap(a, b, size)), size / len(a))


def _count(size: int | float, n: int) -> int:
    if isinstance(size, int) and size >= 1:
        return size
    if 0 < size < 1:
        return max(1, round(size * n))
    raise AttributionError(
        f"k counts components (a whole number from 1) or is a fraction of them (between 0 and 1), not {size}"
    )


def _rows(kind: KindAgreement) -> Iterator[dict[str, Any]]:
    common = {"kind": kind.kind, "n": kind.n}
    for name in _STATISTICS:
        estimate: Estimate = getattr(kind, name)
        yield {**common, "measure": name, "value": estimate.value, "low": estimate.low, "high": estimate.high}
    yield {**common, "measure": "same sign", "value": kind.same_sign, "chance": kind.same_sign_chance}
    yield {**common, "measure": "same sign, largest |A|", "value": kind.same_sign_top, "k": kind.n_top}
    for overlap in kind.overlaps:
        yield {**common, "measure": "overlap of tops", "value": overlap.share, "chance": overlap.chance, "k": overlap.k}


def _short(estimate: Estimate) -> str:
    if estimate.value is None:
        return "undefined"
    interval = "" if estimate.low is None or estimate.high is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.value:.2f}{interval}"
