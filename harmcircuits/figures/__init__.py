"""One function a figure: arrays and pandas frames in, a `plotly.graph_objects.Figure` out.

Nothing of ours is imported here, so that every result object can draw itself. Colours mean the same everywhere:
vermillion harmful, blue near twin, bluish green far twin, grey a control. Every figure carries `layout.meta`, a dict
with its `caption` and `alt`, a text alternative, which the report prints.
"""

from .agreement import agreement_scatter
from .attribution import heads_heatmap, neurons_by_layer
from .crossed import crossed_effects
from .dissociation import retained, rises
from .frontier import damage_frontier
from .hypotheses import random_circuits
from .nulls import scatter_null
from .power import power_curve
from .readings import auroc_by_layer, readings_forest
from .reliability import reliability_curve
from .saving import save
from .style import FigureError

__all__ = [
    "FigureError",
    "agreement_scatter",
    "auroc_by_layer",
    "crossed_effects",
    "damage_frontier",
    "heads_heatmap",
    "neurons_by_layer",
    "power_curve",
    "random_circuits",
    "readings_forest",
    "reliability_curve",
    "retained",
    "rises",
    "save",
    "scatter_null",
]
