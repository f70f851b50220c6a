"""Continuations side by side: those of `generate`, with the losses of `sweep`; no word of them unless asked for."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from written import PROMPTS

import harmcircuits as hc
from harmcircuits.judges.rules import read_compliance

CIRCUIT = hc.Circuit(heads=[(0, 1), (1, 3)], neurons=[(0, 3), (1, 9), (1, 60)])


@pytest.fixture(scope="module")
def comparison(tiny: Any) -> hc.Comparison:
    return hc.compare(tiny, CIRCUIT, PROMPTS, max_new_tokens=12)


def test_either_side_is_generated_and_read_as_alone(tiny: Any, comparison: hc.Comparison) -> None:
    table = comparison.table(text=True)
    for side, circuit in (("baseline", None), ("ablated", CIRCUIT)):
        examples = hc.generate(tiny, PROMPTS, circuit, max_new_tokens=12, temperature=0)
        assert table[f"{side}_text"].tolist() == [example.response for example in examples]
        assert table[f"{side}_tokens"].tolist() == [len(example.response_ids or ()) for example in examples]
        assert table[side].tolist() == [read_compliance(example.request, example.response) for example in examples]
    assert (table["baseline_text"] != table["ablated_text"]).any()
    baseline = hc.generate(tiny, PROMPTS, max_new_tokens=12, temperature=0)
    losses = hc.sweep(tiny, {"baseline": None, "circuit": CIRCUIT}, baseline)
    assert table["loss"].tolist() == pytest.approx(losses["baseline"].tolist(), abs=1e-5)
    assert table["loss_increase"].tolist() == pytest.approx((losses["circuit"] - losses["baseline"]).tolist(), abs=1e-5)


def test_no_word_is_shown_or_saved_unless_asked_for(comparison: hc.Comparison, tmp_path: Path) -> None:
    words = {word for side in ("baseline", "ablated") for text in comparison.rows[f"{side}_text"] for word in text.split()}
    words = {word for word in words if len(word) > 3} - {*" ".join(comparison.rows["request"]).split()}
    assert words
    comparison.save(tmp_path / "hidden.json")
    shown = [repr(comparison), comparison._repr_html_(), comparison.table().to_string(), (tmp_path / "hidden.json").read_text()]
    assert not [word for word in words for text in shown if word in text]
    hidden = hc.Comparison.load(tmp_path / "hidden.json")
    pd.testing.assert_frame_equal(hidden.table(), comparison.table())
    with pytest.raises(hc.HarmcircuitsError, match="saved without its texts"):
        hidden.side_by_side()
    comparison.save(tmp_path / "whole.json", text=True)
    pd.testing.assert_frame_equal(hc.Comparison.load(tmp_path / "whole.json").rows, comparison.rows)
    (tmp_path / "damaged.json").write_text('{"format": "harmcircuits comparison 1", "rows": {"columns": 3}}')
    with pytest.raises(hc.HarmcircuitsError, match=r"damaged\.json was changed"):
        hc.Comparison.load(tmp_path / "damaged.json")
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(hc.HarmcircuitsError, match=r"other\.json: no comparison"):
        hc.Comparison.load(tmp_path / "other.json")


def test_the_words_side_by_side_move_no_cursor(comparison: hc.Comparison) -> None:
    rows = comparison.rows.assign(ablated_text="bread\x1b[2J [bold]and butter")
    console = Console(width=200, record=True)
    console.print(hc.Comparison(rows).side_by_side())
    text = console.export_text()
    assert "\\x1b[2J [bold]and butter" in text and "\x1b" not in text
