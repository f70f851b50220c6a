"""From per-prompt outcomes to estimates with intervals: what `report.json` holds of one condition.

Rises, ratios and AUROCs are bootstrapped over triples with the same draws everywhere, so that conditions are paired.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from ..statistics import (
    Estimate,
    auroc,
    auroc_estimate,
    mean_estimate,
    paired_difference,
    ratio,
    ratio_of_means,
    wilson,
)

Arrays = Mapping[str, Float[np.ndarray, "triple role"]]
HARMFUL, NEAR, FAR = 0, 1, 2
NO_JUDGE = "no judge that is validated for harm can be had offline; not refusing and not gibberish is not 'harmful'"
NO_KL = "the intact model's distributions were not read beside it"


def measured(options: Mapping[str, Any], *arrays: Float[np.ndarray, "triple ..."]) -> tuple[list[np.ndarray], dict[str, Any]]:
    """The triples on which all of `arrays` were read, and the options of their bootstrap (strata are those of the triples)."""
    read = np.all([np.isfinite(array.reshape(len(array), -1)).all(1) for array in arrays], axis=0)
    own = dict(options)
    if own.get("strata") is not None:
        own["strata"] = [label for label, kept in zip(own["strata"], read, strict=True) if kept]
    return [array[read] for array in arrays], own


def generation(intact: Arrays, changed: Arrays, options: Mapping[str, Any]) -> dict[str, Estimate]:
    """Rises and KL in nats per token, retained request information, rates of the rules. Positive rise: ablation hurts."""
    rise = changed["nll"] - intact["nll"]
    information = [changed["nll_other"] - changed["nll"], intact["nll_other"] - intact["nll"]]
    mean = lambda values: mean_estimate(values, **options)
    return {
        "harmful_nll_rise": mean(rise[:, HARMFUL]),
        "near_nll_rise": mean(rise[:, NEAR]),
        "far_nll_rise": mean(rise[:, FAR]),
        "selectivity": paired_difference(rise[:, HARMFUL], rise[:, NEAR], **options),
        "kl": mean_of(changed["kl"][:, HARMFUL], options, NO_KL),
        "request_information_harmful": mean(information[0][:, HARMFUL]),
        "request_information_near": mean(information[0][:, NEAR]),
        "retained_harmful": _retained(information[0][:, HARMFUL], information[1][:, HARMFUL], options),
        "retained_twin": _retained(information[0][:, NEAR], information[1][:, NEAR], options),
        "on_task_rate": rate(changed["on_task"][:, HARMFUL]),
        "refusal_rate": rate(changed["refusal"][:, HARMFUL]),
        "degenerate_rate": rate(changed["degenerate"][:, HARMFUL]),
        "harmful_rate": Estimate.missing(NO_JUDGE),
    }


def mean_of(values: Float[np.ndarray, " triple"], options: Mapping[str, Any], why_not: str) -> Estimate:
    """The mean over the triples that were read; missing, with `why_not`, where none was."""
    (kept,), own = measured(options, values)
    return mean_estimate(kept, **own) if len(kept) else Estimate.missing(why_not)


def recognition(intact: Arrays, changed: Arrays, options: Mapping[str, Any], *, primary: str) -> dict[str, Estimate]:
    """AUROC of harmful requests against near twins, in each context.

    `retained` is of the primary reading ("in_place" or "probe", both after the response in generation's own chat context).
    """
    return {
        "auroc": _auroc(changed["many_shot"], options),
        "auroc_in_place": _auroc(changed["in_place"], options),
        "probe_auroc": _auroc(changed["probe"], options),
        "probe_auroc_request": _auroc(changed["probe_request"], options),
        "retained": retained_recognition(intact[primary], changed[primary], options),
    }


def retained_recognition(
    intact: Float[np.ndarray, "triple role"], changed: Float[np.ndarray, "triple role"], options: Mapping[str, Any]
) -> Estimate:
    """(AUROC ablated − ½) / (AUROC intact − ½); missing where the intact model's interval includes ½ or lies below it."""
    if np.isnan(intact[:, :2]).any():
        return Estimate.missing("recognition was not measured")
    above = lambda scores: separation(scores) - 0.5
    at_chance = "after the response, the intact model is not shown to tell harmful requests from near twins above chance"
    if above(intact) <= 0:
        return Estimate.missing(f"{at_chance}: its AUROC is {separation(intact):.3f}")
    found = ratio(lambda a, b: above(b), lambda a, b: above(a), intact, changed, vectorised=True, **options)
    return Estimate.missing(f"{at_chance}: {found.reason}") if found.is_missing else found


def separation(scores: Float[np.ndarray, "... triple role"]) -> Float[np.ndarray, "..."]:
    """AUROC of harmful against near."""
    return np.asarray(auroc(scores[..., HARMFUL], scores[..., NEAR]))


def _retained(
    information: Float[np.ndarray, " triple"], intact: Float[np.ndarray, " triple"], options: Mapping[str, Any]
) -> Estimate:
    """I ablated / I intact; missing where the intact I is not above 0."""
    if intact.mean() <= 0:
        return Estimate.missing(f"what the intact model writes does not depend on the request: I is {intact.mean():.3f}")
    return ratio_of_means(information, intact, **options)


def _auroc(scores: Float[np.ndarray, "triple role"], options: Mapping[str, Any]) -> Estimate:
    (read,), own = measured(options, scores[:, [HARMFUL, NEAR]])
    if not len(read):
        return Estimate.missing("not measured: this reading needs a training split")
    return auroc_estimate(read[:, 0], read[:, 1], **own)


def rate(values: Float[np.ndarray, " triple"], why_not: str = "nothing was written") -> Estimate:
    """A share with Wilson's interval: of few responses, all alike, a bootstrap has none."""
    written = values[~np.isnan(values)]
    if not len(written):
        return Estimate.missing(why_not)
    return wilson(int(written.sum()), len(written))
