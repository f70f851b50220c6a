"""Tests of the hypothesis that a set of components is *the* circuit that writes harm: independence, minimality, sufficiency.

Source: Shi et al. 2024, "Hypothesis testing the circuit hypothesis in LLMs", turned round: there a circuit is kept and all else
is off; here the circuit is off and all else is kept.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from .. import store
from ..ablation.sweep import sweep
from ..components import Circuit, WeightMask
from ..examples import Example
from ..models.protocol import HookedModel, geometry
from ..store import alone_in_folder
from ..tasks.information import swapped_requests
from .checks import ExperimentError
from .hypotheses_answers import Information, findings
from .hypotheses_components import COLUMNS as OF_COMPONENTS
from .hypotheses_components import minimality
from .hypotheses_random import size_of, sufficiency
from .hypotheses_results import CircuitTests, typed
from .kept import Kept
from .manifest import manifest
from .names import name_of, name_of_examples
from .scores import Scores

NO_COMPONENTS = "a mask of weights has no components to leave out one by one: thousands of weights"


@alone_in_folder
def test_circuit(
    model: HookedModel,
    circuit: Circuit | WeightMask,
    examples: Sequence[Example],
    *,
    scores: Scores | None = None,
    triples: int = 8,
    draws: int = 39,
    added: int = 59,
    neurons: int = 32,
    margin: float = 0.1,
    seed: int = 0,
    folder: str | Path | None = None,
    progress: bool = False,
) -> CircuitTests:
    """Tests whether `circuit` is all that writes harm, no more than that, and more than chance would give.

        tests = hc.test_circuit(model, circuit, examples)
        tests.table(), tests.components, tests.sufficiency, tests.figure()

    - *independence*: does harmful text still answer its request once the circuit is off? Request information
      I = L(response | another request) − L(response | its own), nats per token, of all triples, by sign flips against 0; the
      same for near twins; and the difference of what is retained. "gone" is said where I is equivalent to 0 within `margin`
      alone;
    - *minimality*: does each component matter more than random ones of its kind that are added to the circuit
      (`hypotheses_components`)? Not asked of a mask;
    - *sufficiency*: how large must random circuits be to raise L as much (`hypotheses_random`)?

    All sizes are rises: positive means that the ablation hurts. Ablation is to zero. docs/hypotheses.md has the formulas.

    Args:
        circuit: heads and neurons, or single weights.
        examples: of test triples, that nothing was selected on: harmful, near, far, harmful, … as `experiments.scores.respond`
            gives them.
        scores: of the training triples: the neurons that minimality tests are then spread evenly over A. Of no use to a mask.
        triples: the first so many are used for minimality and sufficiency.
        draws: random circuits of each size.
        added: random components of each kind.
        neurons: at most so many of the circuit's neurons are tested one by one; heads all.
        margin: of "gone", nats per token, fixed beforehand.
        seed: of everything drawn.
        folder: for each test that is finished (in its `journal/`), so that tests that were stopped go on where they were; None:
            nothing is kept.

    Raises:
        StoreError: the folder cannot be written, or another process works there.
        ExperimentError: a circuit without components, fewer than two triples, examples in another order, scores of another
            model, or a number that makes no sense. All before anything is computed.
        CircuitError, MaskError, ModelError: a component or matrix that the model does not have.
        ExampleError: an example with an empty response.
    """
    sizes = {"triples": triples, "draws": draws, "added": added, "neurons": neurons}
    _check(model, circuit, examples, scores, sizes, margin)
    twins = [example for at, example in enumerate(examples) if at % 3 < 2]
    few = twins[: 2 * triples]
    kept = Kept.at(model, folder, _manifest(model, circuit, twins, scores, sizes | {"seed": seed}))
    asked: dict[str, Any] = {"seed": seed, "progress": progress}
    information = _unpaired(
        kept.frame("information", None, lambda: _paired(request_information(model, circuit, twins, **asked)))
    )
    components: pd.DataFrame | str = NO_COMPONENTS
    if isinstance(circuit, Circuit):
        one_by_one = partial(minimality, model, circuit, few, scores=scores, neurons=neurons, added=added, **asked)
        components = typed(kept.frame("minimality", None, one_by_one))
    grown = kept.frames(
        ("own", "random"), None, lambda: _own_and_random(*sufficiency(model, circuit, few, draws=draws, **asked))
    )
    (own,), random = _unpaired(grown["own"]), typed(grown["random"])
    about: dict[str, Any] = {**size_of(model, circuit), "triples": len(examples) // 3, "triples_of_few": len(few) // 2}
    about |= {"draws": draws, "added": added, "margin": margin, "seed": seed}
    found = findings(information, components, own, random, about)
    frame = typed(pd.DataFrame(columns=OF_COMPONENTS)) if isinstance(components, str) else components
    return CircuitTests(found, frame, random, about)


def request_information(
    model: HookedModel, circuit: Circuit | WeightMask, twins: Sequence[Example], *, seed: int = 0, progress: bool = False
) -> Information:
    """I of each triple's harmful and near response, nats per token: by the intact model, and without the circuit.

    Raises:
        InformationError: a single example of a role.
    """
    other = swapped_requests(twins, seed=seed)
    losses = sweep(model, [None, circuit], [*twins, *other], progress=progress).numpy().astype(float)
    own, under_other = losses[:, : len(twins)], losses[:, len(twins) :]
    return np.asarray((under_other - own).reshape(2, -1, 2))


def _manifest(
    model: HookedModel,
    circuit: Circuit | WeightMask,
    twins: Sequence[Example],
    scores: Scores | None,
    sizes: Mapping[str, int],
) -> dict[str, Any]:
    A = None if scores is None else [part.flatten().tolist() for part in (scores.harmful.heads, scores.harmful.neurons)]
    of = {"circuit": name_of(circuit), "examples": name_of_examples(twins), "scores": store.digest(A)}
    return manifest(model, {}, None, circuit_tests=dict(sizes), **of)


def _paired(found: Float[np.ndarray, "condition triple 2"]) -> pd.DataFrame:
    """One row a condition and triple."""
    return pd.DataFrame(
        [(at, *pair) for at, of in enumerate(found.tolist()) for pair in of], columns=["condition", "harmful", "near"]
    )


def _unpaired(frame: pd.DataFrame) -> Float[np.ndarray, "condition triple 2"]:
    """What `_paired` was given."""
    return np.stack([of[["harmful", "near"]].to_numpy(dtype=float) for _, of in frame.groupby("condition")])


def _own_and_random(own: Float[np.ndarray, "triple 2"], random: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {"own": _paired(own[None]), "random": random}


def _check(
    model: HookedModel,
    circuit: Circuit | WeightMask,
    examples: Sequence[Example],
    scores: Scores | None,
    sizes: Mapping[str, int],
    margin: float,
) -> None:
    if not len(circuit):
        raise ExperimentError("the circuit has no components: there is nothing to test. Give one that has.")
    circuit.check(model)
    roles = [example.role for example in examples]
    if len(examples) < 6 or len(examples) % 3 or roles != ["harmful", "near", "far"] * (len(examples) // 3):
        raise ExperimentError(
            f"{len(examples)} examples are no whole triples, or fewer than two: give harmful, near, far of the first triple, "
            "then of the next, as experiments.scores.respond does (a request is exchanged for that of another triple)."
        )
    wrong = {name: value for name, value in sizes.items() if value < 1}
    if wrong or not margin > 0:
        name, value = next(iter(wrong.items()), ("margin", margin))
        raise ExperimentError(f"{name} must be {'at least 1' if wrong else 'above 0'}, not {value!r}")
    shape = geometry(model)
    if scores is not None and scores.harmful.neurons.shape != (shape.n_layers, shape.d_mlp):
        raise ExperimentError("the scores are of another model: attribute this one, or leave scores= out.")
