"""Putting a packed model on the Hugging Face hub, as the files of a repository."""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.files import writing
from espnet_otreg.hub.archive import unpack_into
from espnet_otreg.hub.facts import CARD, read_facts

LOGIN = (
    "nobody is logged in to the Hugging Face hub: run `hf auth login` (or set HF_TOKEN) with a "
    "token that may write, from https://huggingface.co/settings/tokens, and repeat this"
)


class Listed(NamedTuple):
    """A file of a pack."""

    name: str
    size: int  # bytes


class Uploaded(NamedTuple):
    """What became of it."""

    url: str
    user: str
    files: list[Listed]


class NotLoggedIn(UserError):
    """There is no token, or the hub does not know it."""


def contents_of(pack: Path) -> list[Listed]:
    """List what an upload would send, without sending it."""
    with tempfile.TemporaryDirectory(prefix="espnet_otreg-") as beside:
        return _unpacked(pack, Path(beside), None)


def upload(pack: Path, repository: str, api: Any, *, private: bool = False) -> Uploaded:
    """Make the repository if need be and put the pack's files there in one commit.

    `api` is a huggingface_hub.HfApi. ESPnet's own loading of a hub name reads the same files.
    """
    user = who(api)
    with tempfile.TemporaryDirectory(prefix="espnet_otreg-") as beside:
        files = _unpacked(pack, Path(beside), repository)
        try:
            api.create_repo(repository, repo_type="model", private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repository,
                folder_path=beside,
                repo_type="model",
                commit_message=f"Upload {pack.name}",
            )
        except (OSError, ValueError) as error:  # the hub's own errors are among these
            raise UserError(
                f"{repository}: the upload failed ({_first_line(error)}); logged in as {user}: the "
                "name must be user/model, of that user or an organisation that lets them write"
            ) from error
    return Uploaded(f"https://huggingface.co/{repository}", user, files)


def who(api: Any) -> str:
    """Name the user that is logged in."""
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        return str(api.whoami()["name"])
    except LocalTokenNotFoundError as error:
        raise NotLoggedIn(LOGIN) from error
    except HfHubHTTPError as error:
        if getattr(error.response, "status_code", None) in (401, 403):
            raise NotLoggedIn(f"{LOGIN} (the hub refused the token)") from error
        raise UserError(f"the hub answered with an error: {_first_line(error)}") from error
    except Exception as error:  # of the HTTP library that the hub's client has at the time
        raise UserError(f"the Hugging Face hub cannot be reached: {_first_line(error)}") from error


def _unpacked(pack: Path, folder: Path, repository: str | None) -> list[Listed]:
    """Unpack, check that it is whole, and let the card's example load from the repository."""
    if not pack.is_file():
        raise UserError(f"{pack} does not exist: stage 14 or espnet_otreg.stages.pack makes it")
    unpack_into(pack, folder)
    facts = read_facts(folder)
    lost = [name for name in (facts.files if facts else ()) if not (folder / name).exists()]
    if lost:
        raise UserError(f"{pack} lacks {', '.join(lost)}: pack again")
    card = folder / CARD
    if repository is not None and facts is not None and card.is_file():
        text = card.read_text(encoding="utf-8")
        call = 'from_pretrained("{}"'
        with writing(card) as stream:
            stream.write(text.replace(call.format(facts.loaded_as), call.format(repository)))
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [Listed(str(path.relative_to(folder)), path.stat().st_size) for path in found]


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0]
