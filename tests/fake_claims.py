"""Claims of a few conditions each, whose truth is known: they hold, or are stopped by our own checks, or by a bug."""

from typing import Any, ClassVar

import pandas as pd
import plotly.graph_objects as go

from harmcircuits.claims.earlier import Claim, ClaimError
from harmcircuits.claims.material import Material
from harmcircuits.claims.paper.registry import Entry
from harmcircuits.claims.reading import read
from harmcircuits.components import Circuit


class Small(Claim):
    NAME: ClassVar[str] = "small"
    ASKS: ClassVar[str] = "Does a small circuit do it?"

    def figures(self) -> dict[str, go.Figure]:
        drawn = go.Figure(go.Scatter(x=self.table()["heads"], y=self.table()["rise"]))
        return {"rise": drawn.update_layout(title="Rise", meta={"caption": "By heads.", "alt": "A line."})}


class Stopped(Small):
    NAME: ClassVar[str] = "stopped"
    ASKS: ClassVar[str] = "Does it stop?"


class Shared(Small):
    NAME: ClassVar[str] = "shared"


HEADS = [(0, 1), (1, 2), (1, 0)]


def circuits(n: int) -> dict[str, Circuit]:
    return {f"{at} heads": Circuit(heads=HEADS[:at]) for at in range(1, n + 1)}


def small(model: Any, *, material: Material, kind: type[Small] = Small, heads: int = 3, **options: Any) -> Small:
    known = read(material, circuits(heads))
    rows = [{"heads": at, "rise": float(known.rises(f"{at} heads").mean())} for at in range(1, heads + 1)]
    value = known.generation(f"{heads} heads")["harmful_nll_rise"]
    return kind(
        found="undecided",
        sentence="It is <not> known.",
        values={"rise of L": value},
        tables={"rises": pd.DataFrame(rows)},
        model=material.about,
        settings=material.settings.as_dict() | {"heads": heads},
        command=options["reproduce"],
    )


def shared(model: Any, **options: Any) -> Small:
    return small(model, kind=Shared, **options)


def stopped(model: Any, **options: Any) -> Small:
    raise ClaimError("there is nothing to stop: give it more")


def broken(model: Any, **options: Any) -> Small:
    raise ValueError("a bug")


ENTRIES = {
    "small": Entry(Small, small, {"heads": 2}),
    "stopped": Entry(Stopped, stopped, {}),
    "shared": Entry(Shared, shared, {"heads": 2}),
}
BROKEN = Entry(Stopped, broken, {})
