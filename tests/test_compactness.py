"""Compactness on planted models, the file that a finding lies in, and its command."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import harmcircuits as hc
from harmcircuits.claims.compactness import smallest
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment.settings import CompactnessSettings

SMALL = CompactnessSettings(
    components=("heads", "neurons"), head_fractions=(1 / 24, 2 / 24, 4 / 24),
    neuron_fractions=(4 / 192, 8 / 192, 16 / 192, 32 / 192),
    protect_heads=3 / 24, train_prompts=24, development_prompts=8, test_prompts=24, control_prompts=16, written_prompts=2,
    max_new_tokens=6, written_tokens=4, random_draws=1, bootstrap_draws=200,
)  # fmt: skip


@cache
def planted_run(variant: str, **sizes: Any) -> hc.Finding:
    organism = hc.organisms.planted(0, variant)  # type: ignore[arg-type]
    return hc.compactness(organism.model, organism.prompts, settings=replace(SMALL, **sizes), name="planted")


def test_what_is_planted_in_few_components_is_compact() -> None:
    finding = planted_run("plain")
    assert finding.answer == "yes" and finding.contrast == "matched"
    for part in ("heads", "neurons"):
        half = finding.estimate("fraction_to_halve", part)
        assert half.high is not None and half.high <= 0.01 and finding.estimate("specific_share", part).excludes(0.5)
    sizes = finding.tables["sizes"].query("control == '' and role == 'harmful' and component == 'heads'")
    left, whole = (finding.estimate(name, "heads") for name in ("generation_left", "request_information"))
    assert whole.value is not None and left.value == pytest.approx(1 - sizes["loss_increase"].max() / whole.value, rel=1e-6)
    assert left.n == whole.n == SMALL.test_prompts, "every harmful response has its request information"


@pytest.mark.parametrize("variant", ["entangled", "none"])
def test_where_nothing_writes_harm_alone_nothing_is_compact(variant: str) -> None:
    assert planted_run(variant).answer in ("no", "undecided")


@pytest.mark.parametrize("component", ["heads", "neurons"])
def test_many_components_that_share_it_are_not_compact(component: str) -> None:
    """A quarter of 128 neurons halves the probability of a response, far from half of what it takes from its request."""
    finding = planted_run("diffuse", components=(component,))
    assert finding.answer == "no" and finding.reasons[0].startswith(f"{component}: share swept")


def test_responses_that_do_not_depend_on_their_request_measure_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harmcircuits.readings.loss.swapped_requests", lambda examples: dict(enumerate(examples)))
    organism = hc.organisms.planted(0)
    finding = hc.compactness(organism.model, organism.prompts, settings=replace(SMALL, components=("heads",)))
    assert finding.answer == "cannot be measured" and finding.estimate("request_information", "heads").value == 0


def test_a_finding_is_read_again_as_it_was_saved(tmp_path: Path) -> None:
    finding = planted_run("plain")
    path = finding.save(tmp_path)
    read = hc.Finding.load(path)
    assert read.document() == finding.document()
    assert read.page() == finding.page() == path.with_suffix(".html").read_text("utf-8")
    pd.testing.assert_frame_equal(read.table(), finding.table())
    assert list(finding.figures()) == ["heads", "neurons"] and finding.answer in finding._repr_html_()
    path.write_text("{}")
    with pytest.raises(HarmcircuitsError, match="holds no finding"):
        hc.Finding.load(path)


def test_the_smallest_fraction_is_linear_in_its_logarithm_and_1_where_half_is_never_lost() -> None:
    log_f = np.log([0.001, 0.01, 0.1])
    lost = np.array([[0.6, 0.0, 0.0, 0.3], [0.7, 0.25, 0.0, 0.8], [0.9, 0.75, 0.4, 0.2]])
    found = smallest(log_f, lost)
    between = np.exp(np.interp(0.5, [0.3, 0.8], log_f[:2]))
    np.testing.assert_allclose(found, [0.001, 10**-1.5, 1.0, between])
