"""What a judge is, what it says of texts, and how far two judges agree; a text without a score is never a label."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..results import clipped
from ..statistics import Estimate, from_draws, resamples, wilson

Property: TypeAlias = Literal["refusal", "degenerate", "compliance", "harm"]
MAX_UNANSWERED = 0.1
"""Share of texts without a score above which there is no rate: those texts are not missing at random."""


class JudgeError(ValueError):
    """A judge that cannot be loaded, or cannot read these texts; the message says why and what would work."""


@dataclass(frozen=True, eq=False)
class Judgements:
    """What one judge says of some texts.

    Attributes:
        judge: its name.
        measures: the property that it measures.
        scores: float64 [text]; higher means more of the property; nan where the judge gave none, which is no label.
        threshold: a text has the property, by this judge, if its score is at least this.
        reasons: why there is no score, by the position of the text; a key for every nan.
        details: further columns of the judge, one value a text (never the text itself).

    Raises:
        JudgeError: an infinite score, a nan without a reason, a reason beside a score, or a threshold that is no number.
    """

    judge: str
    measures: Property
    scores: Float[np.ndarray, " text"]
    threshold: float = 0.5
    reasons: Mapping[int, str] = field(default_factory=dict)
    details: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not np.isfinite(self.threshold) or np.isinf(self.scores).any():
            raise JudgeError(f"the judge {self.judge!r}: scores and threshold are finite; a score may be nan, with a reason")
        if unexplained := set(np.flatnonzero(np.isnan(self.scores)).tolist()) ^ set(self.reasons):
            texts = sorted(unexplained)[:5]
            raise JudgeError(f"the judge {self.judge!r}: give a reason for every nan and for nothing else (texts {texts})")

    @property
    def labels(self) -> list[bool | None]:
        """Whether each text has the property; None where there is no score."""
        return [None if np.isnan(score) else bool(score >= self.threshold) for score in self.scores]

    def table(self) -> pd.DataFrame:
        """Return one row a text: `score`, `label` (None where there is none), `reason`, and the judge's details."""
        reasons = [self.reasons.get(position) for position in range(len(self.scores))]
        labels = pd.Series(self.labels, dtype=object)
        return pd.DataFrame({"score": self.scores, "label": labels, "reason": reasons, **self.details})

    def rate(self) -> Estimate:
        """Return the share of texts that have the property, 0 … 1, with Wilson's interval, over the texts that have a score.

        Missing, with the reason, where there are no texts, or where more than a tenth of them have no score.
        """
        total, without = len(self.scores), len(self.reasons)
        if not total:
            return Estimate.missing(f"no texts were given to the judge {self.judge!r}")
        if without > MAX_UNANSWERED * total:
            reasons = "; ".join(f"{count} × {reason}" for reason, count in Counter(self.reasons.values()).most_common(3))
            return Estimate.missing(f"the judge {self.judge!r} gave no score to {without} of {total} texts ({reasons})")
        return wilson(sum(label is True for label in self.labels), total - without)

    def __repr__(self) -> str:
        return f"Judgements({clipped(self.judge, 20)!r}, {self.measures}: {clipped(self.rate(), 30)})"


@runtime_checkable
class Judge(Protocol):
    """Anything that reads responses for one property.

    `name` says all that its scores depend on, as far as a name can: the model, the prompt, the property.
    """

    @property
    def name(self) -> str: ...
    @property
    def measures(self) -> Property: ...
    def read(self, requests: Sequence[str], responses: Sequence[str]) -> Judgements:
        """Return a score for each response, an answer to the request at the same place."""
        ...


def check_pairs(requests: Sequence[str], responses: Sequence[str]) -> None:
    """Raise JudgeError unless requests and responses are lists of texts, one request a response. No text is quoted."""
    if isinstance(requests, str) or isinstance(responses, str):
        raise JudgeError("requests and responses are lists of texts: put a single one in a list")
    if len(requests) != len(responses) or not all(isinstance(text, str) for text in (*requests, *responses)):
        raise JudgeError(f"{len(requests)} requests and {len(responses)} responses: give one text each, '' for an empty one")


def agreement(first: Judgements, second: Judgements) -> dict[str, Estimate]:
    """Return how far two judges agree on the same texts: the share of equal labels, and Cohen's κ (0: as by chance).

    Texts without a score of either are left out.
    """
    pairs = [(a, b) for a, b in zip(first.labels, second.labels, strict=True) if a is not None and b is not None]
    if not pairs:
        missing = Estimate.missing("no text has a score of both judges")
        return {"agreement": missing, "kappa": missing}
    labels = np.array(pairs, dtype=float)
    kappas = _kappa(labels[resamples(len(pairs))])
    kappa = from_draws(float(_kappa(labels[None])[0]), kappas, n=len(pairs))
    return {"agreement": wilson(sum(a == b for a, b in pairs), len(pairs)), "kappa": kappa}


def _kappa(labels: Float[np.ndarray, "draw text 2"]) -> Float[np.ndarray, " draw"]:
    alike, (a, b) = (labels[..., 0] == labels[..., 1]).mean(1), labels.mean(1).T
    chance = a * b + (1 - a) * (1 - b)
    with np.errstate(invalid="ignore"):
        kappa: Float[np.ndarray, " draw"] = (alike - chance) / (1 - chance)
    return kappa
