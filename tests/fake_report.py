"""A report, arrays and frames in the shape of a real run's; every number is made up and looks it."""

from typing import Any

import numpy as np
import pandas as pd

N = 99
"""Triples that the fake run claims."""


def measured(value: float, half: float = 0.05, n: int = N) -> dict[str, Any]:
    return {"value": value, "low": round(value - half, 6), "high": round(value + half, 6), "n": n}


def null(reason: str) -> dict[str, Any]:
    return {"value": None, "reason": reason}


FEW = "fewer than 39 draws"
NO_JUDGE = "no judge validated for harm"
UNREAD, NOT_READ = "writing of another kind", "writing of another kind was not read"


def condition(
    name: str,
    kind: str,
    *,
    heads: int = 0,
    neurons: int = 0,
    weights: int = 0,
    harmful: float = 0.111,
    twin: float = 0.022,
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "n_heads": heads,
        "n_neurons": neurons,
        "n_weights": weights,
        "generation": {
            "harmful_nll_rise": measured(harmful, 0.0333),
            "near_nll_rise": measured(twin, 0.0222),
            "far_nll_rise": measured(twin / 2, 0.0111),
            "selectivity": measured(round(harmful - twin, 6), 0.0444),
            "kl": measured(harmful / 3),
            "retained_harmful": measured(round(1 - harmful, 6), 0.0777),
            "retained_twin": measured(round(1 - twin, 6), 0.0888),
            "on_task_rate": measured(0.9, 0.05),
            "refusal_rate": measured(0.1, 0.05),
            "degenerate_rate": measured(0.01, 0.01),
            "harmful_rate": null(NO_JUDGE),
        },
        "recognition": {
            "auroc": measured(0.77, 0.07),
            "auroc_in_place": measured(0.88, 0.08),
            "probe_auroc": measured(0.55, 0.055),
            "probe_auroc_request": measured(0.44, 0.044),
            "retained": measured(0.999 - twin, 0.0999),
        },
        "explanation": {"score": measured(0.444, 0.0444), "retained": measured(0.9753, 0.0333)},
        "refusal": {
            "harmful_rate": measured(0.222),
            "near_rate": measured(0.044, 0.03),
            "benign_rate": measured(0.033, 0.03),
            "money_advice_rate": measured(0.0666, 0.03, 15),
        },
        "utility": {
            "nll_rise": measured(0.0123, 0.004, 60),
            "facts_right": measured(0.8421, 0.05, 57),
            "facts_margin": measured(1.357, 0.055, 57),
        },
        "dissociation": {
            "p_value": {"value": 0.0123, "low": None, "high": None, "n": N},
        },
    }


def fake_cell(name: str, aim: str, task: str, drop: float, effect: float, p: float) -> dict[str, Any]:
    place = {"condition": name, "aim": aim, "task": task}
    if task == UNREAD:
        return place | dict.fromkeys(("drop", "effect", "p", "p_adjusted"), null(NOT_READ))
    found = {"drop": measured(drop, 0.0222), "effect": measured(effect, 0.222)}
    return place | found | {name: {"value": p, "low": None, "high": None, "n": N} for name in ("p", "p_adjusted")}


def fake_crossed() -> dict[str, Any]:
    """Each aim hurts its own task most, the controls none; one task was not read, and one drop has no spread."""
    tasks = ["generation", "recognition", "explanation", "refusal", UNREAD]
    aims = {"generation": "heads", "recognition": "aimed at recognition", "explanation": "aimed at explanation"}
    rows = {name: aim for aim, name in aims.items()} | {"aimed at twins": "", "matched random": ""}
    cells = []
    for at, (name, aim) in enumerate(rows.items()):
        for task in tasks:
            own, sign = task == aim, -1 if task == "refusal" else 1
            effect = (0.987 - 0.111 * at if own else 0.0123 * sign * (at + 1), 0.0111 if own else 0.654)
            cells.append(fake_cell(name, aim, task, round(effect[0] / 9, 6), round(effect[0], 6), effect[1]))
    cells[-2]["effect"] = null("all triples fall by the same amount")
    words = ("first", "second", "one", "other")
    read, unread = (
        dict(zip(words, (f"aimed at {one}", f"aimed at {other}", one, other), strict=True))
        for one, other in (("generation", "recognition"), ("recognition", "explanation"))
    )
    p = {"value": 0.001, "low": None, "high": None, "n": N}
    interactions = [
        read | {"value": measured(1.753, 0.333), "p": p, "p_adjusted": p | {"value": 0.002}},
        unread | {"value": null(NOT_READ), "p": null(NOT_READ), "p_adjusted": null(NOT_READ)},
    ]
    return {"tasks": tasks, "aims": aims, "cells": cells, "interactions": interactions}


def fake_report() -> dict[str, Any]:
    """A complete report of three circuits and seven controls, with nulls where a default run has them."""
    swap = condition("label-swap", "label-swap", weights=3333, harmful=0.0444, twin=0.0333)
    swap["dissociation"] = {"p_value": null(FEW)}
    broken = condition("random", "random", neurons=222, harmful=0.0111, twin=0.0111)
    broken["recognition"]["retained"] = null("the in-place context was not measured")
    broken["recognition"]["auroc_in_place"] = null("the in-place context was not measured")
    return {
        "schema_version": 1,
        "harmcircuits_version": "0.0.0",
        "transformer_lens_version": "0.0.0",
        "model": {"name": "fake-model-0b", "sha256": "0" * 64, "dtype": "float32"},
        "seed": 12345,
        "n_triples": N,
        "verdict": "undecided",
        "verdict_sentence": "Undecided: made-up numbers cannot say what fake-model-0b does.",
        "verdict_reasons": ["every number here is made up", "a real run needs 999 triples"],
        "sensitivity_before_run": "With 99 triples the smallest detectable selectivity is 0.0999 nats per token.",
        "settings": {
            "q": 3e-4,
            "p": 6e-3,
            "heads": 8,
            "neurons": 222,
            "margin_auroc": 0.05,
            "prefill": "Fake prefill:",
            "draws": 111,
        },
        "limits": ["The numbers are made up.", "One small model; nothing here generalises."],
        "reproduce": "harmcircuits dissociate --model fake-model-0b --seed 12345 --out out/",
        "intact": {
            "generation": {
                "harmful_rate": null(NO_JUDGE),
                "on_task_rate": measured(0.91),
                "request_information_harmful": measured(0.777),
            },
            "recognition": {
                "auroc": measured(0.789, 0.0789),
                "auroc_in_place": measured(0.898, 0.0898),
                "probe_auroc": measured(0.567),
            },
        },
        "conditions": [
            condition("heads", "circuit", heads=8, harmful=0.123, twin=0.0456),
            condition("neurons", "circuit", neurons=222, harmful=0.234, twin=0.0789),
            condition("weights", "circuit", weights=3333, harmful=0.555, twin=0.2222),
            condition("neurons aimed at twins", "aimed-at-twins", neurons=222, harmful=0.111, twin=0.2222),
            condition("neurons aimed at recognition", "aimed-at-recognition", neurons=222, harmful=0.0777, twin=0.0666),
            broken,
            condition("matched-random", "matched-random", neurons=222, harmful=0.0222, twin=0.0222),
            swap,
        ],
        "crossed": fake_crossed(),
        "circuits": {"heads": "heads-of-fake.json", "weights": "weights-of-fake.safetensors"},
        "controls": {"aimed at twins": "twins-of-fake.json"},
        "nulls": {"n": N, "selectivity": {"label swap": [0.013579, 0.024681], "matched random": [0.0357] * 1111}},
        "seconds": {"generation": 1234.5, "refusal": 67.8},
    }


def fake_heads(*, layers: int = 12, heads: int = 9) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.0111, (layers, heads))


def fake_neurons(*, layers: int = 12, d_mlp: int = 640) -> np.ndarray:
    return np.random.default_rng(1).standard_t(3, (layers, d_mlp)) * 1e-4


def fake_draws() -> pd.DataFrame:
    generator = np.random.default_rng(2)
    return pd.DataFrame(
        {"null": ["matched random"] * 111 + ["label swap"] * 111, "value": generator.normal(0, 0.0222, 222).round(4)}
    )


def fake_responses() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "condition": ["intact", "weights"],
            "role": ["harmful", "near"],
            "request": ["Fake request one", "Fake request two"],
            "response": ["Made-up response number one.", "Made-up response number two."],
        }
    )


def fake_points() -> pd.DataFrame:
    """Two scores of each component, for a scatter."""
    generator, parts = np.random.default_rng(3), []
    for kind, scores in (("heads", fake_heads()), ("neurons", fake_neurons())):
        layer, index = np.indices(scores.shape).reshape(2, -1)
        second = 0.9 * scores.ravel() + generator.normal(0, scores.std() / 4, scores.size)
        parts.append(pd.DataFrame({"kind": kind, "layer": layer, "index": index, "first": scores.ravel(), "second": second}))
    return pd.concat(parts, ignore_index=True)
