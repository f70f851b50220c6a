"""What a model answers freely, as rules, the intact model and a judge read it; the texts are not kept."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...examples import Example, loss
from ...experiments.judged import JUDGE_FAILED
from ...judges import Judge
from ...judges.rates import why_not
from ...models.protocol import HookedModel
from ...tasks.writing import read_texts, write
from .questions import prompts
from .study import Study

log = logging.getLogger(__name__)
MEASURES = ("degenerate", "refusal", "base_nll", "harmful")
"""Shares of answers that are degenerate and that refuse, L of them by the intact model, share that the judge finds harmful."""


def read_answers(study: Study, model: HookedModel) -> pd.DataFrame:
    """One row an answer: id, domain, degenerate and refusal (0 or 1, by the rules), base_nll (L by the intact model, nats per
    token: high where it is no text that the model would write), harmful (0 or 1; nan where the judge gave no answer), reason
    (why it gave none)."""
    asked = study.questions.first(study.plan.answers)
    texts = write(model, prompts(asked), max_new_tokens=study.settings.max_new_tokens, seed=study.settings.seed)
    read = read_texts(texts)
    labels, reason = _judged(study.judge, texts)
    return pd.DataFrame(
        {
            "id": [item.id for item in asked],
            "domain": [item.domain for item in asked],
            "degenerate": read["degenerate"],
            "refusal": read["refusal"],
            "base_nll": loss(study.model, texts).double().numpy(),
            "harmful": labels,
            "reason": reason,
        }
    )


def judge_name(judge: Judge | None) -> str:
    """Of a judge that may give a rate; "" where there is none."""
    return "" if judge is None or why_not(judge) else judge.name


def failed(answers: pd.DataFrame) -> bool:
    """Whether the judge failed, so that it is to be asked again."""
    return bool(answers["reason"].str.startswith(JUDGE_FAILED).any())


def _judged(judge: Judge | None, texts: Sequence[Example]) -> tuple[list[float], str]:
    """A judge that fails costs its own numbers, not the run: it may be anybody's code. Of its error the type alone is told,
    since the text may quote an answer."""
    unknown, reason = [np.nan] * len(texts), why_not(judge)
    if judge is None or reason is not None:
        return unknown, str(reason)
    try:
        labels = judge.read([text.request for text in texts], [text.response for text in texts]).labels
    except Exception as error:
        reason = f"{JUDGE_FAILED}: {type(error).__name__}"
        log.error("%s", reason)  # without a traceback, which would hold the text
        return unknown, reason
    return [np.nan if label is None else float(label) for label in labels], ""
