"""What else changes, from hand-made outcomes: facts and plain prose."""

import math

import pandas as pd
import pytest
from hand_made import OPTIONS, constant, outcomes

from harmcircuits.experiments.collateral import utility

N = 6
NAN = math.nan


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
