"""The model card of an exported folder."""

import json
from collections.abc import Sequence
from functools import reduce
from operator import or_

from ..circuits import Circuit, Provenance, WeightMask

_CARD = """\
---
library_name: transformers
{base}tags:
- harmcircuits
- pruned
---

# {title}

At zero in this model: {what}.
Set so by harmcircuits {version}, after [arXiv 2604.09544](https://arxiv.org/abs/2604.09544). Everything else is the base model,
whose licence and terms apply.

| | |
|---|---|
| base model | {model} |
| SHA-256 of its decoder matrices | `{hash}` |
| data | {data} |
| scores | {scores} |
| seed | {seed} |
| versions | {versions} |

## Where they lie

{table}

## Results

{results}

## Use

A research artefact: a causal test of what a circuit does. It is no safety measure. What was measured holds for the prompts it
was measured on; the model may still write harmful text, and may write other text worse than its base.
"""


def model_card(parts: Sequence[Circuit | WeightMask], masks: Sequence[WeightMask], origin: Provenance) -> str:
    """Markdown with the front matter that model hubs read."""
    whole = reduce(or_, masks)
    return _CARD.format(
        base=f"base_model: {json.dumps(origin.model)}\n" if origin.model else "",
        title=f"{origin.model or 'A model'}, pruned",
        what=f"{_counted(parts)} ({len(whole)} weights, {whole.fraction:.3%} of those in the decoder's matrices)",
        version=origin.versions.get("harmcircuits", ""),
        model=origin.model or "not named",
        hash=origin.base,
        data=origin.data or "not stated",
        scores=origin.scores or "not stated",
        seed="not stated" if origin.seed is None else origin.seed,
        versions=", ".join(f"{name} {number}" for name, number in origin.versions.items()) or "not stated",
        table=_table(whole),
        results=f"```json\n{json.dumps(dict(origin.results), indent=2)}\n```" if origin.results else "None were given.",
    )


def _counted(parts: Sequence[Circuit | WeightMask]) -> str:
    circuit = reduce(or_, (part for part in parts if isinstance(part, Circuit)), Circuit())
    single = sum(len(part) for part in parts if isinstance(part, WeightMask))
    counts = ((len(circuit.heads), "attention head"), (len(circuit.neurons), "MLP neuron"), (single, "single weight"))
    return " and ".join(f"{count} {name}{'s' * (count > 1)}" for count, name in counts if count)


def _table(mask: WeightMask) -> str:
    """Weights by layer and kind of matrix, those with some alone."""
    table = mask.table()
    table = table[table["weights"] > 0]
    rows = [f"| {row.layer} | {row.kind} | {row.weights} | {row.fraction:.3%} |" for row in table.itertuples()]
    return "\n".join(["| layer | matrix | weights at zero | of the matrix |", "|---|---|---|---|", *rows])
