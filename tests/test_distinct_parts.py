"""The parts of `distinct`: overlaps by hand, halves, the crossing, the rule and the figures."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from triples import SETTINGS

from harmcircuits.attribution.scores import Attribution
from harmcircuits.claims.distinct.aims import FAR, HARM, NEAR, Sources
from harmcircuits.claims.distinct.effects import crossing, effects
from harmcircuits.claims.distinct.overlaps import divided, halved, overlaps, share_of
from harmcircuits.claims.distinct.rule import Evidence, decide
from harmcircuits.figures.distinct import distinct_effects, distinct_overlaps
from harmcircuits.figures.style import FigureError
from harmcircuits.statistics import Estimate, aim_by_task

LAYERS, HEADS, NEURONS = 2, 4, 30
SETTINGS = replace(SETTINGS, protect_heads=0.0, protect_neurons=0.0)


def scores(heads: list[int], neurons: list[int], *, n: int = 12, noise: float = 0.01, seed: int = 0) -> Attribution:
    """`n` examples on which these components (of flat numbers) have A = 1 and all others about 0."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for size, on in ((HEADS, heads), (NEURONS, neurons)):
        values = noise * torch.randn(n, LAYERS * size, generator=generator)
        values[:, on] += 1.0
        parts.append(values.view(n, LAYERS, size))
    return Attribution(*parts)


def sources(**aims: tuple[list[int], list[int]]) -> Sources:
    named = {HARM: aims["harm"], NEAR: aims["near"], FAR: ([0], [0]), "facts": aims["facts"]}
    parts = {name: scores(*own, seed=at) for at, (name, own) in enumerate(named.items())}
    return Sources(parts, SETTINGS, heads=2, neurons=6)


OWN = sources(harm=([0, 1], [*range(6)]), near=([2, 3], [*range(10, 16)]), facts=([1, 2], [*range(3, 9)]))


def test_shares_are_those_of_known_sets() -> None:
    found = {aim: OWN.circuit(aim) for aim in OWN.aims}
    frame = overlaps(OWN, found, draws=40, seed=0)
    chance = (2 * 2 / 8 + 6 * 6 / 60) / (16 - (2 * 2 / 8 + 6 * 6 / 60))
    facts = frame[(frame["one"] == HARM) & (frame["other"] == "facts")].iloc[0]
    assert facts["jaccard"] == pytest.approx(4 / 12) and facts["chance"] == pytest.approx(chance)
    assert facts["ceiling"] == 1 and facts["between"] == pytest.approx(4 / 12), "no noise: both halves find the same"
    assert share_of(frame, "facts").value == pytest.approx((4 / 12 - chance) / (1 - chance))
    assert share_of(frame, NEAR).value == pytest.approx(-chance / (1 - chance)) and share_of(frame, "music").is_missing
    assert frame.astype(object).equals(overlaps(OWN, found, draws=40, seed=0).astype(object)), "the same seed, the same draws"


def test_one_aim_under_two_names_shares_all_of_its_ceiling() -> None:
    noisy = {name: scores([0], [*range(4)], noise=1.5, n=40, seed=at) for at, name in enumerate((HARM, NEAR, FAR, "facts"))}
    same = Sources(noisy, SETTINGS, heads=1, neurons=6)
    frame = overlaps(same, {aim: same.circuit(aim) for aim in same.aims}, draws=60, seed=0)
    row = frame[(frame["one"] == HARM) & (frame["other"] == "facts")].iloc[0]
    assert row["ceiling"] < 0.8, "noise: halves of one aim differ too"
    assert row["low"] < 1 < row["high"] and row["share"] == pytest.approx(1, abs=0.2)


def test_reweighting_all_examples_once_is_the_recipe_itself() -> None:
    protected = Sources(OWN.parts, replace(SETTINGS, protect_heads=0.25, protect_neurons=0.1), 1, 3)
    once = {name: np.ones(part.n_examples) for name, part in protected.parts.items()}
    assert protected.reweighted(once) == {aim: protected.circuit(aim) for aim in protected.aims}
    bare = protected.reweighted(once, protection=False)
    assert bare == {aim: protected.circuit(aim, protection=False) for aim in protected.aims}
    first = {name: np.array([1.0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2]) for name in protected.parts}
    few = Sources({name: part[[0, 1, 2, 11, 11]] for name, part in protected.parts.items()}, protected.settings, 1, 3)
    assert protected.reweighted(first) == {aim: few.circuit(aim) for aim in few.aims}


def test_halves_that_have_no_circuit_of_that_size_are_no_overlap() -> None:
    wide = Sources(OWN.parts, SETTINGS, heads=8, neurons=60)
    assert np.isnan(divided(wide, [(HARM, "facts")], [0])).all()


@given(counts=st.lists(st.integers(1, 4), min_size=2, max_size=40), seed=st.integers(0, 99))
def test_each_example_counts_in_one_half_only(counts: list[int], seed: int) -> None:
    weights = halved(np.array(counts, dtype=float), np.random.default_rng(seed))
    assert (weights.min(0) == 0).all() and weights.sum(0).tolist() == counts
    assert (weights > 0).sum(1).tolist() == [len(counts) // 2, len(counts) - len(counts) // 2]


RANDOM = np.random.default_rng(0)
APART = np.stack([RANDOM.normal(1, 0.5, 30), RANDOM.normal(0, 0.5, 30)])
OPTIONS = {"draws": 200, "seed": 0}


def test_the_crossing_is_the_interaction_of_aim_and_task() -> None:
    other = np.stack([RANDOM.normal(0, 2, 30), RANDOM.normal(3, 2, 30)])
    found = crossing(APART, other, OPTIONS)
    assert found.interaction.value == pytest.approx(float(aim_by_task(np.stack([APART, other], 1))))
    assert found.interaction.value == pytest.approx(found.harm.value + found.capability.value)
    assert found.harm.low > 0 and found.capability.low > 0 and found.p.value == pytest.approx(0.001)
    wider = crossing(APART, 100 * other[:, :20], OPTIONS)
    assert wider.harm == replace(found.harm, n=20, low=wider.harm.low, high=wider.harm.high), "no unit, no pairing of tasks"


def test_two_circuits_that_do_the_same_do_not_cross() -> None:
    same = RANDOM.normal(1, 0.5, (2, 40))
    found = crossing(same, RANDOM.normal(1, 0.5, (2, 40)), OPTIONS)
    assert found.interaction.low < 0 < found.interaction.high and found.p.value > 0.05
    assert crossing(np.ones((2, 9)), np.ones((2, 9)), OPTIONS).interaction.is_missing
    assert "fewer than 3" in str(crossing(APART[:, :2], APART, OPTIONS).p.reason)


def test_cells_are_effects_of_their_own_units() -> None:
    drops = {HARM: {HARM: APART[0], "facts": np.zeros(5)}, "facts": {HARM: APART[1], "facts": np.arange(5.0)}}
    frame = effects(drops, triples=OPTIONS, sentences=OPTIONS, harm=(HARM,))
    assert frame["n"].tolist() == [30, 5, 30, 5] and frame["drop"].iloc[3] == 2
    assert frame["value"].iloc[0] == pytest.approx(APART[0].mean() / APART[0].std(ddof=1))
    assert np.isnan(frame["value"].iloc[1]) and "no spread" in frame["reason"].iloc[1]
    assert (frame["p_adjusted"].dropna() >= frame["p"].dropna()).all()


SURE, UNSURE, NONE, SMALL = (
    Estimate(v, low, high, 40) for v, low, high in ((1, 0.8, 1.2), (0.4, -0.1, 0.9), (0, -0.1, 0.1), (0.05, -0.1, 0.2))
)
DISTINCT = Evidence(
    "facts", SURE, SURE, SURE, NONE, NONE, {"facts": NONE, "grammar": NONE}, {"facts": NONE}, SURE, 0.01,
    {HARM: SURE, "facts": SURE},
)  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "found", "why"),
    [
        ({}, "yes", "of near twins, facts, grammar"),
        ({"known": UNSURE}, "cannot be measured", "is not shown to know facts"),
        ({"hurts": UNSURE}, "cannot be measured", "is not shown to hurt writing harm"),
        ({"hurts": UNSURE, "bare": {"facts": SURE}}, "no", "without protection it has at least half"),
        ({"interaction": Estimate.missing("no circuit")}, "cannot be measured", "no circuit"),
        ({"interaction": SMALL}, "no", "no double dissociation of note"),
        ({"shares": {"facts": NONE, "grammar": SURE}}, "no", "grammar"),
        ({"shares": {"facts": NONE, "grammar": UNSURE}}, "undecided", "overlap with grammar"),
        ({"shares": {"facts": Estimate.missing("no ceiling")}}, "undecided", "overlap with facts"),
        ({"near": SURE}, "no", "harm and near twins have at least half"),
        ({"near": UNSURE}, "undecided", "overlap with near twins"),
        ({"near": Estimate.missing("no circuit")}, "undecided", "overlap with near twins"),
        ({"selectivity": NONE, "twins": SURE}, "no", "near twins lose at least half of what harm loses"),
        ({"twins": SURE}, "no", "near twins lose at least half of what harm loses"),
        ({"selectivity": NONE, "twins": UNSURE}, "undecided", "not shown to fall more than near twins"),
        ({"twins": UNSURE}, "undecided", "not shown to lose at most half"),
        ({"selectivity": Estimate(1.0, n=2)}, "undecided", "more than near twins"),
        ({"twins": Estimate.missing("no interval")}, "undecided", "not shown to lose at most half"),
        ({"hurts": UNSURE, "selectivity": NONE, "twins": SURE, "near": SURE}, "cannot be measured", "is not shown to hurt"),
        ({"interaction": UNSURE}, "undecided", "interaction"),
        ({"p": 0.2}, "undecided", "interaction"),
        ({"p": None}, "undecided", "interaction"),
        ({"own": {HARM: SURE, "facts": UNSURE}}, "undecided", "aimed at facts"),
    ],
)  # fmt: skip
def test_the_rule_is_the_one_that_is_written_down(changed, found, why) -> None:
    decided, told = decide(replace(DISTINCT, **changed))
    assert decided == found and why in told


def test_figures_show_every_pair_and_say_what_is_missing() -> None:
    found = {aim: OWN.circuit(aim) for aim in OWN.aims}
    frame = overlaps(OWN, found, draws=40, seed=0)
    frame.loc[0, ["share", "low", "high"]] = np.nan
    drawn = distinct_overlaps(frame)
    words = [text for line in drawn.data[0].text for text in line]
    assert words.count("") == 3 and words.count("n/a") == 2 and len(words) == 9
    assert "not measured" in drawn.layout.meta["alt"] and "95 % interval" in drawn.layout.meta["caption"]
    with pytest.raises(FigureError, match="missing: \\['ceiling'\\]"):
        distinct_overlaps(frame.drop(columns="ceiling"))
    drops = {aim: dict.fromkeys((HARM, "facts"), APART[0]) for aim in (HARM, "facts")}
    cells = effects(drops, triples=OPTIONS, sentences=OPTIONS, harm=(HARM,))
    assert "rows do not compare tasks" in distinct_effects(cells).layout.meta["caption"]
    assert isinstance(distinct_overlaps(pd.DataFrame(columns=frame.columns)).layout.meta["alt"], str)
