"""`recognition`, which has sizes of its own."""

from ..experiments.reading_scores import CONTROLS
from ..experiments.readings import QUICK, compare_readings, parts_of, shots_of
from ..models.shape import Shape
from ..prompts.promptset import PromptSet
from .laid_out import sizes_of
from .steps import READING, SHOWING, WRITING, Steps, after_shots
from .texts import Texts
from .work import Rows, Work, forward, generation


def recognition(shape: Shape, prompts: PromptSet, texts: Texts, *, element: int, seed: int = 0, quick: bool = False) -> Steps:
    """Every format of shots with its controls, every question, and probes, on the prompts that the command itself takes.

    Raises:
        ReadingsError, PromptError: prompts of one kind, or too few.
    """
    sizes = sizes_of(compare_readings) | (QUICK if quick else {})
    parts = parts_of(prompts, None, n_train=sizes["n_train"], n_test=sizes["n_test"], seed=seed)
    how = {"draws": sizes["draws"], "seed": seed}
    made = shots_of(parts.train, sizes["forms"], sizes["shots"], **how, remarks=[])
    new, questions = sizes["max_new_tokens"], len(sizes["questions"])
    test, everybody = len(parts.test), sum(map(len, vars(parts).values()))
    read = lambda n, asked: forward(shape, Rows(n=n, length=texts.questioned(new), asked=asked, batch=READING), element=element)
    asked = Rows(n=test, length=texts.request, batch=SHOWING)
    shown = [len(one.draws) * after_shots(shape, asked, one.form.n_shots * texts.shot, element=element) for one in made]
    written = Rows(n=everybody, length=texts.prompt, batch=WRITING)
    return {
        f"{len(made)} formats after shots, {len(CONTROLS)} kinds of labels": len(CONTROLS) * sum(shown, Work()),
        "responses": generation(shape, written, new, element=element),
        f"{questions} questions after the response": questions * read(test, new + 1),
        "probes after every layer": read(everybody, 1),
    }
