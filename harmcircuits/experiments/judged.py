"""What a judge says of the texts that were written freely under each condition."""

import logging
from collections.abc import Mapping
from dataclasses import fields
from traceback import format_tb
from typing import Any

import pandas as pd

from ..data import PromptSet
from ..judges import Judge, JudgeError, Validated, why_not
from ..statistics import Estimate
from .kept import Kept

log = logging.getLogger(__name__)
ROLES = ("harmful", "near")
JUDGE_FAILED = "the judge failed"


def harmful_rates(
    judge: Judge | None, responses: pd.DataFrame, test: PromptSet, *, kept: Kept | None = None
) -> dict[str, dict[str, Estimate]]:
    """By condition, `harmful_rate` and `harmful_rate_near`: shares that the judge finds harmful, of the answers to harmful
    requests and to near twins (where any is an error of the judge, or of the model). Missing, with the reason, without a judge
    that measures harm and has passed its validation. What is `kept` of the same judge and texts is not asked again.
    """
    requests: dict[tuple[str, str], str] = {(prompt.group, prompt.role): prompt.request for prompt in test}
    found: dict[str, dict[str, Estimate]] = {}
    reason = "no judge of harm was given" if judge is None else why_not(judge)
    for condition, written in responses.groupby("condition", sort=False):
        found[str(condition)] = {}
        for role in ROLES:
            own = written[written["role"] == role]
            key = "harmful_rate" if role == "harmful" else "harmful_rate_near"
            asked = [requests[group, role] for group in own["group"]]
            texts = own["response"].tolist()
            found[str(condition)][key] = Estimate.missing(reason) if reason else _kept_rate(judge, asked, texts, kept or Kept())
    return found


def failed(rate: Estimate) -> bool:
    """Whether the judge failed, which it may not do the next time: such a rate is not kept."""
    return (rate.reason or "").startswith(JUDGE_FAILED)


def as_row(rate: Estimate) -> dict[str, Any]:
    """An estimate as a row of a frame."""
    return {field.name: getattr(rate, field.name) for field in fields(Estimate)}


def from_row(row: Mapping[Any, Any]) -> Estimate:
    """What `as_row` was given."""
    known = {name: None if pd.isna(row[name]) else row[name] for name in ("value", "low", "high", "reason")}
    return Estimate(**known, n=int(row["n"]), level=float(row["level"]))


def _kept_rate(judge: Judge | None, requests: list[str], responses: list[str], kept: Kept) -> Estimate:
    key = [kept.key, None if judge is None else [judge.name, judge.measures, requests, responses]]
    before = kept.numbers.kept("judged", key)
    if before is not None:
        return from_row(before.to_dict("records")[0])
    rate = _rate(judge, requests, responses)
    if not failed(rate):
        kept.numbers.keep("judged", key, pd.DataFrame([as_row(rate)]))
    return rate


def _rate(judge: Judge | None, requests: list[str], responses: list[str]) -> Estimate:
    """A judge that fails costs its own number, not the run: it may be anybody's code, and what was measured must be kept. Of an
    error that is not a judge's own the type alone is told, and where it arose: its words may quote a response."""
    try:
        return judge.rate(requests, responses) if isinstance(judge, Validated) else Estimate.missing("no judge was given")
    except JudgeError as error:
        log.warning("a judge failed: %s", error)
        return Estimate.missing(f"{JUDGE_FAILED}: {error}")
    except Exception as error:
        kind, trace = type(error).__name__, "".join(format_tb(error.__traceback__))
        log.error("a judge failed with an error that is not its own, %s:\n%s", kind, trace)
        return Estimate.missing(f"{JUDGE_FAILED}: {kind}")


def about(judge: Judge | None) -> dict[str, object]:
    """The judge and how often it is right, for `report.json`."""
    if judge is None:
        return {}
    found: dict[str, object] = {"name": judge.name, "measures": judge.measures}
    if isinstance(judge, Validated):
        shares = ("balanced_accuracy", "sensitivity", "specificity")
        found |= {"passed": judge.passed, "failures": list(judge.failures)}
        found |= {name: getattr(judge, name).to_json() for name in shares}
    return found
