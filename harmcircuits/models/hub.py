"""Model hubs: whether one can be reached at all, what a repository holds, and why a model could not be had from there."""

from pathlib import Path

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

_CONFIG = "config.json"


def check_reachable(name: str, revision: str | None) -> None:
    """Asks the hub once for a model that is not in its local cache, as transformers will, but without retrying.

    transformers would say six times that there is no network, and wait for half a minute in between.

    Raises:
        ConnectionError: the hub cannot be reached. Whatever else is wrong is left to the loading itself, which knows more.
    """
    if constants.HF_HUB_OFFLINE:
        return
    try:
        if not isinstance(try_to_load_from_cache(name, _CONFIG, revision=revision), str):
            get_hf_file_metadata(hf_hub_url(name, _CONFIG, revision=revision))
    except Exception as error:
        if _is_about_the_network(error):
            raise ConnectionError("the hub cannot be reached") from error


def holds(name: str, file: str, revision: str | None) -> bool:
    """Whether a repository has a file: in the local cache, or else by asking the hub. False where neither can tell, and for a
    name that is no repository's: what is wrong is left to the loading itself, which knows more."""
    try:
        if isinstance(try_to_load_from_cache(name, file, revision=revision), str):
            return True
        if constants.HF_HUB_OFFLINE:
            return False
        get_hf_file_metadata(hf_hub_url(name, file, revision=revision))
    except (EntryNotFoundError, HfHubHTTPError, HFValidationError):
        return False
    except Exception as error:
        if _is_about_the_network(error):
            return False
        raise
    return True


def fetched(name: str, file: str, revision: str | None) -> Path:
    """A small file of a repository, from the local cache or else downloaded into it, as transformers will have it.

    Raises:
        OSError: it cannot be had.
    """
    return Path(hf_hub_download(name, file, revision=revision))


def cause(error: BaseException, name: str) -> str:
    """Why a hub id could not be loaded, in one sentence with its cure; no address, since a mirror's may be private."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    if any(isinstance(link, GatedRepoError) for link in chain):
        return "the model is gated: accept its licence on its page, then log in with `hf auth login` or set HF_TOKEN."
    if any(isinstance(link, RevisionNotFoundError) for link in chain):
        return "the hub has this model but not the revision asked for."
    if any(isinstance(link, RepositoryNotFoundError) for link in chain):
        return "the hub has no such model, or it is private; check the spelling, or log in with `hf auth login`."
    elsewhere = f"or run `hf download {name} --local-dir FOLDER` where there is a network, and pass the folder."
    if constants.HF_HUB_OFFLINE:
        return f"it is not in the hub's local cache, and HF_HUB_OFFLINE is set: unset it, {elsewhere}"
    if any(isinstance(link, LocalEntryNotFoundError | ConnectionError) for link in chain):
        return f"the hub cannot be reached, and the model is not in its local cache: check the network, {elsewhere}"
    return f"the hub has no complete transformers model under this name ({type(error).__name__})."


def _is_about_the_network(error: Exception) -> bool:
    """No connection, no answer in time, a proxy that refuses. By name: the hub's client has changed its HTTP library twice."""
    return any(kind.__name__ in ("TransportError", "ConnectionError") for kind in type(error).__mro__)
