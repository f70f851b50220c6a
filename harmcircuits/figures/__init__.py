"""One function a figure: arrays and pandas frames in, a `plotly.graph_objects.Figure` out.

Nothing of ours is imported here, so that every result object can draw itself. Colours of roles and conditions mean the same
everywhere: vermillion harmful, blue near twin, bluish green far twin, grey a control, black the intact model; lines of another
kind (rules, sizes, domains) have the palette in turn, a symbol each, and a legend. Every figure carries `layout.meta`, a dict
with its `caption` and `alt`, a text alternative, which the report prints, and `dark`, the colours that it has on a dark page.
"""

from .agreement import agreement_scatter
from .alignment import checkpoint_areas
from .attention_pattern import attention_heatmap
from .attribution import heads_heatmap, neurons_by_layer
from .circuit import components_by_layer
from .compactness import size_curves
from .distinct import loss_matrix
from .experiment import dissociation_plane, effect_sizes, polarity, size_sweep
from .generality import category_matrix
from .misalignment import misalignment_arms
from .saving import save
from .style import FigureError
from .tokens import token_attribution
from .weights import weight_scores_by_matrix, weights_by_matrix

__all__ = [
    "FigureError",
    "agreement_scatter",
    "attention_heatmap",
    "category_matrix",
    "checkpoint_areas",
    "components_by_layer",
    "dissociation_plane",
    "effect_sizes",
    "heads_heatmap",
    "loss_matrix",
    "misalignment_arms",
    "neurons_by_layer",
    "polarity",
    "save",
    "size_curves",
    "size_sweep",
    "token_attribution",
    "weight_scores_by_matrix",
    "weights_by_matrix",
]
