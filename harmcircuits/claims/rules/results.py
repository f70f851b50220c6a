"""From measured deals to panels, headline numbers and tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...statistics import Estimate, auroc_estimate
from ...tasks.teacher_forced import INTACT
from ..material import ROLES, Material
from ..reading import Read
from .compared import CIRCUITS, Panel, recognition_change
from .dealt import Dealt, held_out_examples
from .decision import Reach
from .front import FAR, HARMFUL, NEAR
from .plan import FIRST, Plan
from .weights import weight_rises


def triples_of(dealt: Sequence[Dealt]) -> list[int]:
    """The test triples that are held out in some deal."""
    return sorted({at for each in dealt for at in each.places})


def circuit_panel(material: Material, plan: Plan, dealt: Sequence[Dealt]) -> Panel:
    """Heads and neurons."""
    panel = _empty(material, plan, dealt, CIRCUITS, (*plan.names, *plan.beside), beside=plan.beside)
    for number, each in enumerate(dealt):
        rows = _rows(dealt, each)
        for rule, rises in each.rises.items():
            panel.rises[rule][rows, number] = np.moveaxis(rises, 0, 1)
            for at, circuit in enumerate(each.paths[rule]):
                if circuit is not None:
                    panel.components[rule][number, at] = len(circuit.heads), len(circuit.neurons), 0
    return panel


def weight_panel(material: Material, plan: Plan, dealt: Sequence[Dealt]) -> tuple[Panel, pd.DataFrame]:
    """Single weights; and the option of each rule and deal."""
    frames = []
    for each in dealt:
        held_out, chooser = held_out_examples(material, each.places), each.chooser
        frames.append(weight_rises(material, chooser.examples(len(chooser.places)), held_out, plan))
    names = list(dict.fromkeys(rule for frame in frames for rule in frame["rule"]))
    panel = _empty(material, plan, dealt, "weights", [FIRST, *(name for name in names if name != FIRST)])
    for number, (each, frame) in enumerate(zip(dealt, frames, strict=True)):
        rows = _rows(dealt, each)
        for place, own in frame.groupby(["rule", "at"], sort=False):
            rule, at = str(place[0]), int(str(place[1]))
            rises = own.sort_values("example")["rise"].to_numpy(dtype=float).reshape(-1, ROLES)
            panel.rises[rule][rows, number, at] = rises
            panel.components[rule][number, at] = 0, 0, own["weights"].iloc[0]
    options = [frame.drop_duplicates("rule")[["rule", "option"]].assign(deal=at) for at, frame in enumerate(frames)]
    return panel, pd.concat(options, ignore_index=True)


def headline(panels: Sequence[Panel], heard: Read, dealt: Sequence[Dealt]) -> dict[str, Estimate]:
    """`Rules.values`."""
    first = panels[0]
    found = {"harmful_rise": first.reference(HARMFUL), "near_rise": first.reference(NEAR)}
    for panel in panels:
        for rule in (*panel.challengers, *panel.beside):
            for name, role in (("ratio", NEAR), ("far_ratio", FAR)):
                found[panel.key(name, rule)] = panel.ratio(rule, role)
    for rule in first.challengers:
        found[f"auroc_change_{rule}"] = _auroc_change(first, heard, dealt, rule)
    return found


def reach(panel: Panel, plan: Plan) -> Reach:
    """How far the paths of the rules that decide come."""
    reached = {rule: int(panel.reached(rule).sum()) for rule in panel.challengers}
    return Reach(deals=panel.rises[FIRST].shape[1], reached=reached, largest=plan.factors[-1])


def ratio_table(panels: Sequence[Panel], values: dict[str, Estimate]) -> pd.DataFrame:
    """One row a panel and rule: whether it decides, the deals in which it reaches the set difference's harmful rise, ratio,
    far_ratio and (of circuits) auroc_change with their intervals, n, reason."""
    rows = []
    for panel in panels:
        for rule in (*panel.challengers, *panel.beside):
            decides = panel.name == CIRCUITS and rule not in panel.beside
            row: dict[str, object] = {"panel": panel.name, "rule": rule, "decides": decides}
            row["deals"] = int(panel.reached(rule).sum())
            reasons = []
            for name in ("ratio", "far_ratio", "auroc_change"):
                own = values.get(panel.key(name, rule), Estimate.missing("read by the loss alone"))
                row |= {name: own.value, f"{name}_low": own.low, f"{name}_high": own.high}
                reasons += [f"{name}: {own.reason}"] if own.reason else []
            rows.append(row | {"n": values[panel.key("ratio", rule)].n, "reason": "; ".join(reasons)})
    frame = pd.DataFrame(rows)
    return frame.astype({name: float for name in frame if name not in ("panel", "rule", "decides", "deals", "n", "reason")})


def recognition_table(material: Material, heard: Read, dealt: Sequence[Dealt]) -> pd.DataFrame:
    """One row a deal and rule (and the intact model), on its held-out triples: the matched circuit's size, its mean rises
    (nats per token), and AUROC of the primary reading with its 95 % interval."""
    rows = []
    for each in dealt:
        options = _options(material, each.places)
        for rule in (INTACT, *each.matched):
            name = INTACT if rule == INTACT else each.condition(rule)
            circuit = each.matched.get(rule)
            rises, scores = heard.rises(name)[each.places], heard.recognised(name)[each.places]
            area = auroc_estimate(scores[:, HARMFUL], scores[:, NEAR], **options)
            sizes = (0, 0) if circuit is None else (len(circuit.heads), len(circuit.neurons))
            row = {"deal": each.deal.number, "rule": rule, "heads": sizes[0], "neurons": sizes[1]}
            row |= {name: float(rises[:, role].mean()) for name, role in (("harmful", HARMFUL), ("near", NEAR), ("far", FAR))}
            rows.append(row | {"auroc": area.value, "auroc_low": area.low, "auroc_high": area.high, "n": len(scores)})
    frame = pd.DataFrame(rows)
    return frame.astype(dict.fromkeys(("auroc", "auroc_low", "auroc_high"), float))


def deal_table(dealt: Sequence[Dealt], weight_options: pd.DataFrame | None) -> pd.DataFrame:
    """One row a deal: its categories, how many triples, and the options that were chosen."""
    frame = pd.DataFrame([each.row() for each in dealt])
    for rule, own in [] if weight_options is None else weight_options.dropna(subset="option").groupby("rule"):
        by_deal = own.set_index("deal")["option"]
        frame[f"weights_{rule}_option"] = frame["deal"].map(by_deal).astype(float)
    return frame


def _auroc_change(panel: Panel, heard: Read, dealt: Sequence[Dealt], rule: str) -> Estimate:
    places = triples_of(dealt)
    read = [each for each in dealt if rule in each.matched]
    scores = lambda name: heard.recognised(name)[places][:, [HARMFUL, NEAR]]
    stack = lambda names: np.stack([scores(name) for name in names], 1) if names else np.empty((len(places), 0, 2))
    first, other = (stack([each.condition(own) for each in read]) for own in (FIRST, rule))
    held_out = np.array([[at in each.places for each in read] for at in places], dtype=bool).reshape(len(places), len(read))
    return recognition_change(first, other, held_out, panel.together)


def _empty(
    material: Material, plan: Plan, dealt: Sequence[Dealt], name: str, rules: Sequence[str], *, beside: Sequence[str] = ()
) -> Panel:
    places, sizes = triples_of(dealt), len(plan.factors)
    return Panel(
        name=name,
        rises={rule: np.full((len(places), len(dealt), sizes, ROLES), np.nan) for rule in rules},
        components={rule: np.full((len(dealt), sizes, 3), np.nan) for rule in rules},
        factors=plan.factors,
        options=_options(material, places),
        beside=beside,
    )


def _options(material: Material, places: Sequence[int]) -> dict[str, Any]:
    return material.bootstrap | {"strata": [material.categories[at] for at in places]}


def _rows(dealt: Sequence[Dealt], each: Dealt) -> list[int]:
    """Where the held-out triples of one deal lie among those of all."""
    where = {at: row for row, at in enumerate(triples_of(dealt))}
    return [where[at] for at in each.places]
