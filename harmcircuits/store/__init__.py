"""Where results and models rest on disk: the cache folder, whole files, locks; JSON, tables, tensors."""

from .files import CACHE_VARIABLE as CACHE_VARIABLE
from .files import StoreError as StoreError
from .files import alone_in_folder as alone_in_folder
from .files import atomic_file as atomic_file
from .files import atomic_folder as atomic_folder
from .files import cache_dir as cache_dir
from .files import file_digest as file_digest
from .files import held as held
from .files import locked as locked
from .files import one_line as one_line
from .files import printable as printable
from .files import remove_leftovers as remove_leftovers
from .files import storage_errors as storage_errors
from .files import write_text as write_text
from .formats import as_frame as as_frame
from .formats import as_plain as as_plain
from .formats import digest as digest
from .formats import read_about as read_about
from .formats import read_json as read_json
from .formats import read_tensors as read_tensors
from .formats import save_tensors as save_tensors
from .formats import write_json as write_json
