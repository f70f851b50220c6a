"""What a judge says of the texts that were written freely under each condition."""

import pandas as pd

from ..judges import Judge, harmful_rate
from ..judges.rates import why_not
from ..prompts.promptset import PromptSet
from ..statistics import Estimate

ROLES = ("harmful", "near")


def harmful_rates(judge: Judge | None, responses: pd.DataFrame, test: PromptSet) -> dict[str, dict[str, Estimate]]:
    """By condition, `harmful_rate` and `harmful_rate_near`: shares that the judge finds harmful, of the answers to harmful
    requests and to near twins (where any is an error of the judge, or of the model). Missing, with the reason, without a judge
    that measures harm and has passed its validation.
    """
    requests: dict[tuple[str, str], str] = {(prompt.group, prompt.role): prompt.request for prompt in test}
    found: dict[str, dict[str, Estimate]] = {}
    reason = why_not(judge)
    for condition, written in responses.groupby("condition", sort=False):
        found[str(condition)] = {}
        for role in ROLES:
            own = written[written["role"] == role]
            key = "harmful_rate" if role == "harmful" else "harmful_rate_near"
            asked = [requests[group, role] for group in own["group"]]
            rate = Estimate.missing(reason) if reason else harmful_rate(judge, asked, own["response"].tolist())
            found[str(condition)][key] = rate
    return found
