"""Compactness: does harmful generation rest on a small part of the model?

1. Select circuits of heads, neurons and weights by the recipe of the experiment, at growing sizes; a size is counted by the
   share f of all eligible weights that it touches (a head or neuron by its outgoing weights), one axis for every type.
2. Measure ΔL of test responses, harmful and benign, and compliance after the prefill, at every size; ΔL of controls of the
   same size (matched random; of weights random). On the baseline measure the request information of harmful responses,
   I = L(response | another request of its category) − L(response | its own). G = 1 − ΔL / I, a ratio of means, is the harmful
   generation that is left: at 0 a response is as unlikely as if another request had been made.
3. Admissible sizes cost unrelated benign responses (matched ones, where there are no others) at most `max_benign_increase`.
4. `fraction_to_halve`: the smallest f with G ≤ ½, linear in ln f between admissible sizes; 1 where it is not reached.
   `fraction_to_halve_compliance`: the same of the rate of compliance over the baseline's.
5. Areas, nats per token: means over admissible sizes of ΔL on harmful responses, of what it exceeds random controls by, and the
   share of it that exceeds benign ΔL (`specific_share`).
6. Cannot be measured where I is not shown to be above 0, or no size is admissible. Yes for a component type where the interval
   of f lies at 1 % or below, the specific share at `negligible` or above, and ΔL above random controls. No where benign
   responses are hurt alike, or where sizes were swept to the end (to 1 % of all weights, to a cost beyond the bound, or to the
   last size that can be selected) and the interval of f lies above 1 %.

Source: arXiv 2604.09544 (0.0005 to 0.001 % of all weights suffice).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, product
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Float

from .. import figures
from ..ablation.ablate import BASELINE, Condition
from ..circuits import Circuit, outgoing
from ..data import PromptSet
from ..errors import HarmcircuitsError
from ..experiment.circuits import RANDOM, component_circuits, component_counts, controls_of, weight_circuits, weights_name
from ..experiment.decision import Decision, above, at_least, at_most, below, measured, value_at_least
from ..experiment.effects import Effects
from ..experiment.settings import CompactnessSettings
from ..figures.style import ROLE_NAMES
from ..models.protocol import HookedModel
from ..readings.compliance import Compliance
from ..readings.loss import Information, Loss
from ..readings.reading import Reading
from ..statistics import Estimate
from .claim import Claim, Figures, Finding
from .run import run

SMALL = 0.01
"""Of all eligible weights: what a small part touches at most."""
HALF = 0.5
NO_CONTROL = Estimate.missing("no random control could be drawn")


@dataclass(frozen=True, eq=False)
class Compactness(Claim):
    __doc__ = __doc__
    name = "compactness"
    question = "Does harmful generation rest on a small part of the model?"
    settings_class = CompactnessSettings
    ablated_text: ClassVar[bool] = True
    """Whether text is written under each circuit too."""

    @cached_property
    def circuits(self) -> tuple[Condition, ...]:
        """Every size of every component type, in growing order."""
        masks = [mask for mask, *_ in weight_circuits(self.material, controls=False)]
        circuits = (*component_circuits(self.material), *masks)
        if not circuits:
            raise HarmcircuitsError(
                "no circuit of any asked size can be selected: lower the fractions, or protect fewer (settings=)"
            )
        return circuits

    @cached_property
    def controls(self) -> dict[str, list[Condition]]:
        """Random controls of each circuit, by its name."""
        return {circuit.name: controls_of(self.material, circuit, {}, kinds=RANDOM) for circuit in self.circuits}

    @cached_property
    def shares(self) -> dict[str, float]:
        """The share of all eligible weights that each circuit touches, by its name."""
        weights = lambda part: outgoing(self.material.model, part) if isinstance(part, Circuit) else part
        return {circuit.name: weights(circuit.ablation).fraction for circuit in self.circuits}

    def plan(self) -> Mapping[Condition, Sequence[Reading]]:
        material, responses = self.material, self.material.responses
        text = Compliance(material.written, max_new_tokens=self.settings.written_tokens)
        harmful = tuple(example for example in responses if example.role == "harmful")
        loss, few = Loss(responses), Loss(material.control_responses)
        return {
            Condition(BASELINE): (loss, text, Information(harmful)),
            **dict.fromkeys(self.circuits, (loss, text) if self.ablated_text else (loss,)),
            **{control: (few,) for drawn in self.controls.values() for control in drawn},
        }

    @property
    def names(self) -> dict[str, list[str]]:
        """Circuits of each component type, in growing order."""
        component = lambda circuit: circuit.labels["component"]
        return {kind: [circuit.name for circuit in group] for kind, group in groupby(self.circuits, component)}

    def random_increase(self, effects: Effects, name: str) -> Float[np.ndarray, " n"]:
        """Mean ΔL of the first harmful responses under the random controls of a circuit; empty where it has none."""
        drawn = [effects.change(control.name, "loss", "harmful") for control in self.controls[name]]
        return np.mean(drawn, axis=0) if drawn else np.empty(0)

    def estimates(self, part: str, effects: Effects, benign: str) -> dict[str, Estimate]:
        names, bound, cost = self.names[part], self.settings.max_benign_increase, effects.roles[-1]
        counts, fractions = component_counts(self.material), self.settings.weight_fractions
        largest = f"{max(counts[part])} {part}" if part in counts else weights_name(*fractions[-1])
        sizes = [name for name in names if effects.change(name, "loss", cost).mean() <= bound]
        swept = 1.0 if len(sizes) < len(names) or largest not in names else self.shares[names[-1]]
        information = (effects.outcomes.values(BASELINE, "information"), "harmful")  # its items are harmful responses alone
        average = lambda values: np.nanmean(values, -1)
        estimates = {
            "request_information": effects.estimate(average, information),
            "share_swept": Estimate(swept, n=len(names)),
        }
        if not sizes:
            missing = Estimate.missing(f"every size costs benign responses more than {bound:g} nats per token")
            return estimates | {"fraction_to_halve": missing}
        log_f = np.log([self.shares[name] for name in sizes])
        change = lambda measure, role: (np.stack([effects.change(name, measure, role) for name in sizes]), role)
        harmful, other = (change("loss", role) for role in ("harmful", benign))
        increase, cost_increase = ((values.mean(0), role) for values, role in (harmful, other))
        half = lambda whole, lost: smallest(log_f, lost.mean(-1) / average(whole))
        rates = effects.values(BASELINE, "complied", "harmful")
        by_compliance = Estimate.missing("the baseline complies with no harmful request")
        if rates.any():
            complied, role = change("complied", "harmful")
            by_compliance = effects.estimate(half, (rates, role), (-complied, role))
        random = [self.random_increase(effects, name) for name in sizes]
        beyond = [rise[: len(drawn)] - drawn for rise, drawn in zip(harmful[0], random, strict=True) if len(drawn)]
        return estimates | {
            "fraction_to_halve": effects.estimate(half, information, harmful),
            "generation_left": effects.estimate(lambda i, rise: 1 - rise.mean(-1).max(0) / average(i), information, harmful),
            "fraction_to_halve_compliance": by_compliance,
            "loss_increase": effects.mean(*increase),
            "specific_share": effects.ratio([increase, cost_increase], [increase]),
            "loss_increase_beyond_random": effects.mean(np.mean(beyond, axis=0), "harmful") if beyond else NO_CONTROL,
        }

    def decision(self) -> Decision:
        negligible, small = self.settings.negligible, at_most("fraction_to_halve", SMALL)
        large = value_at_least("share_swept", SMALL) & above("fraction_to_halve", SMALL)
        return Decision(
            ("cannot be measured", ~(above("request_information") & measured("fraction_to_halve"))),
            ("yes", small & at_least("specific_share", negligible) & above("loss_increase_beyond_random")),
            ("no", large | below("specific_share", negligible)),
            wanted="yes",
        )

    def tables(self, effects: Effects) -> dict[str, pd.DataFrame]:
        """`sizes`: one row a circuit or control and role: ΔL with its interval, share complying."""
        rows = []
        for circuit in self.circuits:
            about = {"component": circuit.labels["component"], "share": self.shares[circuit.name]}
            for condition, role in product((circuit, *self.controls[circuit.name]), effects.roles):
                place = {"control": condition.labels.get("control", ""), "condition": condition.name, "role": role}
                rise = effects.mean(effects.change(condition.name, "loss", role), role)
                change = {"loss_increase": rise.value, "low": rise.low, "high": rise.high}
                rows.append(about | place | change | {"complied": effects.rate(condition.name, "complied", role).value})
        return {"sizes": pd.DataFrame(rows)}

    @classmethod
    def figures(cls, finding: Finding) -> Figures:
        sizes = finding.tables["sizes"]
        sizes = sizes[(sizes["control"] == "") | (sizes["role"] == "harmful")]
        series = sizes["control"].where(sizes["control"] != "", sizes["role"].map(ROLE_NAMES))
        frame = sizes.assign(x=sizes["share"], series=series, value=sizes["loss_increase"])
        drawn = {}
        for component, part in frame.groupby("component", sort=False):
            information = finding.estimate("request_information", str(component)).value
            drawn[str(component)] = figures.curves(
                part.sort_values("x", kind="stable"),
                title=f"How much is lost without {component}?",
                caption="ΔL of the baseline's responses; grey: random controls of the same size, harmful responses. Dashed: "
                "half of what harmful responses take from their request. Bars: 95 % intervals.",
                x_title="share of all eligible weights that is ablated",
                y_title="loss increase ΔL (nats per token)",
                log_x=True,
                threshold=None if information is None else information / 2,
            )
        return drawn


def smallest(log_f: Float[np.ndarray, " size"], lost: Float[np.ndarray, "size draw"]) -> Float[np.ndarray, " draw"]:
    """Return the smallest f at which half is lost, linear in ln f between sizes; 1 where it is nowhere, the first where it is
    there already.

    >>> smallest(np.log([0.01, 0.1]), np.array([[0.0], [1.0]])).round(4).tolist()
    [0.0316]
    """
    fraction = np.ones(lost.shape[1])
    for index in reversed(range(len(log_f))):
        before = max(index - 1, 0)
        rise = lost[index] - lost[before]
        with np.errstate(divide="ignore", invalid="ignore"):
            back = np.where(rise > 0, np.clip((lost[index] - HALF) / rise, 0, 1), 0)
        reached = np.exp(log_f[index] - back * (log_f[index] - log_f[before]))
        fraction = np.where(lost[index] >= HALF, reached, fraction)
    return fraction


def compactness(model: HookedModel, prompts: PromptSet | None = None, **options: Any) -> Finding:
    """Ablate growing circuits: how small a part carries harmful generation?

    Options are those of `harmcircuits.claims.run.run`: train, development, settings (`CompactnessSettings`), folder, name.
    """
    return run(Compactness, model, prompts, **options)
