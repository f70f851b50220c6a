"""Continuations with and without a circuit, side by side: what is written, whether it refuses, and the loss increase."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from . import store
from .ablation.ablate import Intervention, Method, ablated
from .ablation.generate import generate
from .data import Prompts, as_prompts, loss
from .errors import HarmcircuitsError, one_line, printable
from .judges.rules import read_compliance
from .models.protocol import HookedModel
from .results import Result

FORMAT = "harmcircuits comparison 1"
SIDES = ("baseline", "ablated")


@dataclass(frozen=True, eq=False)
class Comparison(Result):
    """Continuations of the same prompts by the unablated model (baseline) and under an ablation (ablated).

    Nothing but `table(text=True)`, `side_by_side()` and `save(path, text=True)` shows a word of a continuation.

    Attributes:
        rows: a row a prompt: request, role; `loss`, L of the baseline's continuation, and `loss_increase`, ΔL of it under the
            ablation (nats per token; positive: the ablation hurts); and of either side what rules say of it (`baseline`,
            `ablated`: "complied", "refused" or "degenerate"), `_tokens` and `_text`.
    """

    rows: pd.DataFrame

    def table(self, *, text: bool = False) -> pd.DataFrame:
        """Return `rows`, without the texts unless `text`."""
        return self.rows if text else self.rows.drop(columns=[f"{side}_text" for side in SIDES], errors="ignore")

    def side_by_side(self) -> Table:
        """Return the words as a table of rich, which a notebook shows and `rich.print` prints.

        Raises:
            HarmcircuitsError: the comparison was loaded from a file without texts.
        """
        if "ablated_text" not in self.rows:
            raise HarmcircuitsError("this comparison was saved without its texts: compare again, and save(path, text=True)")
        grid = Table(
            "request", "baseline", "ablated", "ΔL", title="Nats per token; positive: the ablation hurts", show_lines=True
        )
        for row in self.rows.to_dict("records"):
            texts = (f"[{row[side]}] {row[f'{side}_text']}" for side in SIDES)
            cells = (row["request"], *texts, f"{row['loss_increase']:+.3f}")
            grid.add_row(*(Text(printable(cell, keep="\n")) for cell in cells))
        return grid

    def save(self, path: str | PathLike[str], *, text: bool = False) -> None:
        """Write a JSON file: the requests and all numbers, and no word of a continuation unless `text`."""
        store.write_json(path, {"format": FORMAT, "rows": store.as_plain(self.table(text=text))})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Comparison":
        """Read a comparison; its texts are there if they were saved. Raises HarmcircuitsError for another file."""
        content = store.read_json(path)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise HarmcircuitsError(f"{path}: no comparison (its 'format' should be {FORMAT!r}). Compare and save again.")
        try:
            return cls(store.as_frame(content["rows"]))
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            raise HarmcircuitsError(f"{path} was changed ({one_line(repr(error))}): compare and save again.") from error

    def __repr__(self) -> str:
        refused = " → ".join(str(sum(self.rows[side] == "refused")) for side in SIDES)
        increase = f"ΔL {self.rows['loss_increase'].mean():+.3f} nats per token"
        return f"Comparison({len(self.rows)} prompts, refused {refused}, {increase})"


def compare(
    model: HookedModel,
    circuit: Intervention | Sequence[Intervention],
    prompts: Prompts,
    *,
    method: Method = "zero",
    alpha: float | None = None,
    max_new_tokens: int = 48,
    temperature: float = 0.0,
    seed: int = 0,
    progress: bool = False,
) -> Comparison:
    """Continue each prompt with and without `circuit`, and tell by rules which continuations refuse.

        comparison = hc.compare(model, circuit, test.harmful[:8])
        comparison  # in a notebook: a row a prompt, and no word of a continuation
        comparison.side_by_side()  # the words; rich.print(...) in a terminal

    The continuations are those of `generate`, greedy by default; a temperature draws both with the same random numbers.

    Args:
        circuit: as in `generate`, and so are all options.

    Raises:
        HarmcircuitsError: see `generate`.
    """
    prompts = as_prompts(prompts)
    write = partial(
        generate, model, prompts, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed, progress=progress
    )
    baseline, others = write(), write(circuit, method=method, alpha=alpha)
    losses = loss(model, baseline)
    with ablated(model, circuit, method=method, alpha=alpha):
        increase = loss(model, baseline) - losses
    columns: dict[str, list[Any]] = {
        "request": [prompt.request for prompt in prompts],
        "role": [prompt.role for prompt in prompts],
        "loss": losses.tolist(),
        "loss_increase": increase.tolist(),
    }
    for side, examples in zip(SIDES, (baseline, others), strict=True):
        columns[side] = [read_compliance(example.request, example.response) for example in examples]
        columns[f"{side}_tokens"] = [len(example.response_ids or ()) for example in examples]
        columns[f"{side}_text"] = [example.response for example in examples]
    return Comparison(pd.DataFrame(columns))
