"""Where results and models rest on disk: the cache folder, digests, atomic writes, locks.

`store.tensors` is not imported here: it needs PyTorch, and the rest does not.
"""

from .errors import StoreError as StoreError
from .errors import one_line as one_line
from .errors import printable as printable
from .errors import storage_errors as storage_errors
from .files import CACHE_VARIABLE as CACHE_VARIABLE
from .files import atomic_file as atomic_file
from .files import atomic_folder as atomic_folder
from .files import cache_dir as cache_dir
from .files import file_digest as file_digest
from .files import remove_leftovers as remove_leftovers
from .files import write_text as write_text
from .locks import alone_in_folder as alone_in_folder
from .locks import held as held
from .locks import locked as locked
from .plain import digest as digest
from .plain import read_json as read_json
from .plain import write_json as write_json
