"""The same seed gives the same numbers, in another batch size too; another seed gives others."""

import json
from typing import Any

import pytest
import torch
from test_experiment import SMALL, planted_run
from triples import make_triples

import harmcircuits as hc

SIZES = (1, 3, 64)


def report(found: hc.Dissociation) -> str:
    return json.dumps({key: value for key, value in found.report.items() if key != "seconds"})


def test_the_same_seed_gives_the_same_report_and_another_another() -> None:
    first = report(planted_run("plain", 0))
    planted_run.cache_clear()
    assert report(planted_run("plain", 0)) == first
    organism = hc.organisms.planted(0)
    train, development, test = organism.prompts.split(seed=0)
    options: Any = {"train": train, "development": development, "settings": hc.Settings(**vars(SMALL) | {"seed": 1})}
    assert report(hc.dissociate(organism.model, None, test, **options)) != first


@pytest.fixture(scope="module")
def examples(tiny: Any) -> list[hc.Example]:
    return hc.elicit(tiny, make_triples(8).prompts, max_new_tokens=12, seed=0, cache=False)


def test_another_batch_size_gives_the_same_numbers(tiny: Any, examples: list[hc.Example]) -> None:
    def read(size: int) -> list[torch.Tensor]:
        integrated, exact = (
            hc.attribute(tiny, examples[:6], method=name, batch_size=size, **more)
            for name, more in (("integrated", {"steps": 2}), ("exact", {"heads": [(0, 1)], "neurons": [(1, 5)]}))
        )
        first, W = (
            hc.attribute(tiny, examples, batch_size=size),
            hc.attribute_weights(tiny, examples[:9], benign=examples[9:], batch_size=size),
        )
        heads = [scores.per_example_heads.nan_to_num() for scores in (first, integrated, exact)]
        weights = [matrix for kind in (W.signed, W.absolute) for matrix in kind.values()]
        circuits = [None, hc.Circuit(heads=[(0, 1)]), hc.Circuit(neurons=[(1, 5)])]
        swept = torch.tensor(hc.sweep(tiny, circuits, examples, batch_size=size).to_numpy())
        return [hc.loss(tiny, examples, batch_size=size), *heads, first.per_example_neurons, *weights, swept]

    first, *others = map(read, SIZES)
    for other in others:
        for mine, expected in zip(other, first, strict=True):
            assert (mine - expected).abs().max() <= 1e-5 * max(1, expected.abs().max())


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_another_batch_size_writes_the_same_tokens(tiny: Any, temperature: float) -> None:
    write = lambda how, size, seed=0: [
        example.response_ids
        for example in how(tiny, make_triples(4).prompts, max_new_tokens=8, temperature=temperature, batch_size=size, seed=seed)
    ]
    for how in (hc.elicit, hc.generate):
        assert write(how, 1) == write(how, 3) == write(how, 64)
        assert (write(how, 3, seed=1) == write(how, 3)) == (temperature == 0)
