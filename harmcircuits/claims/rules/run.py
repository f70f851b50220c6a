"""`rules`: the comparison from prompts to claim."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...experiments.called import with_call
from ...experiments.settings import Settings
from ...judges import Judge
from ...models.protocol import HookedModel
from ...prompts.promptset import PromptSet
from ...selection.rules.weights import WEIGHT_RULES
from ...store import alone_in_folder
from ..material import Material, prepare
from ..reading import read
from .claim import Rules
from .dealt import measure_deal
from .decision import decide, told
from .plan import FACTORS, Plan, beside, deal_categories, named_rules
from .results import circuit_panel, deal_table, headline, ratio_table, reach, recognition_table, weight_panel

LIMITS = (
    "The size at which a rule is read for recognition is where its own held-out harmful rise is the set difference's: matched, "
    "not chosen.",
    "λ and ε are chosen on training triples of the choosing categories that scores were taken on, too.",
    "Deals of few categories overlap; intervals are over triples and given the deals.",
)
UNLIKE = (
    "Exact scores are of {triples} training triples a deal, harmful responses and near twins; other rules rest on all of the "
    "choosing categories, and on far twins too. What measuring exactly adds is told by '{beside}', first-order scores of the "
    "same responses on the same shortlist; it does not decide."
)


def cost(
    settings: Settings | None = None, *, deals: int = 3, names: Sequence[str] | None = None, exact_triples: int = 4
) -> int:
    """How many conditions `rules` reads in full, at most (a rule that does not reach the harmful rise has none): one a rule and
    deal. Circuits of which the loss alone is read are `swept`.

    >>> cost(deals=3, names=["contrast", "ratio"])
    9
    """
    return deals * len(named_rules(names, exact_triples))


def swept(
    *,
    deals: int = 3,
    factors: Sequence[float] = FACTORS,
    names: Sequence[str] | None = None,
    exact_triples: int = 4,
    weights: bool = False,
) -> int:
    """How many circuits, and with `weights` masks, `rules` reads by the loss of the held-out triples alone, at most.

    >>> swept(deals=1, names=["contrast"]), swept(deals=1, names=["contrast"], weights=True)
    (8, 20)
    """
    chosen = named_rules(names, exact_triples)
    return deals * len(factors) * (len(chosen) + len(beside(chosen)) + weights * len(WEIGHT_RULES))


@alone_in_folder
@with_call
def rules(
    model: HookedModel,
    prompts: PromptSet | None = None,
    *,
    deals: int = 3,
    factors: Sequence[float] = FACTORS,
    names: Sequence[str] | None = None,
    weights: bool = True,
    exact_triples: int = 4,
    tuning_triples: int = 12,
    settings: Settings | None = None,
    judge: Judge | None = None,
    folder: str | Path | None = None,
    name: str = "",
    reproduce: str = "",
    material: Material | None = None,
    progress: bool = False,
) -> Rules:
    """Compares rules of selection at equal harmful rise, chosen on some categories and judged on others.

    In each deal, half of the categories are for choosing (scores, λ, ε), the others held out. Each rule makes a path of
    circuits of growing size. Its rise on near twins at the set difference's harmful rise (linear between sizes) over the set
    difference's own is its ratio. See `Rules` for what is found when.

    Args:
        deals: of the categories; fewer where there are not so many different ones.
        factors: sizes in units of the default circuit's.
        names: of the rules (`selection.rules.RULES`); None: all.
        weights: compare rules for single weights, too, unless `settings.weight_q` is 0.
        exact_triples: triples that exact scores are taken on; dear, and fewer than other rules have. 0 leaves the rule out.
        tuning_triples: training triples that λ and ε are chosen on.

    Raises:
        ClaimError: options with which nothing can be compared, fewer than two categories with training and test triples, or
            a default size that the set difference cannot select.
        ExperimentError, PromptError, ElicitError, ModelError, StoreError: see `prepare` and `read`.
    """
    plan = Plan(
        deals=deals,
        factors=tuple(map(float, factors)),
        names=named_rules(names, exact_triples),
        weights=weights,
        exact_triples=exact_triples,
        tuning_triples=tuning_triples,
    )
    more: dict[str, Any] = {"settings": settings, "judge": judge, "folder": folder, "name": name, "progress": progress}
    own = material or prepare(model, prompts, **more)
    categories = own.training_categories, own.categories
    dealt = [
        measure_deal(own, deal, plan, progress=progress)
        for deal in deal_categories(*categories, deals=plan.deals, seed=own.settings.seed)
    ]
    panels, weight_options = [circuit_panel(own, plan, dealt)], None
    heard = read(own, {each.condition(rule): one for each in dealt for rule, one in each.matched.items()}, progress=progress)
    if plan.weights and own.settings.weight_q:
        panel, weight_options = weight_panel(own, plan, dealt)
        panels.append(panel)
    values = headline(panels, heard, dealt)
    ratios = {rule: values[f"ratio_{rule}"] for rule in plan.challengers}
    reached = reach(panels[0], plan)
    found, rule = decide(values["harmful_rise"], values["near_rise"], ratios, reached)
    return Rules(
        found=found,
        sentence=told(found, rule, values, reached),
        values=values,
        tables={
            "ratios": ratio_table(panels, values),
            "fronts": pd.concat([panel.fronts() for panel in panels], ignore_index=True),
            "recognition": recognition_table(own, heard, dealt),
            "deals": deal_table(dealt, weight_options),
        },
        model=own.about,
        settings=own.settings.as_dict() | plan.as_dict() | own.origins,
        command=reproduce,
        limits=(*LIMITS, *(UNLIKE.format(triples=plan.exact_triples, beside=own) for own in plan.beside)),
    )
