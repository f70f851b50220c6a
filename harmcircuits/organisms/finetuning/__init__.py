"""Fine-tuning: a model learns responses, or to prefer some over others, and is a hooked model again (peft, trl).

Needs `pip install 'harmcircuits[finetune]'`; what reads a finished model needs peft alone.
"""

from .kept import Finetuned as Finetuned
from .kept import read_finetuned as read_finetuned
from .lessons import FinetuneError as FinetuneError
from .lessons import Lesson as Lesson
from .recipe import Method as Method
from .recipe import Recipe as Recipe
from .train import check_trainable as check_trainable
from .train import finetune as finetune
