"""Commits of the hub's repositories."""

import os

from moco.errors import RequestError, WorkError


def newest_commit(kind: str, repository: str) -> str:
    """Return the commit that a repository's main branch has now.

    Args:
        kind: `dataset` or `model`.
        repository: As owner/name.

    Raises:
        RequestError: There is no such repository, or access is not granted.
        WorkError: The hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
    from huggingface_hub.utils import httpx

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    ask = api.dataset_info if kind == "dataset" else api.model_info
    try:
        commit = ask(repository, timeout=60).sha
    except (GatedRepoError, RepositoryNotFoundError) as error:
        what = f"{kind} {repository} does not exist, or access is not granted ({type(error).__name__})"
        raise RequestError(what, remedy="check its name, accept its terms on its page, or set HF_TOKEN") from None
    except (OfflineModeIsEnabled, HfHubHTTPError, httpx.HTTPError, OSError) as error:
        what = f"the hub cannot be asked for the commit of {kind} {repository} ({type(error).__name__})"
        raise WorkError(what, remedy="run it on a machine with a network, without HF_HUB_OFFLINE") from None
    if commit is None:
        raise WorkError(f"the hub names no commit of {kind} {repository}")
    return str(commit)
