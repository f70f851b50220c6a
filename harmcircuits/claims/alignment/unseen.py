"""Whether what a stage is tested on is new to it."""

from collections.abc import Sequence

from ...data import PromptSet, load_prompts
from ...experiments.checks import ready_splits
from ...experiments.scores import chosen_triples, triple_prompts
from ...experiments.settings import ClaimSettings
from ...organisms.finetuning import finetuned_of, request_digest
from ..earlier import ClaimError
from .ladders import Stage


def refuse_seen(every: Sequence[Stage], prompts: PromptSet | None, settings: ClaimSettings) -> None:
    """Compares digests of the test triples' requests with those that `finetune` kept of what it trained on. Of any other
    checkpoint, and of a model that is held already, nothing is known.

    Raises:
        ClaimError: a stage was trained on a request of a test triple.
        ExperimentError, PromptError: as `prepare`.
        StoreError: a fine-tuned model was written by another version.
    """
    made = [(stage, one) for stage in every if (one := finetuned_of(stage.given) if stage.named else None) and one.requests]
    if not made:
        return
    test = ready_splits(prompts if prompts is not None else load_prompts(), seed=settings.seed)[-1]
    test = chosen_triples(test, settings.test_triples, seed=settings.seed)
    tested = [(one.group, request_digest(one.request)) for one in triple_prompts(test)]
    for stage, model in made:
        seen = {group for group, request in tested if request in model.requests}
        if seen:
            raise ClaimError(
                f"{stage.name} was trained on requests of {len(seen)} of the {len(test.triples)} test triples: what is tested "
                f"has to be new to it. Give the seed and the prompts of its training (its seed was {model.seed}: --seed "
                f"{model.seed}), of which it learnt from the training split alone"
            )
