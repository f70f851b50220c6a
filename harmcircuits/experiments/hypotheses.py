"""Tests of the hypothesis that a set of components is *the* circuit that writes harm: independence, minimality, sufficiency.

Source: Shi et al. 2024, "Hypothesis testing the circuit hypothesis in LLMs", turned round: there a circuit is kept and all else
is off; here the circuit is off and all else is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float

from .. import figures, store
from ..ablation.sweep import sweep
from ..components import Circuit, WeightMask
from ..examples import Example
from ..models.protocol import HookedModel, geometry
from ..notebook import notebook_html
from ..statistics import Estimate
from ..store import alone_in_folder
from ..tasks.information import swapped_requests
from .checks import ExperimentError
from .hypotheses_answers import Finding, Information, findings
from .hypotheses_components import COLUMNS as OF_COMPONENTS
from .hypotheses_components import minimality
from .hypotheses_random import COLUMNS as OF_RANDOM
from .hypotheses_random import size_of, sufficiency
from .kept import Kept
from .manifest import manifest
from .names import name_of, name_of_examples
from .scores import Scores

FORMAT = "harmcircuits circuit tests 1"
FILE = "circuit-tests.json"
NO_COMPONENTS = "a mask of weights has no components to leave out one by one: thousands of weights"
TABLE = [
    "test",
    "measure",
    "question",
    "statistic",
    "value",
    "low",
    "high",
    "n",
    "control",
    "p",
    "p_adjusted",
    "answer",
    "reason",
]


@dataclass(frozen=True, eq=False)
class CircuitTests:
    """What `test_circuit` found.

    Attributes:
        findings: one a test; `table` shows them.
        components: minimality, one row a tested component (`hypotheses_components.COLUMNS`); empty for a mask.
        sufficiency: random circuits of growing size, one row a multiple and measure (`hypotheses_random.COLUMNS`).
        about: heads, neurons, weights (of the circuit), triples, triples_of_few (for minimality and sufficiency), draws, added,
            margin, seed; of an earlier run's circuit also model, circuit and reproduce.
    """

    findings: tuple[Finding, ...]
    components: pd.DataFrame
    sufficiency: pd.DataFrame
    about: Mapping[str, Any]

    def table(self) -> pd.DataFrame:
        """One row a test: `TABLE`. value has a 95 % interval (low, high).

        n counts triples, and for minimality components. Null values have a `reason`.
        """
        rows = [
            {**asdict(one), **asdict(one.estimate), "p": one.p.value, "reason": one.estimate.reason or one.p.reason}
            for one in self.findings
        ]
        return pd.DataFrame(rows, columns=TABLE)

    def figure(self, *, measure: Literal["rise", "selectivity"] = "rise") -> go.Figure:
        """Rise of L (or selectivity) under random circuits against their size, the circuit's own as a line."""
        own = next(one.estimate for one in self.findings if (one.test, one.measure) == ("sufficiency", measure))
        return figures.random_circuits(
            self.sufficiency[self.sufficiency["measure"] == measure],
            own=own.value if own.value is not None else np.nan,
            low=own.low,
            high=own.high,
            measure=measure,
        )

    def save(self, folder: str | Path) -> None:
        """Writes `circuit-tests.json` into `folder`, atomically, with the command that makes it again.

        Raises:
            StoreError: the folder cannot be written, or another process is at work there.
        """
        frames = {name: _records(getattr(self, name)) for name in ("components", "sufficiency")}
        found = [asdict(one) | {"estimate": one.estimate.to_json(), "p": one.p.to_json()} for one in self.findings]
        about = {"command": self.about.get("reproduce", ""), "n": self.about["triples"], "about": dict(self.about)}
        with store.held(folder):
            store.write_json(Path(folder) / FILE, {"format": FORMAT, **about, "findings": found, **frames})

    @classmethod
    def load(cls, folder: str | Path) -> "CircuitTests":
        """Reads what `save` wrote.

        Raises:
            StoreError: the file is missing, damaged, or holds something else.
        """
        path = Path(folder) / FILE
        value = store.read_json(path)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise store.StoreError(f"{path} holds no tests of a circuit (its 'format' should be {FORMAT!r})")
        try:
            found = tuple(
                Finding(**one | {key: Estimate.from_json(one[key]) for key in ("estimate", "p")}) for one in value["findings"]
            )
            components = pd.DataFrame(value["components"], columns=OF_COMPONENTS)
            random = pd.DataFrame(value["sufficiency"], columns=OF_RANDOM)
            return cls(found, _typed(components), _typed(random), value["about"])
        except (KeyError, TypeError, ValueError) as error:
            raise store.StoreError(f"{path} was changed since it was saved ({error}). Run the tests again.") from error

    def __repr__(self) -> str:
        return f"CircuitTests({_size(self.about)}, {self.about['triples']} triples: {len(self.findings)} findings)"

    def _repr_html_(self) -> str:
        return notebook_html(_size(self.about), self.table().drop(columns=["reason"]), figure=self.figure)


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
        components = _typed(kept.frame("minimality", None, one_by_one))
    grown = kept.frames(
        ("own", "random"), None, lambda: _own_and_random(*sufficiency(model, circuit, few, draws=draws, **asked))
    )
    (own,), random = _unpaired(grown["own"]), _typed(grown["random"])
    about: dict[str, Any] = {**size_of(model, circuit), "triples": len(examples) // 3, "triples_of_few": len(few) // 2}
    about |= {"draws": draws, "added": added, "margin": margin, "seed": seed}
    found = findings(information, components, own, random, about)
    frame = _typed(pd.DataFrame(columns=OF_COMPONENTS)) if isinstance(components, str) else components
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


def _size(about: Mapping[str, Any]) -> str:
    return ", ".join(f"{about[kind]} {kind}" for kind in ("heads", "neurons", "weights") if about[kind])


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Plain values; what is null is None."""
    whole = frame.astype(object).where(frame.notna(), None)
    return [{str(key): _plain(value) for key, value in row.items()} for row in whole.to_dict("records")]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """The same dtypes whether it was measured or read: words as objects, all else as numbers (null: NaN)."""
    numbers = [name for name in frame if name not in ("kind", "measure", "reason")]
    return frame.assign(**{str(name): pd.to_numeric(frame[name]) for name in numbers})
