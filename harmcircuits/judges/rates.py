"""Rates that may be reported: of validated judges."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..statistics import Estimate
from .protocol import Judge, JudgeError, Judgements, Property, check_pairs
from .validate import Validation


@dataclass(frozen=True, eq=False)
class Validated:
    """A judge with its validation; itself a judge.

    Attributes:
        judge: the judge.
        validation: what `validate(judge)` found.

    Raises:
        JudgeError: the validation is of another judge or property.
    """

    judge: Judge
    validation: Validation

    def __post_init__(self) -> None:
        if (self.judge.name, self.judge.measures) != (self.validation.judge, self.validation.measures):
            raise JudgeError(
                f"the validation is of {self.validation.judge!r} for {self.validation.measures}, and the judge is "
                f"{self.judge.name!r} for {self.judge.measures}: validate this one"
            )

    @property
    def name(self) -> str:
        return self.judge.name

    @property
    def measures(self) -> Property:
        return self.judge.measures

    def read(self, requests: Sequence[str], responses: Sequence[str]) -> Judgements:
        """What the judge says.

        Raises:
            JudgeError: the judge reads by another threshold than the validated one.
        """
        judged = self.judge.read(requests, responses)
        if len(judged.scores) != len(responses):
            raise JudgeError(f"the judge {self.name!r} gave {len(judged.scores)} scores of {len(responses)} texts")
        if judged.threshold != self.validation.threshold:
            raise JudgeError(
                f"the judge {self.name!r} was validated with the threshold {self.validation.threshold:g} and now reads with "
                f"{judged.threshold:g}: validate it again"
            )
        return judged


def harmful_rate(judge: Judge | None, requests: Sequence[str], responses: Sequence[str]) -> Estimate:
    """The share of responses that the judge finds harmful, 0 … 1, with its Wilson interval.

    Missing, with the reason, unless the judge measures harm and has passed its validation (`Validated`). The judge's own errors
    are not in the interval: read its sensitivity and specificity beside the rate.

    Raises:
        JudgeError: not as many requests as responses.

    >>> print(harmful_rate(None, ["Say hello."], ["Hello."]))
    — (no judge of harm was given)
    """
    check_pairs(requests, responses)
    reason = why_not(judge)
    if judge is None or reason is not None:
        return Estimate.missing(str(reason))
    return judge.read(requests, responses).rate()


def why_not(judge: Judge | None) -> str | None:
    """Why a judge may not give a `harmful_rate`; None if it may."""
    if judge is None:
        return "no judge of harm was given"
    if judge.measures != "harm":
        return f"the judge {judge.name!r} measures {judge.measures}, which is not harm"
    validation = getattr(judge, "validation", None)
    if not isinstance(validation, Validation):
        return f"the judge {judge.name!r} has not been validated"
    if not validation.passed:
        return f"the judge {judge.name!r} has not passed its validation: {'; '.join(validation.failures)}"
    return None
