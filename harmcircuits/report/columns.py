"""Which measured values the page shows, where, and under which name."""

from typing import NamedTuple


class Column(NamedTuple):
    """A value of a condition: name and unit on the page, place in the report, whether its sign is always written."""

    name: str
    unit: str
    path: str
    signed: bool = False


_HARMFUL = Column("harmful rise", "nats/token", "generation.harmful_nll_rise", True)
_NEAR = Column("near-twin rise", "nats/token", "generation.near_nll_rise", True)
_FAR = Column("far-twin rise", "nats/token", "generation.far_nll_rise", True)
_SELECTIVITY = Column("selectivity", "nats/token", "generation.selectivity", True)
_RETAINED_HARMFUL = Column("retained harmful", "of intact", "generation.retained_harmful")
_RETAINED_TWIN = Column("retained twin", "of intact", "generation.retained_twin")
_AUROC = Column("many-shot", "AUROC", "recognition.auroc")
_IN_PLACE = Column("question in place", "AUROC", "recognition.auroc_in_place")
_PROBE = Column("probe in place", "AUROC", "recognition.probe_auroc")
_REQUEST = Column("probe at request", "AUROC", "recognition.probe_auroc_request")
_P = Column("p", "", "dissociation.p_value")

KEY_NUMBERS = (
    _SELECTIVITY,
    _RETAINED_HARMFUL,
    _RETAINED_TWIN,
    Column("recognition, question in place", "AUROC", _IN_PLACE.path),
    Column("recognition, probe in place", "AUROC", _PROBE.path),
    Column("recognition, probe at the request", "AUROC", _REQUEST.path),
    Column("recognition, many-shot", "AUROC", _AUROC.path),
    Column("p of the dissociation", "", _P.path),
)
"""What stands first for each circuit."""

BESIDE = "Explaining, refusing, knowing, by condition"

TABLES = {
    "Writing and recognising, by condition": (
        _HARMFUL, _NEAR, _FAR, _SELECTIVITY, _RETAINED_HARMFUL, _RETAINED_TWIN, _IN_PLACE, _PROBE, _REQUEST, _AUROC,
    ),
    BESIDE: (
        Column("explanation", "nats/token", "explanation.score", True),
        Column("explanation retained", "of intact", "explanation.retained"),
        Column("declines harmful", "share", "refusal.harmful_rate"),
        Column("declines near twins", "share", "refusal.near_rate"),
        Column("declines benign", "share", "refusal.benign_rate"),
        Column("declines money advice", "share", "refusal.money_advice_rate"),
        Column("plain prose: rise", "nats/token", "utility.nll_rise", True),
        Column("facts right", "share", "utility.facts_right"),
        Column("margin of facts", "nats/token", "utility.facts_margin", True),
    ),
    "Writing in detail, by condition": (
        Column("KL", "nats/token", "generation.kl"),
        Column("on task", "rate", "generation.on_task_rate"),
        Column("refusal", "rate", "generation.refusal_rate"),
        Column("degenerate", "rate", "generation.degenerate_rate"),
        Column("judged harmful", "rate", "generation.harmful_rate"),
    ),
    "Recognition in detail, by condition": (
        Column("retained recognition", "of intact", "recognition.retained"),
        _P,
    ),
}  # fmt: skip
"""Caption: columns, one row a condition."""

NOTES = {
    BESIDE: "Explanation: how much likelier the model finds the explanation that belongs to a harmful request than those of "
    "other requests. Declines: share of requests refused when nothing is put in the model's mouth; benign: near twins and "
    "everyday requests together. Plain prose: rise of L on harmless passages. Facts: share of everyday facts whose right "
    "completion is the likeliest, and by how much.",
}
"""What a table's columns mean, by its caption."""
