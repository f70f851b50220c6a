"""A claim of the earlier kind whose page is tested."""

from typing import ClassVar

import plotly.graph_objects as go

from harmcircuits.claims.earlier import Claim


class Small(Claim):
    NAME: ClassVar[str] = "small"
    ASKS: ClassVar[str] = "Does a small circuit do it?"

    def figures(self) -> dict[str, go.Figure]:
        drawn = go.Figure(go.Scatter(x=self.table()["heads"], y=self.table()["rise"]))
        return {"rise": drawn.update_layout(title="Rise", meta={"caption": "By heads.", "alt": "A line."})}
