"""Every number of a condition is computed on the triples that were read for it, and says how many they were."""

import math
from typing import Any

import numpy as np
import pytest
from hand_made import N, changed, entry, intact

from harmcircuits.experiments import measures


class TestMeasured:
    """What bootstraps are over: the triples that were read in all arrays, with their own strata."""

    def test_only_whole_triples_are_kept_with_their_strata(self) -> None:
        one, two = np.arange(12.0).reshape(4, 3), np.arange(4.0)
        one[1, 2], two[3] = math.nan, math.inf
        (kept, other), own = measures.measured({"draws": 50, "strata": ["a", "b", "c", "d"]}, one, two)
        np.testing.assert_array_equal(kept, one[[0, 2]])
        np.testing.assert_array_equal(other, [0, 2])
        assert own == {"draws": 50, "strata": ["a", "c"]}

    @pytest.mark.parametrize("options", [{}, {"strata": None}])
    def test_without_strata(self, options: dict[str, Any]) -> None:
        (kept,), own = measures.measured(options, np.array([1.0, math.nan, 3.0]))
        assert (kept.tolist(), own) == ([1.0, 3.0], options)

    @pytest.mark.parametrize("strata", [None, ["a", "b"] * (N // 2)], ids=["all alike", "by category"])
    def test_every_number_is_computed_with_its_own_n(self, strata: list[str] | None) -> None:
        """Many-shot recognition of 8 triples, written text of 7: nobody else's n."""
        after, before = changed(), intact()
        for column, n in (("many_shot", 8), ("on_task", 7)):
            for arrays in (after, before):
                arrays[column] = arrays[column].copy()
                arrays[column][n:] = math.nan
        found = entry(after, before=before, strata=strata)
        n = lambda path: found[path.split(".")[0]][path.split(".")[1]]["n"]
        assert [n(f"generation.{key}") for key in ("selectivity", "on_task_rate")] == [N, 7]
        assert [n(f"recognition.{key}") for key in ("auroc", "auroc_in_place", "retained")] == [8, N, N]
