"""What stages are compared by, on hand-made curves: areas over shared fractions, changes, the rule, which ladders there are."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harmcircuits.claims.alignment.areas import stage_areas
from harmcircuits.claims.alignment.compared import Results, compared, stopped
from harmcircuits.claims.alignment.curve.curves import Curve
from harmcircuits.claims.alignment.curve.summary import area
from harmcircuits.claims.alignment.decision import NOTHING, Evidence, decide
from harmcircuits.claims.alignment.ladders import LADDER, stages
from harmcircuits.claims.alignment.stage import Measured
from harmcircuits.claims.alignment.trends import Trend, adjusted, changes, fraction_change, trend
from harmcircuits.claims.earlier import ClaimError
from harmcircuits.experiments.checks import MATCHED
from harmcircuits.statistics import Estimate, fdr, sign_flip_p

N = 12
OPTIONS: dict[str, Any] = {"draws": 200, "seed": 0}
VALUES = st.floats(-10, 10, allow_subnormal=False)


def curve(fractions: Any, selectivity: Any, *, retained: Any = None, costs: Any = None, rule: str = "one-shot") -> Curve:
    """N triples; selectivity [size] for all of them, or [triple, size]; I of 1 intact and `retained` at each size."""
    fractions = np.asarray(fractions, dtype=float)
    kept = np.ones(len(fractions)) if retained is None else np.asarray(retained, dtype=float)
    return Curve(
        grain="neurons",
        rule=rule,
        at=list(range(len(fractions))),
        fractions=fractions,
        shares=fractions / 2,
        selectivity=np.broadcast_to(np.asarray(selectivity, dtype=float), (N, len(fractions))),
        information=np.broadcast_to(kept, (N, 2, len(fractions))),
        intact=np.ones((N, 2)),
        plain_share=np.zeros(len(fractions)) if costs is None else np.asarray(costs, dtype=float),
    )


@given(arrays(float, st.tuples(st.integers(2, 6), st.integers(1, 3)), elements=VALUES))
def test_the_change_is_the_least_squares_line_and_turns_round_with_the_ladder(values: np.ndarray) -> None:
    n = len(values)
    slope = np.polyfit(np.arange(n), values, 1)[0]
    np.testing.assert_allclose(changes(values), slope * (n - 1), atol=1e-9)
    np.testing.assert_array_equal(changes(values[::-1]), -changes(values))


def test_a_trend_is_tested_as_its_mean_is_and_equal_stages_show_that_there_is_none() -> None:
    changed = np.random.default_rng(0).normal(0.5, 0.2, N)
    found = trend(changed, OPTIONS)
    assert found.change.value == pytest.approx(changed.mean()) and found.low > 0 and not found.none
    assert found.p == sign_flip_p(changed)
    nothing = trend(np.zeros(N), OPTIONS)
    assert nothing.none and (nothing.change.value, nothing.low, nothing.high, nothing.p.value) == (0, 0, 0, 1)
    opposite = trend(-changed, OPTIONS)
    assert (opposite.change.value, opposite.p.value) == (-found.change.value, found.p.value)  # type: ignore[operator]


def test_p_values_are_adjusted_over_the_trends_that_were_measured() -> None:
    some = [trend(np.random.default_rng(seed).normal(0.1, 0.2, N), OPTIONS) for seed in range(3)]
    found = adjusted([*some, Trend.missing("not read")])
    assert [one.p.value for one in found[:3]] == pytest.approx(fdr([one.p.value for one in some]).tolist())
    assert found[3].p.reason == "not read" and found[0].change == some[0].change


def test_on_the_same_sizes_an_area_is_that_of_compactness() -> None:
    selectivity = np.random.default_rng(0).normal(size=(2, N, 4))
    drawn = [curve([1e-3, 4e-3, 1e-2, 1e-1], own) for own in selectivity]
    found = stage_areas({str(at): own for at, own in enumerate(drawn)})
    assert not isinstance(found, str)
    assert found.mean(1) == pytest.approx([area(own, OPTIONS, among=own.at).value for own in drawn])


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_areas_are_over_the_fractions_that_all_stages_share(begin: float, end: float) -> None:
    """Each triple's line against ln f, summed up in small steps over what both have."""
    first = curve(np.exp([0.0, 1.0, 2.0]), [0.0, 2.0, 1.0])
    other = curve(np.exp([begin, 1 + end]), [1.0, 1.0])
    found = stage_areas({"a": first, "b": other})
    assert not isinstance(found, str)
    edges = np.linspace(begin, 1 + end, 20_001)
    expected = np.interp((edges[1:] + edges[:-1]) / 2, [0, 1, 2], [0, 2, 1]).mean()
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    np.testing.assert_allclose(found[1], 1.0)


def test_sizes_that_cost_a_stage_too_much_are_compared_at_no_stage() -> None:
    cheap = curve([1e-3, 1e-2, 1e-1], [1.0, 1.0, 9.0])
    dear = curve([1e-3, 1e-2, 1e-1], [0.0, 0.0, 9.0], costs=[0.0, 0.05, 0.06])
    found = stage_areas({"cheap": cheap, "dear": dear})
    assert not isinstance(found, str)
    np.testing.assert_allclose(found, [[1.0] * N, [0.0] * N])


def test_the_area_of_matched_random_circuits_is_taken_off_at_the_same_sizes() -> None:
    own = curve([1e-3, 1e-2, 1e-1], [1.0, 1.0, 5.0])
    matched = replace(curve([1e-3, 1e-2], [0.25, 0.25], rule=MATCHED), at=[0, 1])
    found = stage_areas({"a": own, "b": own}, {"a": matched, "b": matched})
    np.testing.assert_allclose(np.asarray(found), 0.75)


@pytest.mark.parametrize(
    ("circuits", "controls", "told"),
    [
        ({"a": curve([0.1, 0.2], [0, 0]), "b": None}, None, "b: no circuit of any size could be selected"),
        ({"a": curve([0.1, 0.2], [0, 0], costs=[0, 1])}, None, "a: an area needs 2 sizes that cost at most 5% .* it has 1"),
        (
            {"a": curve([0.1, 0.2], [0, 0]), "b": curve([0.3, 0.4], [0, 0])},
            None,
            "the stages share no fractions: b begins at 0.3, and of a nothing above 0.2 .*Give spans that overlap",
        ),
    ],
)
def test_why_stages_cannot_be_compared(circuits: Any, controls: Any, told: str) -> None:
    found = stage_areas(circuits, controls)
    assert isinstance(found, str)
    with pytest.raises(ValueError, match=told):
        raise ValueError(found)


def test_half_is_reached_with_a_hundredth_of_the_weights() -> None:
    """½ is crossed midway between the sizes, in ln f: at 10⁻¹·⁵ and at 10⁻³·⁵ of the grain."""
    early, late = curve([1e-4, 1e-3], [0, 0], retained=[1, 0]), curve([1e-2, 1e-1], [0, 0], retained=[1, 0])
    assert fraction_change([late, early], OPTIONS).value == pytest.approx(-2 * np.log(10))
    assert fraction_change([late, late, early], OPTIONS).value == pytest.approx(-2 * np.log(10))
    assert fraction_change([early, early], OPTIONS).value == 0


def seen(grain: Any, own: Trend, fixed: Trend, *, fraction: float | None = None, **beyond: Trend) -> list[Evidence]:
    """A grain on both sets of responses; by default beyond matched random circuits as beyond nothing."""
    half = Estimate.missing("no half") if fraction is None else Estimate(fraction, fraction - 0.1, fraction + 0.1, 40)
    return [
        Evidence(grain=grain, reading=reading, beyond={NOTHING: one, MATCHED: one} | beyond, fraction=half)  # type: ignore[arg-type]
        for reading, one in (("own", own), ("fixed", fixed))
    ]


def moved(value: float, half: float = 0.05, *, p: float = 0.001) -> Trend:
    return Trend(change=Estimate(value, value - half, value + half, 40), p=Estimate(p, n=99), none=abs(value) + half < 0.02)


UP, FLAT, DOWN, WIDE, LOST = moved(0.2), moved(0.0, 0.01, p=0.9), moved(-0.2), moved(0.04, p=0.2), Trend.missing("not compared")


@pytest.mark.parametrize(
    ("evidence", "found", "why"),
    [
        (seen("heads", UP, UP), "yes", "all conditions hold"),
        (seen("heads", UP, FLAT), "no", "equivalent to 0 within ± 0.02"),
        (seen("heads", DOWN, UP), "no", "the area falls: -0.200"),
        (seen("heads", UP, WIDE), "undecided", "the area is not shown to grow: 0.040"),
        (seen("heads", UP, UP, style=UP), "yes", "all conditions hold"),
        (seen("heads", UP, UP, style=FLAT), "no", "does not grow more than that of style"),
        (seen("heads", UP, UP, **{MATCHED: FLAT}), "no", "does not grow more than that of matched random"),
        (seen("heads", UP, UP, fraction=-1.0), "yes", "all conditions hold"),
        (seen("heads", UP, UP, fraction=1.0), "undecided", "more weights are needed"),
        (seen("heads", UP, LOST), "cannot be measured", "not compared"),
        (seen("heads", DOWN, DOWN) + seen("neurons", UP, UP), "yes", "all conditions hold"),
    ],
)
def test_the_rule(evidence: list[Evidence], found: str, why: str) -> None:
    answer, reasons = decide("", evidence)
    assert answer == found and any(why in reason for reason in reasons.values()), reasons
    assert set(reasons) == {(one.grain, one.reading) for one in evidence}


def test_a_ladder_and_its_controls_share_the_base() -> None:
    found = stages(["hub/base", "hub/sft"], ["base", "SFT"], {"style only": ["a/b"]}, fixed=1)
    assert [(one.name, one.ladder, one.at) for one in found] == [
        ("base", LADDER, 0),
        ("SFT", LADDER, 1),
        ("style only, 2: b", "style only", 1),
    ]
    assert [one.name for one in stages(["m", "m", object()], None, {}, fixed=0)] == ["1: m", "2: m", "stage 3"]  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("given", "options", "told"),
    [
        (["a"], {}, "at least two models in order"),
        (["a", "b"], {"names": ["a"]}, r"2 models need as many names, each another: not \['a'\]"),
        (["a", "b", "c"], {"controls": {"style": ["d"]}}, "the control 'style' needs 2 models.*shares: not 1"),
        (["a", "b"], {"fixed": 2}, "fixed=2: .* one of 0 to 1"),
    ],
)
def test_ladders_that_make_no_sense(given: Any, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ClaimError, match=told):
        stages(given, options.get("names"), options.get("controls", {}), fixed=options.get("fixed", 0))


def measured(information: float, *, refused: float = 0.0) -> Measured:
    """A stage whose I has an interval of ± 0.1, and whose circuits lose as much at every size."""
    drawn = [curve([0.1, 0.2], [1.0, 1.0]), curve([0.1, 0.2], [0.5, 0.5], rule=MATCHED)]
    return Measured(
        drawn=drawn,
        information=Estimate(information, information - 0.1, information + 0.1, N),
        refusals=Estimate(refused, n=N),
        about={},
        groups=tuple(map(str, range(N))),
        bootstrap=OPTIONS,
    )


def ladder(later: Measured, *, control: Measured | None = None) -> Results:
    """A base that depends on the request, `later` after it, on both sets of responses; a control beside it."""
    every = stages(["a", "b"], ["base", "SFT"], {} if control is None else {"style": ["c"]}, fixed=0)
    own = dict(zip((one.name for one in every), (measured(1.0), later, control), strict=False))
    return Results(every, {(name, reading): one for name, one in own.items() if one for reading in ("own", "fixed")})  # type: ignore[misc]


@pytest.mark.parametrize(
    ("later", "why"),
    [
        (measured(0.05), "SFT: its own harmful responses are not shown to depend on the request .I is 0.050"),
        (measured(1.0, refused=0.5), "SFT: 50.% of the harmful responses refuse in spite of the prefill: leave the stage out"),
    ],
)
def test_a_stage_whose_own_responses_are_none_to_harmful_requests_is_not_compared_on_them(later: Measured, why: str) -> None:
    results = ladder(later)
    found = compared(results, ["neurons"])
    for asked, one in found.trends.items():
        reason = one.change.reason or ""
        assert bool(re.match(why, reason)) == (asked.reading == "own" or later.refusals.value != 0), asked
    answer, told = decide(stopped(results), found.evidence(["neurons"]))
    assert answer == "cannot be measured" and re.match(why, told["neurons", "own"])
