"""Which ways of reading recognition work on a model, and by how much: every format, question and probe on the same prompts.

AUROC of harmful prompts against near twins (far twins beside), intact model, 95 % intervals. Many-shot formats are also read
with shuffled labels and with arbitrary words as labels: what a format recognises no better than these, no label taught.
Shots and probes come from the training part, a probe's layer from the development part, and all is measured on the test part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..elicitation import elicit
from ..examples import Example, Prompt
from ..models.protocol import HookedModel, geometry
from ..prompts.promptset import PromptSet
from ..statistics import Estimate, auroc
from ..tasks.formats import QUESTIONS, SHOT_FORMATS, FormatError, Question, ShotFormat, label_ids
from ..tasks.probe import PLACES, Place, Probe, place_residuals, ridge
from ..tasks.recognition import ShotError, Shots, arbitrary_labels, make_shots, many_shot, shuffled_labels
from ..tasks.teacher_forced import INTACT, teacher_forced
from ..tasks.told_apart import benign_role, contrasted, harm_auroc
from .reading_results import COLUMNS, Control, Kind, Reading, Readings, ReadingsError, sorted_readings
from .scores import chosen_triples

Scores = Float[np.ndarray, " prompt"]
CONTROLS: tuple[Control, ...] = ("", "shuffled labels", "arbitrary words")


@dataclass(frozen=True)
class _Parts:
    """`train` and `development` hold harmful prompts and those that these are held against; `test` far twins too."""

    train: list[Prompt]
    development: list[Prompt]
    test: list[Prompt]


@dataclass(frozen=True)
class _Taken:
    """The scores of the test prompts by one reading."""

    name: str
    kind: Kind
    scores: Scores
    control: Control = ""
    n_shots: int | None = None


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

    Raises:
        ReadingsError: a set without harmful or without benign prompts, one that is too small, or `train` and `prompts` with a
            request in common.
    """
    if min(shots, default=2) < 2 or draws < 1:
        raise ReadingsError(f"shots must be 2 or more, to show both labels, in 1 draw or more, not {list(shots)} and {draws}")
    parts = _parts(prompts, train, n_train=n_train, n_test=n_test, seed=seed)
    remarks = _remarks(parts, prompts, train)
    made = _make_shots(parts.train, forms, shots, draws=draws, seed=seed, remarks=remarks)
    taken = _many_shot(model, parts.test, made, seed=seed, remarks=remarks, progress=progress)
    everybody = [*parts.train, *parts.development, *parts.test]
    examples = elicit(model, everybody, max_new_tokens=max_new_tokens, seed=seed, progress=progress)
    usable = [question for question in questions if _readable(model, question, remarks)]
    taken += _in_place(model, examples[-len(parts.test) :], usable, progress=progress)
    if usable:
        taken += _probes(model, parts, examples, usable[0])
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


def _parts(prompts: PromptSet, train: PromptSet | None, *, n_train: int, n_test: int, seed: int) -> _Parts:
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
    parts = _Parts(taught, chosen_on, few[2])
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


def _remarks(parts: _Parts, prompts: PromptSet, train: PromptSet | None) -> list[str]:
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


def _make_shots(
    train: Sequence[Prompt], forms: Sequence[ShotFormat], sizes: Sequence[int], *, draws: int, seed: int, remarks: list[str]
) -> list[Shots]:
    found = []
    for form in forms:
        for size in sizes:
            try:
                found.append(make_shots(train, replace(form, n_shots=size), draws=draws, seed=seed))
            except ShotError as error:
                remarks.append(str(error))
    return found


def _many_shot(
    model: HookedModel, test: Sequence[Prompt], made: Sequence[Shots], *, seed: int, remarks: list[str], progress: bool
) -> list[_Taken]:
    found = []
    for shots in tqdm(made, desc="many-shot formats", unit="format", disable=not progress):
        for control in CONTROLS:
            own = _changed(control, seed)(shots)
            name = shots.form.name
            try:
                scores = many_shot(model, test, own).numpy()
            except (FormatError, ShotError) as error:
                remarks.append(f"{name}{f', {control}' if control else ''}: {error}")
            else:
                found.append(_Taken(name, "many-shot", scores, control, shots.form.n_shots))
    return found


def _changed(control: Control, seed: int) -> Callable[[Shots], Shots]:
    if control == "shuffled labels":
        return partial(shuffled_labels, seed=seed)
    return arbitrary_labels if control == "arbitrary words" else lambda shots: shots


def _readable(model: HookedModel, question: Question, remarks: list[str]) -> bool:
    try:
        label_ids(model, question)
    except FormatError as error:
        remarks.append(f"{question.name}: {error}")
        return False
    return True


def _in_place(model: HookedModel, test: Sequence[Example], questions: Sequence[Question], *, progress: bool) -> list[_Taken]:
    found = []
    for question in tqdm(questions, desc="questions in place", unit="question", disable=not progress):
        frame = teacher_forced(model, test, {INTACT: None}, question=question)
        found.append(_Taken(question.name, "in place", frame["in_place"].to_numpy(dtype=float)))
    return found


def _probes(model: HookedModel, parts: _Parts, examples: Sequence[Example], question: Question) -> list[_Taken]:
    """One a place, after its best layer on the development part (the lowest of equal ones)."""
    residuals = place_residuals(model, examples, question, range(geometry(model).n_layers))
    n, middle = len(parts.train), len(parts.train) + len(parts.development)
    taught, chosen_on = ([prompt.role == "harmful" for prompt in own] for own in (parts.train, parts.development))
    found = []
    for place in PLACES:
        by_layer = residuals[place].transpose(0, 1)
        probes = _by_layer(place, ridge(by_layer[:, :n], taught))
        scores = np.stack([probe.score(own[n:]).numpy() for probe, own in zip(probes, by_layer, strict=True)])
        development, harmful = scores[:, : middle - n], np.array(chosen_on)
        best = int(np.argmax(auroc(development[:, harmful], development[:, ~harmful])))
        found.append(_Taken(probes[best].name, "probe", scores[best, middle - n :]))
    return found


def _by_layer(place: Place, fitted: Sequence[Float[Tensor, "layer d_model"]]) -> list[Probe]:
    parts = zip(*fitted, strict=True)
    return [
        Probe(layer=layer, place=place, mean=mean, scale=scale, direction=direction)
        for layer, (mean, scale, direction) in enumerate(parts)
    ]


def _reading(taken: _Taken, *, prompts: Sequence[Prompt], draws: int, seed: int) -> Reading:
    against = benign_role(prompts)
    near, far = (harm_auroc(taken.scores, prompts, against=role, draws=draws, seed=seed) for role in (against, "far"))
    if against == "far":
        far = Estimate.missing("the set has no near twins: other benign prompts are what `auroc` is against")
    return Reading(name=taken.name, kind=taken.kind, control=taken.control, n_shots=taken.n_shots, auroc=near, auroc_far=far)


def _outcomes(taken: Sequence[_Taken], test: Sequence[Prompt]) -> pd.DataFrame:
    who = pd.DataFrame([(at, one.role, one.group, one.category) for at, one in enumerate(test)], columns=COLUMNS[3:7])
    parts = [who.assign(reading=one.name, control=one.control, kind=one.kind, score=one.scores) for one in taken]
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def _counted(prompts: Sequence[Prompt]) -> dict[str, int]:
    return {role: sum(prompt.role == role for prompt in prompts) for role in ("harmful", "near", "far")}
