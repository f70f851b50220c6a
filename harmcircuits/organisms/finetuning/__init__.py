"""Fine-tuning: a model learns responses, or to prefer some over others, and is a hooked model again (peft, trl).

Needs `pip install 'harmcircuits[finetune]'`; what reads a finished model needs peft alone.
"""

from .apart import difference as difference
from .apart import restored as restored
from .kept import Finetuned as Finetuned
from .kept import finetuned_of as finetuned_of
from .kept import read_finetuned as read_finetuned
from .kept import request_digest as request_digest
from .lessons import FinetuneError as FinetuneError
from .lessons import Lesson as Lesson
from .ready import check_trainable as check_trainable
from .recipe import Method as Method
from .recipe import Recipe as Recipe
from .train import estimate as estimate
from .train import finetune as finetune
from .work import shared_bases as shared_bases
