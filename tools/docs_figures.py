"""Interactive figures of the documentation, drawn from the numbers in docs/results when the pages are built.

mkdocs calls the two functions whose names begin with `on_` (`hooks:` in mkdocs.yml). A page names a figure by an element

    <div class="drawn" data-results="smollm2-135m-instruct/dissociation.json" data-figure="rises"></div>

and gets plotly's drawing of it, by the very functions and the script that draw a run's own report. The pages share one copy of
plotly.js, that of the installed plotly, and fetch nothing else.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs, get_plotlyjs_version

import harmcircuits as hc
from harmcircuits import figures, report
from harmcircuits.attribution.reliability import MEASURES, KindReliability
from harmcircuits.figures.drawing import element, script

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SCRIPTS = {f"javascripts/plotly-{get_plotlyjs_version()}.min.js": get_plotlyjs, "javascripts/draw.js": script}
"""Loaded by a page with figures, in this order, once it has been read."""
PLACE = re.compile(r'<div class="drawn" data-results="([^"]+)" data-figure="([^"]+)"></div>')
ROLES = {"harmful": "harmful request", "near": "near twin", "far": "far twin"}
Drawing = Callable[[], go.Figure]


class ResultsError(ValueError):
    """A page names a figure that its results do not have; the message says which there are."""


def on_page_content(content: str, *, page: Any, **_: Any) -> str:
    """Puts each figure in its place, and below all what draws them."""
    if PLACE.search(content) is None:
        return content
    root = "../" * page.url.count("/")
    names = (f"figure-{at}" for at in count(1))
    shown = lambda place: f'<div class="drawn">{element(figure_of(place[1], place[2]), next(names))}</div>'
    scripts = "".join(f'\n<script src="{root}{path}"></script>' for path in SCRIPTS)
    return PLACE.sub(shown, content) + scripts


def on_post_build(config: Mapping[str, Any], **_: Any) -> None:
    """Writes the one copy of each script."""
    for name, text in SCRIPTS.items():
        path = Path(config["site_dir"]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(), "utf-8")


def figure_of(results: str, name: str) -> go.Figure:
    """The figure `name` of a file below docs/results.

    Raises:
        ResultsError: the file has no such figure.
    """
    found = drawings(RESULTS / results)
    if name not in found:
        raise ResultsError(f"docs/results/{results} has no figure {name!r}; it has {', '.join(sorted(found)) or 'none'}")
    return found[name]()


@cache
def drawings(path: Path) -> dict[str, Drawing]:
    """What can be drawn from a file of results, by name."""
    value = json.loads(path.read_text("utf-8"))
    if path.name == "simulated.json":
        return {"power": lambda: _power(value)}
    if "conditions" in value:
        return _of_dissociation(value)
    if "responses" in value:
        return _of_places(value)
    if "agreement" in value:
        return {"agreement": lambda: _agreement(value["agreement"])}
    if "reliability" in value:
        return {
            measure: lambda measure=measure: _reliability(value["reliability"]).figure(measure=measure) for measure in MEASURES
        }
    claims = (hc.Compactness, hc.Generality, hc.Distinct, hc.Alignment, hc.Misalignment)
    kinds = {kind.NAME: kind for kind in claims}
    if value.get("claim") not in kinds:
        return {}
    drawn = kinds[value["claim"]].load(path).figures()
    return {name: lambda name=name: drawn[name] for name in drawn}


def _of_dissociation(value: Mapping[str, Any]) -> dict[str, Drawing]:
    return {
        "retained": lambda: figures.retained(report.retained_frame(value)),
        "rises": lambda: figures.rises(report.rises_frame(value)),
        "crossed": lambda: figures.crossed_effects(report.effects_frame(value)),
        "layers": lambda: figures.auroc_by_layer(report.layers_frame(value)),
        "nulls": lambda: _nulls(value["nulls"]),
    }


def _of_places(value: Mapping[str, Any]) -> dict[str, Drawing]:
    tables = {
        "circuit": figures.components_by_layer,
        "mask": figures.weights_by_matrix,
        "weights": figures.weight_scores_by_matrix,
    }
    return {
        "heads": lambda: figures.heads_heatmap(**_scores(value, "heads")),
        "neurons": lambda: figures.neurons_by_layer(**_scores(value, "neurons"), top=value["top"]),
        **{name: lambda name=name: tables[name](pd.DataFrame(value[name])) for name in tables},
        **{f"tokens: {own['role']}": lambda own=own: _tokens(own) for own in value["responses"]},
    }


def _scores(value: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Scores and intervals in their places; a neuron that was not written is NaN, and so not drawn."""
    ends = {name: np.full(value["shape"][kind], np.nan) for name in ("score", "low", "high")}
    for row in value[kind]:
        for name, scores in ends.items():
            scores[row["layer"], row["index"]] = row[name]
    selected = [(row["layer"], row["index"]) for row in value[kind] if row["selected"]]
    return {kind: ends.pop("score"), **ends, "selected": selected}


def _tokens(response: Mapping[str, Any]) -> go.Figure:
    """Numbered: what was written is in no file of results."""
    title = f"At which tokens is a response promoted? ({ROLES[response['role']]})"
    return figures.token_attribution(pd.DataFrame(response["tokens"]), before=response["before"], title=title)


def _agreement(value: Mapping[str, Any]) -> go.Figure:
    notes = {kind: "Spearman {value:.2f} [{low:.2f}, {high:.2f}]".format(**own) for kind, own in value["spearman"].items()}
    return figures.agreement_scatter(pd.DataFrame(value["points"]), names=tuple(value["names"]), notes=notes)


def _reliability(value: Mapping[str, Any]) -> hc.Reliability:
    kinds = {
        kind: KindReliability(**{**value[kind], "curve": pd.DataFrame(value[kind]["curve"])}) for kind in ("heads", "neurons")
    }
    return hc.Reliability(**kinds, n_examples=value["n_examples"], draws=value["draws"])


def _nulls(value: Mapping[str, Any]) -> go.Figure:
    draws = [(kind, draw) for kind, own in value["selectivity"].items() for draw in own]
    return figures.scatter_null(value["observed_selectivity"], pd.DataFrame(draws, columns=["null", "value"]), n=value["n"])


def _power(rows: list[dict[str, Any]]) -> go.Figure:
    frame = pd.DataFrame([row for row in rows if row["kind"] == "power"]).rename(columns={"name": "test"})
    return figures.power_curve(frame)
