"""Rules compared: interpolation by hand, the decision, deals, and what planted models give."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from shell import small, write
from tiny import tiny_model_folder
from triples import PROMPTS, SETTINGS
from typer.testing import CliRunner

import harmcircuits.claims.rules.choosing as choosing_module
import harmcircuits.claims.rules.weights as weights_module
from harmcircuits.ablation.hooks import ablated
from harmcircuits.claims.claim import ClaimError
from harmcircuits.claims.material import Material, prepare
from harmcircuits.claims.rules import Rules, cost, rules, swept
from harmcircuits.claims.rules.choosing import Chooser
from harmcircuits.claims.rules.plan import FACTORS, Plan, deal_categories
from harmcircuits.cli.rules import rules as command
from harmcircuits.examples import loss
from harmcircuits.organisms import planted
from harmcircuits.store.journal import Journal

PLANTED = replace(
    SETTINGS,
    attribution_triples=24,
    development_triples=8,
    test_triples=16,
    max_new_tokens=6,
    probe_triples=24,
    facts=2,
    passages=1,
    bootstrap_draws=200,
    head_fraction=2 / 24,
    neuron_fraction=4 / 192,
    protect_heads=0.0,
    protect_neurons=0.0,
)
FEW: dict[str, Any] = {"deals": 2, "names": ["difference", "greedy"], "exact_triples": 0, "tuning_triples": 4}


@cache
def material(variant: str, **settings: Any) -> Material:
    organism = planted(0, variant)  # type: ignore[arg-type]
    return prepare(organism.model, organism.prompts, settings=replace(PLANTED, **settings))


# deals and options


@given(n=st.integers(2, 7), deals=st.integers(1, 6), seed=st.integers(0, 99))
def test_deals_are_halves_and_differ(n: int, deals: int, seed: int) -> None:
    names = [f"c{at}" for at in range(n)]
    found = deal_categories(names, [*reversed(names)], deals=deals, seed=seed)
    assert found == deal_categories(names, names, deals=deals, seed=seed)
    assert len({deal.choosing for deal in found}) == len(found) == min(deals, len(found))
    for deal in found:
        assert sorted((*deal.choosing, *deal.held_out)) == names and len(deal.choosing) == n // 2


def test_options_that_compare_nothing_are_refused_before_anything_is_computed() -> None:
    for options, message in (
        ({"deals": 0}, "at least 1 deal"),
        ({"factors": (0.5, 2.0)}, "with 1 among them"),
        ({"names": ["magic"]}, "no rule 'magic': choose of set_difference, difference"),
        ({"names": []}, "none is named"),
        ({"names": ["exact"], "exact_triples": 0}, "needs exact_triples"),
    ):
        with pytest.raises(ClaimError, match=message):
            rules(None, **options)  # type: ignore[arg-type]
    with pytest.raises(ClaimError, match="at least 2 categories"):
        deal_categories(["a", "b"], ["a", "c"], deals=1, seed=0)


# planted models


@cache
def both() -> Rules:
    own = material("both")
    before = {name: value.clone() for name, value in own.model.named_parameters()}
    found = rules(own.model, material=own, weights=False, **FEW)
    assert all((value == before[name]).all() for name, value in own.model.named_parameters())
    return found


def test_without_protection_a_graded_penalty_spares_the_head_that_serves_both() -> None:
    found = both()
    assert found.found == "yes" and found.values["ratio_difference"].high < 0.05  # type: ignore[operator]
    assert "'difference' hurts near twins" in found.sentence and "Less recognition is not shown" in found.sentence
    assert found.values["near_rise"].low > 3  # type: ignore[operator]


def test_where_no_rule_spares_near_twins_the_answer_is_no() -> None:
    own = material("both")
    found = rules(own.model, material=own, weights=False, **FEW | {"names": ["greedy"]})
    assert found.found == "no" and found.values["ratio_greedy"].low > 0.9  # type: ignore[operator]


def test_what_spares_near_twins_wholly_cannot_be_bettered() -> None:
    own = material("plain", protect_heads=3 / 24, protect_neurons=0.1)
    found = rules(own.model, material=own, weights=False, **FEW | {"deals": 1, "names": ["difference"]})
    assert found.found == "cannot be measured" and "nothing to spare them" in found.sentence


def test_a_rule_is_read_where_its_harmful_rise_is_the_set_differences() -> None:
    table = both().tables["recognition"]
    assert len(table) == 2 + cost(deals=2, names=FEW["names"]) and set(table["rule"]) >= {"intact", "set_difference"}
    for _, own in table[table["rule"] != "intact"].groupby("deal"):
        first = own[own["rule"] == "set_difference"]["harmful"].item()
        assert (own["harmful"] / first).between(0.8, 1.2).all()
    assert swept(deals=2, names=FEW["names"]) == 2 * 3 * 4
    assert swept(deals=1, names=["exact"], weights=True) == 4 * (2 + 1 + 3), "with what stands beside; masks by 3 rules"


def test_first_order_scores_of_the_same_triples_stand_beside_exact_ones_and_do_not_decide() -> None:
    own = material("both")
    found = rules(own.model, material=own, weights=False, **FEW | {"deals": 1, "names": ["exact"], "exact_triples": 2})
    table = found.table().set_index("rule")
    assert list(table.index) == ["exact", "difference_as_exact"] and table["decides"].tolist() == [True, False]
    assert table["deals"].tolist() == [1, 1]
    assert found.values["beside_ratio_difference_as_exact"].value == table.loc["difference_as_exact", "ratio"]
    assert set(found.tables["recognition"]["rule"]) == {"intact", "set_difference", "exact"}, "it is not read whole"
    drawn = {trace.name for trace in found.figure().data if trace.showlegend}
    assert "exact" in drawn and "difference as exact" not in drawn
    assert any("2 training triples a deal" in limit for limit in found.limits)


def test_first_order_scores_beside_exact_ones_are_of_the_same_responses_and_shortlist() -> None:
    own = material("both")
    deal = deal_categories(own.training_categories, own.categories, deals=1, seed=0)[0]
    plan = Plan(deals=1, factors=(1.0,), names=("set_difference", "exact"), weights=False, exact_triples=2, tuning_triples=2)
    chooser = Chooser(own, deal, plan)
    harmful, near = chooser._stored([(0, 1)], [(1, 3)])
    rows = chooser.places[:2]
    assert harmful.per_example_heads[:, 0, 1].equal(own.scores.harmful.per_example_heads[rows, 0, 1])
    assert near.per_example_neurons[:, 1, 3].equal(own.scores.near.per_example_neurons[rows, 1, 3])
    assert int(harmful.measured["heads"].sum()) == int(near.measured["neurons"].sum()) == 1


def test_a_greedy_path_is_scored_as_often_as_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    own = replace(material("both"), journal=Journal())
    deal = deal_categories(own.training_categories, own.categories, deals=1, seed=0)[0]
    names = ("set_difference", "greedy")
    plan = Plan(deals=1, factors=FACTORS, names=names, weights=False, exact_triples=0, tuning_triples=2)
    anew: list[int] = []
    attributed = choosing_module.attribute

    def counted(model: Any, examples: Any) -> Any:
        anew.append(len(examples))
        return attributed(model, examples)

    monkeypatch.setattr(choosing_module, "attribute", counted)
    chooser = Chooser(own, deal, plan)
    chooser.path("greedy", None, [(1, 1), (1, 3), (2, 6), (4, 12)])
    assert len(anew) <= choosing_module.rounds(8) - 1
    assert set(anew) == {3 * len(chooser.places)} and len(chooser.places) <= len(own.training) / 3 / 2 + 2


def test_circuits_are_chosen_without_the_held_out_categories() -> None:
    own, deals = material("both"), both().tables["deals"]
    for row in deals.to_dict("records"):
        assert set(row["choosing"].split(", ")).isdisjoint(row["held_out"].split(", "))
        assert row["training_triples"] == own.training_categories.count(row["choosing"])
        assert row["test_triples"] == own.categories.count(row["held_out"])


def test_a_claim_that_is_loaded_draws_the_same(tmp_path: Path) -> None:
    found = both()
    loaded = Rules.load(found.save(tmp_path))
    assert loaded.figure().to_json() == found.figure().to_json() and loaded.values == found.values


def test_a_stopped_run_goes_on_and_weights_are_read_by_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = replace(material("both", weight_q=0.002), journal=Journal(tmp_path))
    options = FEW | {"deals": 1, "names": ["greedy"]}
    first = rules(own.model, material=own, **options)
    weights = first.tables["fronts"].query("panel == 'weights'")
    sizes = weights.groupby("factor")["weights"].nunique()
    assert (sizes == 1).all() and set(weights["rule"]) == {"set_difference", "difference", "ratio"}
    assert list(first.figures()) == ["fronts", "weights"]

    def refused(*args: Any, **options: Any) -> None:
        raise AssertionError("it was kept")

    for module, name in ((choosing_module, "sweep"), (choosing_module, "attribute"), (weights_module, "attribute_weights")):
        monkeypatch.setattr(module, name, refused)
    again = rules(own.model, material=own, **options)
    assert again.values == first.values and again.tables["fronts"].equals(first.tables["fronts"])


def test_rises_of_a_front_are_those_of_the_circuits_one_by_one() -> None:
    from harmcircuits.claims.rules.dealt import held_out_examples, measure_deal

    own = material("both")
    deal = deal_categories(own.training_categories, own.categories, deals=1, seed=0)[0]
    plan = Plan(
        deals=1, factors=(1.0, 2.0), names=("set_difference", "contrast"), weights=False, exact_triples=0, tuning_triples=2
    )
    measured = measure_deal(own, deal, plan)
    examples = held_out_examples(own, measured.places)
    intact = loss(own.model, examples)
    with ablated(own.model, measured.paths["contrast"][1]):
        expected = (loss(own.model, examples) - intact).reshape(-1, 3).numpy()
    assert np.abs(measured.rises["contrast"][1] - expected).max() < 1e-4


# the command


def test_the_command_prints_what_was_found_and_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    folder, prompts = tiny_model_folder(tmp_path / "model"), write(tmp_path / "prompts.csv")
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(
        app, ["--quick", "--model", str(folder), "--prompts", str(prompts), "--out", str(tmp_path / "out"), "--device", "cpu"]
    )
    assert result.exit_code == 0, result.output
    found = Rules.load(tmp_path / "out")
    printed = " ".join(result.output.split())
    assert found.sentence in printed and found.settings["deals"] == 1
    assert "At most 6 conditions are read whole and 24 for their loss alone" in printed
    assert "exact" not in found.settings["rules"] and (tmp_path / "out" / "rules_fronts.html").exists()
    assert not any(prompt.request in result.output for prompt in PROMPTS)


@pytest.mark.model
def test_exact_scores_can_be_left_out_of_a_full_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harmcircuits.cli.shared.claim_settings", lambda **_: replace(SETTINGS, head_fraction=0.1))
    folder, prompts = tiny_model_folder(tmp_path / "model"), write(tmp_path / "prompts.csv")
    app = typer.Typer()
    app.command()(command)
    named = ["--model", str(folder), "--prompts", str(prompts), "--out", str(tmp_path / "out"), "--device", "cpu"]
    result = CliRunner().invoke(app, [*named, "--deals", "1", "--exact-triples", "0"])
    assert result.exit_code == 0, result.output
    found = Rules.load(tmp_path / "out")
    assert "exact" not in found.settings["rules"] and found.settings["deals"] == 1
    assert found.settings["weights"], "single weights are compared all the same"
