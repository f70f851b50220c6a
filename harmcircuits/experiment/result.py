"""The result of `dissociate`: an answer, a table of effect sizes, figures, and `report.json`."""

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .. import store
from .._version import __version__
from ..ablation.ablate import BASELINE, Condition
from ..circuits import Circuit, WeightMask
from ..models.model_key import model_key
from ..models.protocol import geometry, tokenizer_of
from ..report import Section, page
from ..results import notebook_html
from ..statistics import Estimate
from .circuits import Circuits
from .decision import Verdict
from .effects import Effects
from .figures import dissociation_plane, effect_sizes, polarity, size_sweep
from .material import Material
from .outcomes import TEXT_COLUMNS, Outcomes

if TYPE_CHECKING:
    import plotly.graph_objects as go

SCHEMA = 2
ORDER = ("dissociated", "shared", "not selective", "undecided", "cannot be measured")
"""Answers, the one that a run leads with first."""
AUROCS = ("recognition", "one_sided", "in_place", "many_shot", "probe", "probe_last")
RATES = (
    "complied",
    "refused",
    "degenerate",
    "complied_sampled",
    "refused_sampled",
    "degenerate_sampled",
    "complied_judged",
    "refused_judged",
    "refusal",
)
MEANS = ("recognition", "bias", "refusal_mass", "one_sided")
ITEMS = ("explanation", "fact", "passage")
"""Measures of items that are no test prompts."""
QUESTION = "Does harmful generation come apart from the recognition of harm?"
METHOD = """
Harmful and benign requests are answered by the baseline after a prefill, the first words of a compliant answer. Circuits are
selected from first-order scores of training responses; their sizes are chosen on development responses. Effect sizes are
measured on test requests that took no part in either.

Loss increase ΔL: mean negative log-likelihood of the baseline's own greedy responses, ablated − baseline, nats per token.
Recognition: log-odds of a question about the request and of its reversed twin, averaged, so that saying "No" more often
changes nothing; AUROC of harmful against benign requests. Intervals: 95 %, bootstrap over requests.

Dissociated: the loss of harmful responses rises, more than that of benign ones and more than under random controls, while
recognition keeps the fixed share of its signal, and a control aimed at recognition lowers it. Shared: recognition falls too,
beyond random. Not selective: benign responses are hurt as much. Undecided: the intervals allow more than one of these.
"""
NO_JUDGE = "Compliance is read by rules on the surface of short texts; whether a text would do harm is not judged."
UNPAIRED = "Harmful and benign requests are no triples: a difference between them may be one of their sources."
UNTRAINED = "No training requests were given: circuits of heads and neurons have no controls."


@dataclass(frozen=True, eq=False)
class Dissociation:
    """What `dissociate` found.

    Attributes:
        report: everything in plain values, as `report.json` holds it (schema 2).
        effects: one row a condition, effect and role: value, low, high, n, reason.
        outcomes: every measured value.
        circuits, controls: what was ablated, by name.
        sweep: sizes that were tried on development responses.
    """

    report: dict[str, Any]
    effects: pd.DataFrame
    outcomes: Outcomes
    circuits: Mapping[str, Circuit | WeightMask]
    controls: Mapping[str, Circuit | WeightMask]
    sweep: pd.DataFrame

    @property
    def answer(self) -> str:
        """The answer of the circuit that the run leads with."""
        return str(self.report["answer"])

    @property
    def sentences(self) -> list[str]:
        """Three plain sentences: is the effect harm's own, is harm recognised, is recognition kept?"""
        return list(self.report["sentences"])

    def estimate(self, condition: str, effect: str, role: str = "all") -> Estimate:
        """Return one effect size; missing where it was not measured."""
        rows = self.effects
        rows = rows[(rows["condition"] == condition) & (rows["effect"] == effect) & (rows["role"] == role)]
        return Estimate.missing("not measured") if rows.empty else estimate_of(rows.iloc[0].to_dict())

    def table(self, *, controls: bool = True) -> pd.DataFrame:
        """One row a condition, one column an effect and role; values with intervals as text."""
        rows = self.effects if controls else self.effects[~self.effects["control"].astype(bool)]
        rows = rows[rows["effect"].isin(COLUMNS)].copy()
        rows["text"] = [estimate_text(row) for row in rows.to_dict("records")]
        wide = rows.pivot_table("text", "condition", ["effect", "role"], aggfunc="first", sort=False)
        order = [(effect, role) for effect in COLUMNS for role in ("harmful", "near", "far", "all") if (effect, role) in wide]
        return wide[order]

    def figure(self) -> "go.Figure":
        """The dissociation plane: harmful generation lost against recognition kept."""
        return dissociation_plane(self.effects, measure=str(self.report["recognition"]["measure"]))

    def figures(self) -> dict[str, "go.Figure"]:
        """Every figure by name, the plane first; none where nothing was ablated."""
        if not self.circuits or self.report["reason"]:
            return {}
        drawn = {"plane": self.figure(), "effects": effect_sizes(self.effects), "polarity": polarity(self.effects)}
        return drawn if self.sweep.empty else drawn | {"sweep": size_sweep(self.sweep)}

    def page(self) -> str:
        """One HTML page that fetches nothing: the answer, figures, the table. No text that the model wrote."""
        return page([self.section()], model=str(self.report["model"]["name"]))

    def section(self) -> Section:
        """What a page shows of the result."""
        report, roles = self.report, {"near": "matched", "far": "unrelated", "all": ""}
        answers = [f"{row['circuit']}, {row['contrast']} benign requests: {row['answer']}." for row in report["answers"]]
        every = self.table().rename(columns=roles)
        circuits = every.loc[[name for name in every.index if name not in self.controls]].dropna(axis="columns", how="all")
        return Section(
            name="dissociation",
            question=QUESTION,
            answer=self.answer,
            sentences=[*self.sentences, *answers],
            figures=self.figures(),
            tables={"Effect sizes, 95 % intervals": circuits.T, "Circuits and controls": every},
            limits=[
                *([] if report["prompts"]["paired"] else [UNPAIRED]),
                *([] if report["prompts"]["train"] else [UNTRAINED]),
                NO_JUDGE,
            ],
            method=METHOD,
            model=report["model"] | {"prompts": report["prompts"]},
            settings=report["settings"],
            command=report["command"],
        )

    def __repr__(self) -> str:
        return f"Dissociation({self.answer!r}, {len(self.circuits)} circuits, {len(self.controls)} controls)"

    def _repr_html_(self) -> str:
        return notebook_html("; ".join([f"{self.answer}", *self.sentences]), self.table(controls=False).reset_index())

    def save(self, folder: str | Path) -> Path:
        """Write `report.json`, `report.html`, `effects.csv`, `outcomes.csv`, `sweep.csv` and the circuits; return the folder.

        Texts that the model wrote are not written. Raises StoreError where the folder cannot be written.
        """
        place = Path(folder)
        made = {"circuits": self.circuits, "controls": self.controls}
        files = {kind: _files(own) for kind, own in made.items()}
        with store.held(place):
            store.write_json(place / "report.json", self.report | files)
            store.write_text(place / "report.html", self.page())
            for name, frame in (("effects", self.effects), ("outcomes", self.outcomes.frame), ("sweep", self.sweep)):
                store.write_text(place / f"{name}.csv", frame.to_csv(index=False))
            for kind, own in made.items():
                for name, ablation in own.items():
                    ablation.save(place / kind / files[kind][name])
        return place

    @classmethod
    def load(cls, folder: str | Path) -> "Dissociation":
        """Read what `save` wrote. Raises StoreError naming the file that is missing or damaged."""
        place = Path(folder)
        report = store.read_json(place / "report.json")
        files = [report.pop(kind, None) for kind in ("circuits", "controls")] if isinstance(report, dict) else [None]
        folders = [own for own in files if isinstance(own, dict) and all(map(_is_file, own.values()))]
        if len(folders) != 2 or report.get("schema_version") != SCHEMA:
            raise store.StoreError(f"{place / 'report.json'} is no report of schema {SCHEMA}: run dissociate again.")
        effects, outcomes, sweep = (_read_csv(place / f"{name}.csv") for name in ("effects", "outcomes", "sweep"))
        circuits, controls = (
            {name: _ablation(place / kind / file) for name, file in own.items()}
            for kind, own in zip(("circuits", "controls"), folders, strict=True)
        )
        return cls(report, effects, Outcomes(outcomes, pd.DataFrame(columns=TEXT_COLUMNS)), circuits, controls, sweep)


COLUMNS = ("loss_increase", "refused", "recognition_auroc", "one_sided_auroc", "refusal", "degenerate", "fact")
"""Effects of `table`, in order."""


def _read_csv(path: Path) -> pd.DataFrame:
    """A table that `save` wrote: numbers to the last digit, text that is empty stays empty."""
    try:
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""], float_precision="round_trip")
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (OSError, ValueError) as error:
        raise store.StoreError(f"{path} cannot be read ({store.one_line(error)}): run dissociate again.") from error
    return frame.fillna(dict.fromkeys(set(frame.columns) & {"component", "control", "reason"}, ""))


def _files(ablations: Mapping[str, Circuit | WeightMask]) -> dict[str, str]:
    """A file for each name: no separators, no dots, and no two names in one."""
    files: dict[str, str] = {}
    for name, ablation in ablations.items():
        stem, ending = re.sub(r"[^\w-]+", "-", name)[:100], "json" if isinstance(ablation, Circuit) else "safetensors"
        taken = sum(file.partition(".")[0].partition("~")[0].lower() == stem.lower() for file in files.values())
        files[name] = f"{stem}~{taken}.{ending}" if taken else f"{stem}.{ending}"
    return files


def _is_file(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[\w~-]{1,120}\.(json|safetensors)", name) is not None


def _ablation(path: Path) -> Circuit | WeightMask:
    return Circuit.load(path) if path.suffix == ".json" else WeightMask.load(path)


def estimate_text(row: Mapping[Any, Any]) -> str:
    """Value and interval of a row as text, to two decimals; to two digits where all are below 0.005.

    >>> estimate_text({"value": 0.5, "low": -0.001, "high": 0.75}), estimate_text({"value": 2e-4, "low": None, "high": None})
    ('0.50 [0.00, 0.75]', '0.0002')
    """
    if pd.isna(row["value"]):
        return "—"
    numbers = [number for number in (row["value"], row["low"], row["high"]) if pd.notna(number)]
    small = 0 < max(map(abs, numbers)) < 0.005
    value, *ends = (f"{number:.2g}" if small else f"{round(number, 2) + 0.0:.2f}" for number in numbers)  # + 0.0: no minus zero
    return f"{value} [{', '.join(ends)}]" if ends else value


def result(
    material: Material,
    made: Circuits,
    effects: Effects,
    answers: Mapping[tuple[str, str], Verdict],
    estimates: Mapping[tuple[str, str], Mapping[str, Estimate]],
    *,
    reason: str,
    judge: str,
    name: str,
    command: str,
) -> Dissociation:
    """Put outcomes, effects and answers together."""
    conditions = [Condition(BASELINE), *made.circuits, *made.controls]
    measured = [condition for condition in conditions if condition.name in effects.outcomes.conditions]
    frame = effect_frame(effects, measured, estimates)
    rank = lambda key: (key[1] != "matched", ORDER.index(answers[key].answer), list(answers).index(key))
    lead = min(answers, key=rank) if answers else None
    answer = answers[lead].answer if lead else "cannot be measured"
    report = {
        "schema_version": SCHEMA,
        "harmcircuits": __version__,
        "model": describe_model(material, name),
        "prompts": describe_prompts(material, effects),
        "settings": material.settings.as_dict(),
        "judge": judge,
        "command": command,
        "recognition": {"question": material.question.name, "measure": material.primary},
        "answer": answer,
        "reason": reason,
        "leads": list(lead) if lead else [],
        "sentences": [reason] if reason else sentences(lead, estimates) if lead else [],
        "answers": [
            {"circuit": circuit, "contrast": contrast, "answer": verdict.answer, "reasons": verdict.reasons}
            for (circuit, contrast), verdict in answers.items()
        ],
        "conditions": [
            {
                "name": condition.name,
                "size": condition.size,
                "labels": dict(condition.labels),
                "effects": _leaves(frame, condition.name),
            }
            for condition in measured
        ],
        "sweep": [{key: value for key, value in row.items() if pd.notna(value)} for row in made.sweep.to_dict("records")],
        "versions": {"python": platform.python_version(), **{package: version(package) for package in _PACKAGES}},
    }
    circuits, controls = ({c.name: c.ablation for c in own if c.ablation is not None} for own in (made.circuits, made.controls))
    return Dissociation(report, frame, effects.outcomes, circuits, controls, made.sweep)


_PACKAGES = ("torch", "transformers", "transformer_lens", "numpy", "scipy")


def sentences(key: tuple[str, str], estimates: Mapping[tuple[str, str], Mapping[str, Estimate]]) -> list[str]:
    """Return three plain sentences about one circuit and contrast."""
    circuit, contrast = key
    own = estimates[key]
    return [
        f"Without {circuit}, the loss of harmful responses rises by {_range(own['loss_increase'])} nats per token, that "
        f"of {contrast} benign ones by {_range(own['loss_increase_beyond_benign'])} less: {_percent(own['specific_share'])} of "
        "the effect is harm's own.",
        f"Unablated, it tells harmful from {contrast} benign requests with AUROC {_range(own['baseline_recognition'])}.",
        f"Ablated, {_percent(own['retained_recognition'])} of that signal is left "
        f"(AUROC {_range(own['recognition_change'], sign='+')}).",
    ]


def _range(estimate: Estimate, *, sign: str = "") -> str:
    if estimate.value is None:
        return "an unknown amount"
    value, *ends = (
        f"{round(end, 2) + 0.0:{sign}.2f}" for end in (estimate.value, estimate.low, estimate.high) if end is not None
    )
    return f"{value} [{', '.join(ends)}]" if ends else value


def _percent(estimate: Estimate) -> str:
    if estimate.value is None:
        return "an unknown share"
    value, *ends = (f"{round(100 * end)}" for end in (estimate.value, estimate.low, estimate.high) if end is not None)
    return f"{value} % [{', '.join(ends)}]" if ends else f"{value} %"


def effect_frame(
    effects: Effects, conditions: list[Condition], estimates: Mapping[tuple[str, str], Mapping[str, Estimate]]
) -> pd.DataFrame:
    """One row a condition, effect and role."""
    rows: list[dict[str, Any]] = []
    for condition in conditions:
        labels = {"condition": condition.name} | {key: condition.labels.get(key, "") for key in ("component", "control")}
        for effect, role, estimate in condition_effects(effects, condition.name):
            rows.append({**labels, "effect": effect, "role": role, **columns_of(estimate)})
        for (circuit, contrast), found in estimates.items():
            if circuit == condition.name:
                rows += [
                    {**labels, "effect": f"{effect} ({contrast})", "role": "all", **columns_of(own)}
                    for effect, own in found.items()
                ]
    return pd.DataFrame(rows)


def condition_effects(effects: Effects, name: str) -> list[tuple[str, str, Estimate]]:
    """Every effect size of one condition: (effect, role, estimate)."""
    found: list[tuple[str, str, Estimate]] = []
    has = lambda measure: effects.outcomes.has(name, measure)
    has_baseline = lambda measure: effects.outcomes.has(BASELINE, measure)
    for role in effects.roles:
        if name != BASELINE and has("loss"):
            found.append(("loss_increase", role, effects.mean(effects.change(name, "loss", role), role)))
        for measure in RATES:
            if has(measure):
                found.append((measure, role, effects.rate(name, measure, role)))
                if name != BASELINE and has_baseline(measure):
                    change = effects.change(name, measure, role)
                    found.append((f"{measure}_change", role, effects.mean(change, role)))
        for measure in MEANS:
            if has(measure):
                found.append((f"{measure}_mean", role, effects.mean(effects.values(name, measure, role), role)))
    for role in effects.roles[1:]:
        for measure in AUROCS:
            if has(measure):
                found.append((f"{measure}_auroc", role, effects.auroc(name, measure, role)))
                if name != BASELINE:
                    found.append((f"{measure}_auroc_change", role, effects.auroc_change(name, measure, role)))
        if has("recognition"):
            found.append(("d_prime", role, effects.d_prime(name, "recognition", role)))
            if name != BASELINE:
                found.append(("d_prime_change", role, effects.d_prime_change(name, "recognition", role)))
        if name != BASELINE and has("refused"):
            harmful, benign = effects.change(name, "refused", "harmful"), effects.change(name, "refused", role)
            found.append(("refused_change_beyond", role, effects.difference(harmful, "harmful", benign, role)))
            found.append(("refused_specific_share", role, effects.specific_share(name, role, "refused")))
    found += _items(effects, name)
    return found


def _items(effects: Effects, name: str) -> list[tuple[str, str, Estimate]]:
    """Effects on items that are no test prompts: explanations, facts, passages."""
    found: list[tuple[str, str, Estimate]] = []
    for measure in ITEMS:
        values, before = (effects.outcomes.values(condition, measure) for condition in (name, BASELINE))
        if len(values):
            found.append((measure, "all", effects.items(values)))
            if name != BASELINE:
                found.append((f"{measure}_change", "all", effects.items(values - before)))
    return found


def columns_of(estimate: Estimate) -> dict[str, Any]:
    """Columns value, low, high, n and reason of one estimate."""
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "reason": estimate.reason or "",
    }


def estimate_of(row: Mapping[Any, Any]) -> Estimate:
    """A row of the effects again, as `columns_of` wrote it."""
    if pd.isna(row["value"]):
        return Estimate.missing(str(row["reason"]))
    low, high = (None, None) if pd.isna(row["low"]) else (float(row["low"]), float(row["high"]))
    return Estimate(float(row["value"]), low, high, int(row["n"]))


def _leaves(frame: pd.DataFrame, condition: str) -> dict[str, dict[str, Any]]:
    leaves: dict[str, dict[str, Any]] = {}
    for row in frame[frame["condition"] == condition].to_dict("records"):
        leaves.setdefault(str(row["effect"]), {})[str(row["role"])] = estimate_of(row).to_json()
    return leaves


def describe_model(material: Material, name: str) -> dict[str, Any]:
    """Return name, key, shape and type of the weights."""
    shape = geometry(material.model)
    return {
        "name": name or str(getattr(tokenizer_of(material.model), "name_or_path", "")),
        "key": model_key(material.model),
        "n_layers": shape.n_layers,
        "n_heads": shape.n_heads,
        "d_mlp": shape.d_mlp,
        "dtype": str(next(iter(material.model.parameters())).dtype).removeprefix("torch."),
    }


def describe_prompts(material: Material, effects: Effects) -> dict[str, Any]:
    """Return which sets were read, and how many test requests of each role."""
    counts = {role: sum(prompt.role == role for prompt in material.prompts) for role in effects.roles}
    sets = {"test": material.test, "train": material.train, "development": material.development}
    return {
        "paired": effects.paired,
        "test_requests": counts,
        **{split: None if own is None else {"name": own.name, "digest": own.digest} for split, own in sets.items()},
    }
