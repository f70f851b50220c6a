"""Frames that say where something lies, in the shape of real ones: tokens, matrices, components."""

import pandas as pd


def fake_tokens() -> pd.DataFrame:
    return pd.DataFrame({"heads": [0.25, -0.5, 0.0], "neurons": [0.125, 0.25, -0.125]})


def fake_matrices() -> pd.DataFrame:
    """Two layers of two kinds, of 1,000 and 4,000 weights; shares of a mask differ by more than a factor of 30."""
    return pd.DataFrame(
        {
            "layer": [0, 0, 1, 1],
            "kind": ["attn.q", "mlp.in"] * 2,
            "rows": [10, 40] * 2,
            "columns": 100,
            "size": [1000, 4000] * 2,
            "weights": [1, 0, 100, 8],
            "signed_sum": [0.5, -0.25, 0.0, 0.125],
            "signed_magnitude": [1.0, 2.0, 1.0, 4.0],
            "share": [0.125, 0.25, 0.125, 0.5],
            "positive": [0.5, 0.25, 0.5, 0.75],
        }
    )


def fake_circuit() -> pd.DataFrame:
    rows = [(0, "heads", 2, (1, 3)), (2, "heads", 1, (0,)), (2, "neurons", 14, tuple(range(14))), (3, "neurons", 2, (5, 17))]
    return pd.DataFrame(rows, columns=["layer", "kind", "components", "indices"])
