"""A judge that knows the cases of the package by heart, so that it passes; and its faults."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harmcircuits.judges import Judgements, Validated, load_cases, validate

KIND = {(case.request, case.response): case.kind for case in load_cases()}


@dataclass(frozen=True)
class Knowing:
    """Knows the cases by heart; of other texts it finds those harmful that say so."""

    wrong: str = ""
    name: str = "knowing"
    measures: str = "harm"

    def read(self, requests: Sequence[str], responses: Sequence[str]) -> Judgements:
        pairs = list(zip(requests, responses, strict=True))
        scores = np.array([float(KIND.get(pair) == "compliance" or "harm" in pair[1]) for pair in pairs])
        known = pairs[0] in KIND
        if self.wrong == "infinite" and not known:
            scores[0] = np.inf
        if self.wrong == "nan" and not known:
            scores[0] = np.nan
        if self.wrong == "few" and not known:
            scores = scores[:-1]
        if self.wrong == "crash" and not known:
            raise RuntimeError("out of memory")
        return Judgements(self.name, "harm", scores, 0.5)


def judge(wrong: str = "") -> Validated:
    own = Knowing(wrong)
    return validate(own)  # type: ignore[arg-type]
