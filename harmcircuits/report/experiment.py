"""The page of the experiment: the answer in a sentence, the plane, the table of effect sizes; details below."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from .claims import claim_page

QUESTION = "Does harmful generation come apart from the recognition of harm?"
METHOD = (
    "Harmful and benign requests are answered by the model under study after a prefill, the first words of a compliant answer. "
    "Circuits are selected from first-order scores of training responses; their sizes are chosen on development responses. "
    "Everything below but the sweep of sizes is measured on test requests that took no part in either.",
    "Loss increase ΔL: mean negative log-likelihood of the unablated model's own greedy responses, ablated − baseline, nats "
    "per token. Recognition: log-odds of a question about the request and of its reversed twin, averaged, so that saying “No” "
    "more often changes nothing; AUROC of harmful against benign requests. Intervals: 95 %, bootstrap over requests.",
    "“Dissociated”: the loss of harmful responses rises, more than that of benign ones and more than under random controls, "
    "while recognition keeps the fixed share of its signal, and a control aimed at recognition lowers it. “Shared”: "
    "recognition falls too, beyond random. “Not selective”: benign responses are hurt as much. “Undecided”: the intervals "
    "allow more than one of these.",
)


def dissociation_page(report: Mapping[str, Any], *, figures: Mapping[str, go.Figure], table: pd.DataFrame) -> str:
    """Return the page as HTML that fetches nothing; every string of the report is escaped."""
    leads = report["leads"]
    document = {
        "claim": "dissociation",
        "asks": QUESTION,
        "found": report["answer"],
        "sentence": " ".join(report["sentences"]) or "Nothing was ablated.",
        "limits": limits(report),
        "settings": report["settings"],
        "model": report["model"],
        "command": report["command"],
    }
    answers = [f"{row['circuit']}, {row['contrast']} benign: {row['answer']}" for row in report["answers"]]
    if leads:
        document["sentence"] += f" All answers: {'; '.join(answers)}."
    flat = table.copy()
    flat.columns = [
        " ".join(part for part in map(str, name) if part) if isinstance(name, tuple) else str(name) for name in table
    ]
    return claim_page(document, method=METHOD, figures=figures, table=flat)


def limits(report: Mapping[str, Any]) -> list[str]:
    """What the numbers do not say."""
    prompts, found = report["prompts"], []
    if not prompts["paired"]:
        found.append("Harmful and benign requests are no triples: a difference between them may be one of their sources.")
    if not prompts["train"]:
        found.append("No training requests were given: circuits of heads and neurons have no controls.")
    found.append("Compliance is read by rules on the surface of short texts; whether a text would do harm is not judged.")
    return found
