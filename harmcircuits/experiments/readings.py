"""Which ways of reading recognition work on a model, and by how much: every format, question and probe on the same prompts.

AUROC of harmful prompts against near twins (far twins beside), intact model, 95 % intervals. Many-shot formats are also read
with shuffled labels and with arbitrary words as labels: what a format recognises no better than these, no label taught.
Shots and probes come from the training part, a probe's layer from the development part, and all is measured on the test part.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ..elicitation import elicit
from ..examples import Prompt
from ..models.protocol import HookedModel
from ..prompts.promptset import PromptSet
from ..statistics import Estimate
from ..store import alone_in_folder
from ..tasks.formats import QUESTIONS, SHOT_FORMATS, FormatError, Question, ShotFormat, label_ids
from ..tasks.recognition import ShotError, Shots, make_shots
from ..tasks.told_apart import benign_role, contrasted, harm_auroc
from .kept import Kept
from .manifest import manifest
from .reading_results import COLUMNS, Reading, Readings, ReadingsError, sorted_readings
from .reading_scores import Parts, Taken, in_place_readings, many_shot_readings, probe_readings
from .scores import chosen_triples

QUICK: dict[str, Any] = {"shots": (8, 16), "draws": 1, "n_train": 32, "n_test": 24}
"""Sizes of `compare_readings` in a quick run."""


@alone_in_folder
def compare_readings(
    model: HookedModel,
    prompts: PromptSet,
    *,
    train: PromptSet | None = None,
    shots: Sequence[int] = (8, 16, 32),
    draws: int = 2,
    seed: int = 0,
    n_train: int = 96,
    n_test: int = 64,
    max_new_tokens: int = 32,
    forms: Sequence[ShotFormat] = SHOT_FORMATS,
    questions: Sequence[Question] = QUESTIONS,
    bootstrap_draws: int = 2000,
    folder: str | Path | None = None,
    progress: bool = False,
) -> Readings:
    """AUROC of every reading of recognition by the intact model: see `Readings`.

    - Many-shot: each of `forms` with each number of `shots`, log-odds averaged over `draws`; beside it the controls.
    - In place: each of `questions` after the model's own responses, sampled at temperature 1 under the prefill (cached).
    - Probes at the request's last token, the prompt's last token and the answer to the first usable question, each after the
      layer that is best on the development part.

        readings = compare_readings(model, hc.load_prompts())
        readings.table(), readings.best("many-shot").name

    The set is split by `PromptSet.split`; a format that a tokenizer, a context or too small a set does not allow is left out
    with a remark. The best of many readings is partly the luckiest: what is to be used in a test is chosen on other prompts
    than those of the test.

    Args:
        prompts: harmful prompts and others; with triples, n and intervals are of triples, else of prompts on each side.
        train: a set of other source that shots, probes and their layers are taken from, and all of `prompts` is tested; by
            default the parts of `prompts` itself.
        n_train: at most this many training triples, or twice as many prompts in sets without.
        n_test: the same of the test part, and half as many of the development part.
        max_new_tokens: of each response.
        folder: for what is finished (in its `journal/`), so that a comparison that was stopped goes on where it was; None:
            nothing is kept but responses.

    Raises:
        StoreError: the folder cannot be written, or another process works there.
        ReadingsError: a set without harmful or without benign prompts, one that is too small, or `train` and `prompts` with a
            request in common.
    """
    if min(shots, default=2) < 2 or draws < 1:
        raise ReadingsError(f"shots must be 2 or more, to show both labels, in 1 draw or more, not {list(shots)} and {draws}")
    parts = parts_of(prompts, train, n_train=n_train, n_test=n_test, seed=seed)
    remarks = _remarks(parts, prompts, train)
    made = shots_of(parts.train, forms, shots, draws=draws, seed=seed, remarks=remarks)
    sizes = {"n_train": n_train, "n_test": n_test, "max_new_tokens": max_new_tokens, "seed": seed}
    kept = Kept.at(model, folder, manifest(model, {"prompts": prompts, "train": train}, None, readings=sizes))
    taken = many_shot_readings(model, parts.test, made, kept=kept, seed=seed, remarks=remarks, progress=progress)
    everybody = [*parts.train, *parts.development, *parts.test]
    examples = elicit(model, everybody, max_new_tokens=max_new_tokens, seed=seed, progress=progress)
    usable = [question for question in questions if _readable(model, question, remarks)]
    taken += in_place_readings(model, examples[-len(parts.test) :], usable, kept=kept, progress=progress)
    if usable:
        taken += probe_readings(model, parts, examples, usable[0], kept=kept)
    else:
        remarks.append("no question can be asked, and none of the probes was read: they stand in rows with a question")
    against = benign_role(parts.test)
    measure = partial(_reading, prompts=parts.test, draws=bootstrap_draws, seed=seed)
    return Readings(
        readings=sorted_readings([measure(one) for one in taken]),
        outcomes=_outcomes(taken, parts.test),
        against=against,
        settings={
            "model": str(getattr(model.cfg, "model_name", "")),
            "prompts": prompts.name,
            "prompts sha256": prompts.digest,
            "shots and probes from": prompts.name if train is None else train.name,
            **{f"{name} prompts": _counted(own) for name, own in vars(parts).items()},
            "shots": list(shots),
            "draws": draws,
            "seed": seed,
            "max_new_tokens": max_new_tokens,
        },
        remarks=tuple(dict.fromkeys(remarks)),
    )


def parts_of(prompts: PromptSet, train: PromptSet | None, *, n_train: int, n_test: int, seed: int) -> Parts:
    """The prompts that are read. Raises ReadingsError: see `compare_readings`."""
    for one in (prompts, *([] if train is None else [train])):
        for own, what, missing in ((one.harmful, "harmful", "benign"), (one.benign, "benign", "harmful")):
            if len(own) == len(one):
                raise ReadingsError(
                    f"{one.name}: all {len(one)} prompts are {what}, so that there is nothing to tell them from. Add {missing} "
                    "ones: hc.load_prompts(one) + hc.load_prompts(other)."
                )
    if train is None:
        learning, development, test = prompts.split(seed=seed)
    else:
        (learning, development, _), test = train.split(seed=seed), prompts
        if common := len({prompt.request for prompt in train} & {prompt.request for prompt in prompts}):
            raise ReadingsError(
                f"{common} requests are in both sets: shots and probes would have seen what is tested. Leave out train=."
            )
    few = [_few(part, n, seed) for part, n in ((learning, n_train), (development, max(1, n_test // 2)), (test, n_test))]
    taught, chosen_on = ([own[at] for at in contrasted(own)] for own in few[:2])
    parts = Parts(taught, chosen_on, few[2])
    for name, own in vars(parts).items():
        harmful, others = (sum((own[at].role == "harmful") is kind for at in contrasted(own)) for kind in (True, False))
        if min(harmful, others) < 2:
            raise ReadingsError(
                f"{prompts.name}: the {name} part has {harmful} harmful prompts and {others} to tell them from, and each needs "
                "2. Give a larger set, or larger n_train and n_test."
            )
    return parts


def _few(prompts: PromptSet, n: int, seed: int) -> list[Prompt]:
    """`n` triples, or 2 · n prompts in proportion to category and role; all where there are fewer."""
    if prompts.triples:
        return list(chosen_triples(prompts, n, seed=seed))
    units = len({prompt.group or at for at, prompt in enumerate(prompts)})
    return list(prompts.sample(min(2 * n, units), seed=seed))


def _remarks(parts: Parts, prompts: PromptSet, train: PromptSet | None) -> list[str]:
    found = []
    own = [parts.test[at] for at in contrasted(parts.test)]
    harmful, benign = ([prompt for prompt in own if (prompt.role == "harmful") is kind] for kind in (True, False))
    if train is not None:
        found.append(
            f"shots, probes and their layers come from another set ({train.name}) than what is tested ({prompts.name})"
        )
    if not {prompt.category for prompt in harmful} & {prompt.category for prompt in benign if prompt.category}:
        found.append("harmful and benign prompts share no category: a reading may tell their topics or sources apart, not harm")
    if {prompt.prefill for prompt in harmful} != {prompt.prefill for prompt in benign}:
        found.append("harmful and benign prompts have unlike prefills: what is read after the response may tell these apart")
    elif not any(prompt.prefill for prompt in own):
        found.append("no prompt has a prefill: responses may be refusals, and what is read after them may tell these apart")
    return found


def shots_of(
    train: Sequence[Prompt], forms: Sequence[ShotFormat], sizes: Sequence[int], *, draws: int, seed: int, remarks: list[str]
) -> list[Shots]:
    """Each format with each number of shots; where `train` holds too few, a remark."""
    found = []
    for form in forms:
        for size in sizes:
            try:
                found.append(make_shots(train, replace(form, n_shots=size), draws=draws, seed=seed))
            except ShotError as error:
                remarks.append(str(error))
    return found


def _readable(model: HookedModel, question: Question, remarks: list[str]) -> bool:
    try:
        label_ids(model, question)
    except FormatError as error:
        remarks.append(f"{question.name}: {error}")
        return False
    return True


def _reading(taken: Taken, *, prompts: Sequence[Prompt], draws: int, seed: int) -> Reading:
    against = benign_role(prompts)
    near, far = (harm_auroc(taken.scores, prompts, against=role, draws=draws, seed=seed) for role in (against, "far"))
    if against == "far":
        far = Estimate.missing("the set has no near twins: other benign prompts are what `auroc` is against")
    return Reading(name=taken.name, kind=taken.kind, control=taken.control, n_shots=taken.n_shots, auroc=near, auroc_far=far)


def _outcomes(taken: Sequence[Taken], test: Sequence[Prompt]) -> pd.DataFrame:
    who = pd.DataFrame([(at, one.role, one.group, one.category) for at, one in enumerate(test)], columns=COLUMNS[3:7])
    parts = [who.assign(reading=one.name, control=one.control, kind=one.kind, score=one.scores) for one in taken]
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def _counted(prompts: Sequence[Prompt]) -> dict[str, int]:
    return {role: sum(prompt.role == role for prompt in prompts) for role in ("harmful", "near", "far")}
