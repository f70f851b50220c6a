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
_INDEX = Column("dissociation index", "", "dissociation.index", True)
_P = Column("p", "", "dissociation.p_value")

KEY_NUMBERS = (
    _SELECTIVITY,
    _RETAINED_HARMFUL,
    _RETAINED_TWIN,
    Column("recognition, question in place", "AUROC", _IN_PLACE.path),
    Column("recognition, probe in place", "AUROC", _PROBE.path),
    Column("recognition, probe at the request", "AUROC", _REQUEST.path),
    Column("recognition, many-shot", "AUROC", _AUROC.path),
    _INDEX,
    Column("p of the dissociation", "", _P.path),
)
"""What stands first for each circuit."""

TABLES = {
    "Writing and recognising, by condition": (
        _HARMFUL, _NEAR, _FAR, _SELECTIVITY, _RETAINED_HARMFUL, _RETAINED_TWIN, _IN_PLACE, _PROBE, _REQUEST, _AUROC,
    ),
    "Writing in detail, by condition": (
        Column("KL", "nats/token", "generation.kl"),
        Column("on task", "rate", "generation.on_task_rate"),
        Column("refusal", "rate", "generation.refusal_rate"),
        Column("degenerate", "rate", "generation.degenerate_rate"),
        Column("judged harmful", "rate", "generation.harmful_rate"),
        Column("utility: rise", "nats/token", "utility.nll_rise", True),
    ),
    "Recognition in detail, by condition": (
        Column("accuracy", "", "recognition.accuracy"),
        Column("accuracy in place", "", "recognition.accuracy_in_place"),
        Column("retained recognition", "of intact", "recognition.retained"),
        Column("explanation", "score", "explanation.score"),
        Column("refuses harmful", "rate", "refusal.harmful_rate"),
        Column("refuses benign", "rate", "refusal.benign_rate"),
        _INDEX,
        _P,
    ),
}  # fmt: skip
"""Caption: columns, one row a condition."""
