"""Small models trained from scratch whose alignment or misalignment is known: `toy_ladder`, `toy_advice`."""

from .advice_model import ToyAdvice as ToyAdvice
from .advice_model import toy_advice as toy_advice
from .domains import as_character as as_character
from .ladder import Ladder as Ladder
from .ladder import StageTruth as StageTruth
from .ladder import toy_ladder as toy_ladder
