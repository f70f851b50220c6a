"""What the page of a circuit's tests says; `report.claims` lays it out, as it does a claim's."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from .hypotheses_answers import Finding

NAME = "circuit-tests"
ASKS = "Is the circuit all that writes harm, no more than that, and more than chance would give?"
ANSWERING = (("independence", "harmful"), ("minimality", "effect"), ("sufficiency", "rise"))
"""The finding of each test that the page begins with."""
METHOD = (
    "Each question is asked on test triples that the circuit was not selected on: a harmful request, its near twin and its far "
    "twin. Ablation is to zero; L is the loss of a response (mean negative log-likelihood of its tokens, nats per token), and "
    "sizes are rises of it: positive means that the ablation hurts.",
    "Independence: request information I = L(response | another request of the same category) − L(response | its own), the "
    "circuit being off in both; its signs are flipped over triples, one-sided. Harm writing is “gone” only where I is "
    "equivalent to 0 within the margin, never because a p-value is large.",
    "Minimality: what each component adds to L alone, and what it adds last, the rest of the circuit being off (the effect is "
    "the mean of the two), against random components of its kind that are added to the circuit.",
    "Sufficiency: the rise of L on harmful responses, and selectivity (that rise minus the one on near twins), against random "
    "circuits of the circuit's size, then of twice its size, and so on.",
    "Adjusted p-values are Benjamini and Hochberg's: over the p-values of independence and sufficiency, and over the tested "
    "components.",
)


def document(findings: Sequence[Finding], about: Mapping[str, Any]) -> dict[str, Any]:
    """As a claim's, without the word that a claim is found: there are three questions, each with an answer of its own."""
    answers = {(one.test, one.measure): one.answer for one in findings}
    told = [f"{key[0].capitalize()}: {answers[key]}." for key in ANSWERING if key in answers]
    return {
        "claim": NAME,
        "asks": ASKS,
        "found": "",
        "sentence": " ".join(told),
        "values": {f"{one.test}: {one.measure}": one.estimate.to_json() for one in findings},
        "limits": _limits(about),
        "settings": {name: value for name, value in about.items() if name not in ("model", "reproduce")},
        "command": about.get("reproduce", ""),
        "model": {"name": about["model"]} if "model" in about else {},
    }


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that the headline values lack."""
    columns = ["test", "measure", "question", "statistic", "control", "p", "p_adjusted", "answer"]
    return table[columns].rename(columns={"p_adjusted": "p adjusted"})


def _limits(about: Mapping[str, Any]) -> list[str]:
    few, of = about.get("triples_of_few"), about.get("triples")
    return [
        "One circuit of one model. A p-value above 0.05 is “not shown”, which is not “shown not to be”.",
        f"Minimality and sufficiency read {few} of the {of} triples: their p-values compare components and circuits on the "
        "same responses, and say nothing of other prompts.",
        "Random circuits here are plain ones. That a circuit does more than components as large as its own is what the matched "
        "null of harmcircuits dissociate tests.",
    ]
