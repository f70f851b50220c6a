"""`distinct` on planted models, its formulas, its cache, and what it refuses."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import harmcircuits as hc
from harmcircuits.circuits import WeightMask
from harmcircuits.claims.distinct import Distinct
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment.decision import Verdict
from harmcircuits.experiment.dissociation import prepare
from harmcircuits.organisms import Planted
from harmcircuits.organisms.language import TOPICS
from harmcircuits.readings.capabilities import Completion
from harmcircuits.statistics import Estimate

SMALL = hc.Settings(
    components=("heads", "neurons"), head_fractions=(2 / 24,), neuron_fractions=(8 / 192,), protect_heads=3 / 24,
    protect_neurons=0.1, train_prompts=32, development_prompts=4, test_prompts=16, control_prompts=8, max_new_tokens=4,
    shots=0, random_draws=1, facts=12, bootstrap_draws=200,
)  # fmt: skip
KIND = "kind words"


@cache
def organism(variant: str) -> Planted:
    return hc.organisms.planted(0, variant)  # type: ignore[arg-type]


def sentences(variant: str) -> dict[str, list[Completion]]:
    """The kind word of a matched benign request's topic, and neither its harmful one nor another topic's."""
    found = []
    for prompt in [prompt for prompt in organism(variant).prompts if prompt.role == "near"][:40]:
        topic = prompt.request.split()[2]
        wrong = (f" {topic}wreck", f" {TOPICS[TOPICS.index(topic) - 1]}care")
        right = f" {topic}care"
        found.append(Completion(request=prompt.request, stem=prompt.prefill, right=right, wrong=wrong, topic=topic))
    return {KIND: found}


def ask(variant: str, folder: Path | None = None, **sizes: Any) -> hc.Finding:
    own = organism(variant)
    settings = replace(SMALL, **sizes)
    return hc.distinct(
        own.model, own.prompts, capabilities=sentences(variant), settings=settings, folder=folder, name="planted"
    )


planted_run = cache(ask)


def lost(finding: hc.Finding, aim: str, measured: str, component: str = "heads", protection: str = "") -> float:
    rows = finding.tables["effects"].set_index(["component", "aim", "protection", "measured"])["value"]
    return float(rows[component, aim, protection, measured])


def test_circuits_of_their_own_are_distinct() -> None:
    finding = planted_run("plain")
    assert finding.answer == "yes" and finding.contrast == "matched"
    for part in ("heads", "neurons"):
        share, specific = (finding.estimate(name, part) for name in (f"{KIND}_share", "specific_share"))
        assert abs(share.value or 1) < 0.01 and specific.low is not None and specific.low > 0.9
        assert lost(finding, KIND, KIND, part) > 2 > 0.1 > abs(lost(finding, KIND, "harmful", part))
    known = finding.tables["capabilities"].iloc[0]
    assert known["value"] == pytest.approx(2 / 3), "all sentences are finished rightly, a third by chance"


def test_shares_are_ratios_of_what_the_table_holds() -> None:
    finding = planted_run("plain")
    harmful, near = (lost(finding, "harmful", role) for role in ("harmful", "near"))
    assert finding.estimate("specific_share", "heads").value == pytest.approx((harmful - near) / harmful)
    share = finding.estimate(f"{KIND}_share", "heads").value
    assert share == pytest.approx(lost(finding, "harmful", KIND) / lost(finding, KIND, KIND), abs=1e-9)


def test_where_the_same_parts_write_both_the_claim_is_false() -> None:
    finding = planted_run("entangled")
    assert finding.answer == "no"
    left = finding.estimate("share_left_by_protection", "heads")
    whole = lost(finding, "harmful", "harmful", protection="unprotected")
    few = finding.estimate("loss_increase_unprotected", "heads")
    assert few.value == pytest.approx(whole) and left.high is not None and left.high < 0.1


def test_a_circuit_that_hurts_benign_responses_alike_is_not_distinct() -> None:
    finding = planted_run("both", components=("heads",), protect_heads=0.0)
    specific = finding.estimate("specific_share", "heads")
    assert finding.answer == "no" and specific.high is not None and specific.high < 0.1


def test_where_nothing_writes_harm_it_is_not_distinct() -> None:
    assert planted_run("none", components=("heads",)).answer != "yes"


def rule(**changes: Estimate) -> Verdict:
    """The answer where all is as a yes needs it, but for `changes`."""
    sure, none = Estimate(0.9, 0.8, 1.0, 40), Estimate(0.0, -0.1, 0.1, 40)
    names = ("loss_increase", "specific_share", "loss_increase_beyond_random", "loss_increase_unprotected")
    evidence = dict.fromkeys((*names, "share_left_by_protection"), sure)
    evidence |= {f"{kind}_{share}": none for kind in ("facts", "grammar") for share in ("share", "share_unprotected")}
    own = organism("plain")
    material = prepare(own.model, own.prompts, None, None, SMALL, folder=None)
    two: Mapping[str, Any] = {"facts": sentences("plain")[KIND], "grammar": sentences("plain")[KIND]}
    return Distinct(material, two).decision()(evidence | changes)


def test_the_rule() -> None:
    missing, low, half = Estimate.missing("not known"), Estimate(0.01, -0.1, 0.05, 40), Estimate(0.7, 0.6, 0.8, 40)
    between = Estimate(0.3, 0.25, 0.4, 40)
    assert rule().answer == "yes"
    assert rule(facts_share=missing).answer == "yes", "the other capability is measured"
    assert rule(facts_share=missing, grammar_share=missing).answer == "cannot be measured"
    assert rule(loss_increase=low).answer == "cannot be measured"
    assert rule(facts_share=missing, grammar_share=missing, specific_share=low).answer == "no", "whatever capabilities lose"
    assert rule(facts_share=half).answer == rule(specific_share=low).answer == "no"
    assert rule(facts_share=between).answer == rule(loss_increase_beyond_random=low).answer == "undecided"
    nothing_left = {"loss_increase": low, "share_left_by_protection": low}
    assert rule(**nothing_left, facts_share_unprotected=half).answer == "no"
    assert rule(**nothing_left).answer == "cannot be measured"


def test_a_capability_that_could_not_have_been_lost_is_not_measured() -> None:
    own = organism("plain")
    unknown = [replace(item, right=item.wrong[0], wrong=(item.right, item.wrong[1])) for item in sentences("plain")[KIND]]
    settings = replace(SMALL, components=("heads",))
    finding = hc.distinct(own.model, own.prompts, capabilities={KIND: unknown}, settings=settings)
    assert finding.answer == "cannot be measured"
    assert "above chance" in (finding.estimate(f"{KIND}_share", "heads").reason or "")


def test_masks_of_weights_follow_the_same_recipe() -> None:
    own = organism("plain")
    settings = replace(SMALL, components=("weights",), weight_fractions=((0.002, 0.01),))
    material = prepare(own.model, own.prompts, None, None, settings, folder=None)
    circuits = Distinct(material, sentences("plain")).circuits
    masks = {name: circuit.ablation for name, circuit in circuits.items()}
    assert {"weights harmful", "weights harmful unprotected", f"weights {KIND}", f"weights {KIND} unprotected"} <= set(masks)
    harmful, bare = masks["weights harmful"], masks["weights harmful unprotected"]
    assert isinstance(harmful, WeightMask) and isinstance(bare, WeightMask)
    assert len(harmful - bare) == 0 < len(harmful), "protection only takes away"


@pytest.mark.parametrize("names", [[], ["harmful"], ["random"]])
def test_capabilities_need_names_of_their_own(names: list[str]) -> None:
    own = organism("plain")
    with pytest.raises(HarmcircuitsError, match="at least one capability"):
        hc.distinct(own.model, own.prompts, capabilities={name: sentences("plain")[KIND] for name in names}, settings=SMALL)


def test_capabilities_need_sentences() -> None:
    own = organism("plain")
    with pytest.raises(HarmcircuitsError, match="at least 3"):
        hc.distinct(own.model, own.prompts, capabilities={"facts": []}, settings=SMALL)
    with pytest.raises(HarmcircuitsError, match="facts of 1 or more"):
        hc.distinct(own.model, own.prompts, settings=replace(SMALL, facts=0))
