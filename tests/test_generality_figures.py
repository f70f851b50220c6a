"""The figures of generality show every number where it belongs, and say what is missing."""

import numpy as np
import pandas as pd
import pytest

from harmcircuits.figures import FigureError
from harmcircuits.figures.generality import overlap_matrix, transfer_matrix

ENDS = ("", "_low", "_high")


def cell(selected: str, tested: str, value: float | None) -> dict[str, object]:
    known = {"harmful": 0.75, "near": 0.25, "ratio": 0.5, "ratio_low": 0.25, "ratio_high": 0.75}
    ends = dict.fromkeys([f"selectivity{end}" for end in ENDS])
    if value is not None:
        ends = {"selectivity": value, "selectivity_low": value - 0.25, "selectivity_high": value + 0.25}
    return {"selected": selected, "tested": tested, **known, **ends}


CELLS = pd.DataFrame([cell("a <b>", "a <b>", 0.5), cell("a <b>", "c-d", -0.25), cell("random", "c-d", None)])


def test_every_cell_lies_in_its_row_and_column_with_its_interval() -> None:
    figure = transfer_matrix(CELLS)
    heat = figure.data[0]
    np.testing.assert_array_equal(np.array(heat.z, dtype=float), [[0.5, -0.25], [np.nan, np.nan]])
    assert tuple(heat.text[0]) == ("<b>+0.50</b><br>+0.25 to<br>+0.75", "<b>-0.25</b><br>-0.50 to<br>+0.00")
    assert tuple(heat.text[1]) == ("", "n/a")
    assert figure.layout.xaxis.ticktext == ("a &lt;b&gt;", "c d") and heat.zmin == -heat.zmax == -0.5
    assert "rises: harmful +0.7500, near +0.2500" in heat.hovertext[0][1] and "0.50, 95 %" in heat.hovertext[0][1]
    assert "not measured" in heat.hovertext[1][1]
    assert "a <b>: a <b> +0.50, c-d -0.25" in figure.layout.meta["alt"]


def test_overlaps_fill_both_halves_and_mark_what_is_significant() -> None:
    names = ["jaccard", "with_twins", "random", "null_low", "null_high"]
    row = lambda one, other, value, p: {
        "one": one,
        "other": other,
        "excess": value,
        "p_adjusted": p,
        **dict.fromkeys(names, 0.25),
    }
    frame = pd.DataFrame([row("a", "b", 0.5, 0.05), row("a", "c", 0.125, 0.06), row("b", "c", None, None)])
    heat = overlap_matrix(frame).data[0]
    filled = np.array(heat.z, dtype=float)
    np.testing.assert_array_equal(filled, filled.T)
    assert np.isnan(np.diag(filled)).all() and filled[0, 1] == 0.5
    assert (
        tuple(heat.text[1]) == ("<b>+0.50</b> *<br>0.25 in all<br>null +0.25<br>to +0.25", "", "n/a")
        and "*" not in heat.text[0][2]
    )
    little = overlap_matrix(frame.assign(excess=0.01)).data[0]
    assert heat.zmax == 0.5 and little.zmax == 0.1, "next to nothing looks pale"


def test_frames_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(FigureError, match=r"missing: \['near'\]"):
        transfer_matrix(CELLS.drop(columns="near"))
    with pytest.raises(FigureError, match="two rows for"):
        transfer_matrix(pd.concat([CELLS, CELLS]))
