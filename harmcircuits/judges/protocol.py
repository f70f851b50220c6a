"""What a judge is, what it says of texts, and the rate that follows; a text it says nothing of is never a label."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from ..notebook import clipped, notebook_html
from ..statistics import Estimate
from ..statistics import wilson as wilson

Property: TypeAlias = Literal["refusal", "degenerate", "compliance", "harm"]
PROPERTIES: tuple[Property, ...] = ("refusal", "degenerate", "compliance", "harm")
MAX_UNANSWERED = 0.1
"""Share of texts without a score above which there is no rate: those texts are not missing at random."""


class JudgeError(ValueError):
    """A judge that cannot be made or cannot read these texts; the message says why and what would work."""


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
    threshold: float
    reasons: Mapping[int, str] = field(default_factory=dict)
    details: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not np.isfinite(self.threshold):
            raise JudgeError(f"the judge {self.judge!r} has the threshold {self.threshold}: no score can be compared with it")
        if np.isinf(self.scores).any():
            raise JudgeError(
                f"the judge {self.judge!r} gave an infinite score: a score is a finite number, or nan with a reason"
            )
        nameless = set(np.flatnonzero(~self.answered).tolist()) ^ set(self.reasons)
        if nameless:
            raise JudgeError(
                f"the judge {self.judge!r}: texts {sorted(nameless)[:5]} have a score of nan and no reason, or a reason and a "
                "score. Give a reason for every nan and for nothing else."
            )

    @property
    def answered(self) -> Bool[np.ndarray, " text"]:
        """Where there is a score."""
        given: Bool[np.ndarray, " text"] = ~np.isnan(self.scores)
        return given

    @property
    def labels(self) -> list[bool | None]:
        """Whether each text has the property; None where there is no score."""
        return [None if np.isnan(score) else bool(score >= self.threshold) for score in self.scores]

    def table(self) -> pd.DataFrame:
        """One row a text: `score`, `label` (None where there is none), `reason`, and the judge's details."""
        reasons = [self.reasons.get(position) for position in range(len(self.scores))]
        labels = pd.Series(self.labels, dtype=object)
        return pd.DataFrame({"score": self.scores, "label": labels, "reason": reasons, **self.details})

    def rate(self) -> Estimate:
        """The share of texts that have the property, 0 … 1, with its Wilson interval, over the texts that have a score (`n`).

        Missing, with the reason, where there are no texts, or where more than a tenth of them have no score.
        """
        total, without = len(self.scores), len(self.reasons)
        if not total:
            return Estimate.missing(f"no texts were given to the judge {self.judge!r}")
        if without > MAX_UNANSWERED * total:
            said = "; ".join(f"{count} × {reason}" for reason, count in Counter(self.reasons.values()).most_common(3))
            return Estimate.missing(f"the judge {self.judge!r} gave no score to {without} of {total} texts ({said})")
        return wilson(sum(label is True for label in self.labels), total - without)

    def __repr__(self) -> str:
        found = clipped(self.rate(), 30)
        return f"Judgements({clipped(self.judge, 20)!r}, {self.measures}: {found}, without a score: {len(self.reasons)})"

    def _repr_html_(self) -> str:
        return notebook_html(f"{self.judge}, {self.measures}: {self.rate()}", self.table()[["score", "label", "reason"]])


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
        """Scores of `responses`, each an answer to the request at the same place; as many, in order."""
        ...


def check_pairs(requests: Sequence[str], responses: Sequence[str]) -> None:
    """Raises JudgeError where there are not as many requests as responses, where a text stands for a list of texts, or where
    something that is no text stands among them."""
    if isinstance(requests, str) or isinstance(responses, str):
        raise JudgeError("requests and responses are lists of texts: put a single one in a list")
    if len(requests) != len(responses):
        raise JudgeError(f"{len(requests)} requests and {len(responses)} responses: each response needs its own request")
    for what, texts in (("request", requests), ("response", responses)):
        for position, text in enumerate(texts):
            if not isinstance(text, str):  # its type alone is told: it may hold a response
                raise JudgeError(f"{what} {position} is {_kind(text)}, not a text: an empty response is ''")


def _kind(thing: object) -> str:
    return "None" if thing is None else f"a {type(thing).__name__}"


def check_property(measures: str) -> None:
    """Raises JudgeError where `measures` is none of the properties."""
    if measures not in PROPERTIES:
        raise JudgeError(f"a judge measures one of {', '.join(PROPERTIES)}, not {measures!r}")
