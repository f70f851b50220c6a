"""Interactive figures of the documentation, drawn from the numbers in docs/results when the pages are built.

mkdocs calls the two functions whose names begin with `on_` (`hooks:` in mkdocs.yml). A page names a figure by an element

    <div class="drawn" data-results="smollm2-135m-instruct/dissociation.json" data-figure="rises"></div>

and gets plotly's drawing of it, by the very functions that draw a run's own report. The pages share one copy of plotly.js,
that of the installed plotly, and fetch nothing else.
"""

import html
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import plotly.io
from plotly.offline import get_plotlyjs, get_plotlyjs_version

import harmcircuits as hc
from harmcircuits import figures, report
from harmcircuits.experiments.reading_results import Reading
from harmcircuits.statistics import Estimate

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SCRIPT = f"javascripts/plotly-{get_plotlyjs_version()}.min.js"
CONFIG = {"responsive": True, "displaylogo": False, "displayModeBar": False}
PLACE = re.compile(r'<div class="drawn" data-results="([^"]+)" data-figure="([^"]+)"></div>')
Drawing = Callable[[], go.Figure]


class ResultsError(ValueError):
    """A page names a figure that its results do not have; the message says which there are."""


def on_page_content(content: str, *, page: Any, **_: Any) -> str:
    """Puts each figure in its place, and plotly.js before the first."""
    if PLACE.search(content) is None:
        return content
    root = "../" * page.url.count("/")
    drawn = PLACE.sub(lambda place: _shown(figure_of(place[1], place[2])), content)
    return f'<script src="{root}{SCRIPT}"></script>\n{drawn}'


def on_post_build(config: Mapping[str, Any], **_: Any) -> None:
    """Writes the one copy of plotly.js."""
    path = Path(config["site_dir"]) / SCRIPT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(get_plotlyjs(), "utf-8")


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
    if "readings" in value:
        return {"readings": lambda: _readings(value).figure()}
    if "sufficiency" in value:
        tests = hc.CircuitTests.load(path.parent)
        return {measure: lambda measure=measure: tests.figure(measure=measure) for measure in ("rise", "selectivity")}
    kinds = {kind.NAME: kind for kind in (hc.Compactness, hc.Rules, hc.Generality, hc.Distinct, hc.Dissociated)}
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


def _nulls(value: Mapping[str, Any]) -> go.Figure:
    draws = [(kind, draw) for kind, own in value["selectivity"].items() for draw in own]
    return figures.scatter_null(value["observed_selectivity"], pd.DataFrame(draws, columns=["null", "value"]), n=value["n"])


def _readings(value: Mapping[str, Any]) -> hc.Readings:
    """Without the scores behind the estimates, which no figure needs."""
    read = lambda one: {name: Estimate.from_json(one[name]) for name in ("auroc", "auroc_far")}
    found = tuple(Reading(**{**one, **read(one)}) for one in value["readings"])
    return hc.Readings(readings=found, outcomes=pd.DataFrame(), against=value["against"], settings=value["settings"])


def _power(rows: list[dict[str, Any]]) -> go.Figure:
    frame = pd.DataFrame([row for row in rows if row["kind"] == "power"]).rename(columns={"name": "test"})
    return figures.power_curve(frame)


def _shown(figure: go.Figure) -> str:
    """The drawing, with what it shows in words for those who do not see it."""
    meta = figure.layout.meta if isinstance(figure.layout.meta, Mapping) else {}
    drawn = plotly.io.to_html(figure, full_html=False, include_plotlyjs=False, config=CONFIG)
    label = html.escape(str(meta.get("alt") or meta.get("caption") or "figure"), quote=True)
    return f'<div class="drawn" role="img" aria-label="{label}">{drawn}</div>'
