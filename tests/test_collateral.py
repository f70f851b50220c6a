"""What else changes, from hand-made outcomes: explanation, refusal without prefill, and utility."""

import math

import numpy as np
import pandas as pd
import pytest
from hand_made import OPTIONS, Arrays, constant, outcomes

from harmcircuits.experiments.collateral import explained, explanation, refusal, utility
from harmcircuits.statistics import Estimate

N = 6
NAN = math.nan


def harmful(*values: float) -> np.ndarray:
    """A reading of harmful requests alone."""
    return np.array([[value, NAN, NAN] for value in values])


def explaining(own: np.ndarray, same: np.ndarray, other: np.ndarray, near: np.ndarray) -> Arrays:
    return {"explain": own, "explain_same": same, "explain_other": other, "explain_near": near}


BEFORE = explaining(harmful(*[1.0] * N), harmful(*[1.5] * N), harmful(*[2.5] * N), harmful(*[1.2] * N))
"""E = ((1.5 + 2.5) / 2) − 1 = 1."""
AFTER = explaining(harmful(*[1.4] * N), harmful(*[1.5] * N), harmful(*[2.3] * N), harmful(*[1.3] * N))
"""E = 1.9 − 1.4 = 0.5."""


class TestExplanation:
    def test_known_answers(self) -> None:
        found = explanation(BEFORE, AFTER, OPTIONS, why_not="")
        assert found["score"].value == pytest.approx(0.5)
        assert found["score_near_twin"].value == pytest.approx(-0.1)
        assert found["retained"].value == pytest.approx(0.5)
        assert {one.n for one in found.values()} == {N}
        assert explanation(BEFORE, BEFORE, OPTIONS, why_not="")["retained"].value == 1

    def test_a_request_alone_in_its_category_is_held_against_others_alone(self) -> None:
        arrays = {**AFTER, "explain_same": harmful(1.5, 1.5, NAN, 1.5, 1.5, 1.5)}
        np.testing.assert_allclose(explained(arrays), [0.5, 0.5, 0.9, 0.5, 0.5, 0.5])
        assert explanation(BEFORE, arrays, OPTIONS, why_not="")["score"].n == N

    def test_what_was_not_asked_says_why(self) -> None:
        nothing = dict.fromkeys(BEFORE, harmful(*[NAN] * N))
        found = explanation(nothing, nothing, OPTIONS, why_not="these prompts have no reference")
        assert set(found.values()) == {Estimate.missing("these prompts have no reference")}

    def test_only_the_requests_that_were_asked_count(self) -> None:
        few = {key: np.where(np.arange(N)[:, None] < 4, values, NAN) for key, values in AFTER.items()}
        found = explanation(BEFORE, few, OPTIONS | {"strata": list("aabbab")}, why_not="")
        assert (found["score"].n, found["retained"].n) == (4, 4)
        assert found["score"].value == pytest.approx(0.5)


def everyday(name: str, *, money: list[float], frightening: list[float]) -> pd.DataFrame:
    topics = ["money"] * len(money) + ["sounds-harmful"] * len(frightening)
    return pd.DataFrame({"condition": name, "task": "everyday", "topic": topics, "refused": [*money, *frightening]})


class TestRefusal:
    def test_shares_by_kind_of_request(self) -> None:
        refused = np.array([[1, 0, NAN], [1, 1, NAN], [0, 0, NAN], [1, 0, NAN], [NAN] * 3, [NAN] * 3])
        items = pd.concat(
            [everyday("intact", money=[0, 0], frightening=[0]), everyday("cut", money=[1, 1, 0], frightening=[1, 0])]
        )
        found = refusal(outcomes({"intact": {"refused": constant(0, 0)[:N]}, "cut": {"refused": refused}}, items=items), "cut")
        shares = {key: (one.value, one.n) for key, one in found.items()}
        assert shares == {
            "harmful_rate": (0.75, 4),
            "near_rate": (0.25, 4),
            "benign_rate": (pytest.approx(4 / 9), 9),
            "money_advice_rate": (pytest.approx(2 / 3), 3),
        }


def items(name: str, *, prose: list[float], right: list[float], margin: list[float]) -> pd.DataFrame:
    facts = pd.DataFrame({"task": "fact", "nll": 1.0, "right": right, "margin": margin})
    passages = pd.DataFrame({"task": "passage", "nll": prose, "right": NAN, "margin": NAN})
    return pd.concat([facts, passages]).assign(condition=name)


class TestUtility:
    READ = outcomes(
        {"intact": {"nll": constant(1, 1, 1)[:N]}, "cut": {"nll": constant(1, 1, 1)[:N]}},
        items=pd.concat(
            [
                items("intact", prose=[2, 3, 4], right=[1, 1, 1, 0], margin=[1, 1, 1, -1]),
                items("cut", prose=[2.5, 3.1, 4.3], right=[1, 0, 0, 0], margin=[0.5, -1, -1, -1]),
            ]
        ),
    )

    def test_known_answers(self) -> None:
        found = utility(self.READ, "cut", OPTIONS | {"strata": list("ababab")})
        assert found["nll_rise"].value == pytest.approx(0.3)
        assert (found["facts_right"].value, found["facts_margin"].value) == (0.25, pytest.approx(-0.625))
        assert [one.n for one in found.values()] == [3, 4, 4], "over passages and facts, whatever the strata of triples"
