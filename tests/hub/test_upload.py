import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.hub.facts import Facts
from espnet_otreg.hub.upload import LOGIN, upload
from espnet_otreg.stages import upload as command

errors = pytest.importorskip("huggingface_hub.errors")


class Hub:
    """A hub in memory, with the calls of huggingface_hub.HfApi that are used."""

    def __init__(self, user="me", refuses=None):
        self.user, self.refuses = user, refuses
        self.repositories, self.files = {}, {}

    def whoami(self):
        if isinstance(self.user, Exception):
            raise self.user
        return {"name": self.user, "type": "user"}

    def create_repo(self, repo_id, *, repo_type, private, exist_ok):
        if self.refuses:
            raise self.refuses
        assert exist_ok or repo_id not in self.repositories
        self.repositories.setdefault(repo_id, (repo_type, private))

    def upload_folder(self, *, repo_id, folder_path, repo_type, commit_message):
        assert repo_id in self.repositories
        folder = Path(folder_path)
        self.files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def pack(tmp_path):
    facts = Facts("otreg", "beam", "0.1.0", "x", files=("model.pth",), loaded_as="packed.zip")
    facts.write(tmp_path)
    content = {
        "meta.yaml": b"files: {}\nyaml_files: {}\n",
        "model.pth": b"\x00" * 1234,
        "README.md": b'model = Speech2Text.from_pretrained("packed.zip", decoder="d")\n',
        "otreg.json": (tmp_path / "otreg.json").read_bytes(),
    }
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as stream:
        for name, data in content.items():
            stream.writestr(name, data)
    return tmp_path / "packed.zip"


def response(status):
    return SimpleNamespace(status_code=status, headers={}, request=None)


def refusal(status, told="denied\nmore"):
    return errors.HfHubHTTPError(told, response=response(status))


def test_the_files_of_the_pack_arrive_and_the_example_loads_from_the_repository(pack):
    hub = Hub()
    done = upload(pack, "me/model", hub, private=True)
    assert hub.repositories == {"me/model": ("model", True)}
    assert hub.files.keys() == {"meta.yaml", "model.pth", "README.md", "otreg.json"}
    assert hub.files["README.md"] == (
        b'model = Speech2Text.from_pretrained("me/model", decoder="d")\n'
    )
    assert {file.name: file.size for file in done.files}["model.pth"] == 1234
    assert done.url.endswith("/me/model")
    upload(pack, "me/model", hub)  # once more into the same repository


def test_a_dry_run_lists_files_and_sizes_and_sends_nothing(pack, capsys):
    hub = Hub()
    command.main(["--pack", str(pack), "--repo", "me/model", "--dry_run"], api=hub)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["1,234", "model.pth"] for line in lines)
    assert lines[-1].endswith("bytes in 4 files would go to me/model")
    assert hub.repositories == {}


@pytest.mark.parametrize("reason", [errors.LocalTokenNotFoundError("no token"), refusal(401)])
def test_nobody_being_logged_in_is_told_and_an_error_only_by_wish(pack, reason, caplog):
    hub = Hub(user=reason)
    command.main(["--pack", str(pack), "--repo", "me/model"], api=hub)
    assert f"nothing was uploaded: {LOGIN}" in caplog.text
    assert "hf auth login" in caplog.text
    with pytest.raises(SystemExit, match="nobody is logged in"):
        command.main(["--pack", str(pack), "--repo", "me/model", "--required"], api=hub)
    assert hub.repositories == {}


@pytest.mark.parametrize(
    ("hub", "told"),
    [
        (Hub(user=ConnectionError("no route\nmore")), r"cannot be reached: no route$"),
        (
            Hub(user=RuntimeError("an HTTP library's own")),
            r"cannot be reached: an HTTP library's own$",
        ),
        (Hub(user=refusal(503)), "answered with an error: denied$"),
        (Hub(refuses=refusal(403)), r"upload failed \(denied\); logged in as me: the name must"),
        (Hub(refuses=errors.HFValidationError("bad name")), r"upload failed \(bad name\)"),
    ],
)
def test_what_the_hub_refuses_is_told(pack, hub, told):
    with pytest.raises(UserError, match=told):
        upload(pack, "me/model", hub)


def test_a_pack_that_is_absent_or_not_whole_is_not_sent(pack, tmp_path):
    hub = Hub()
    with pytest.raises(UserError, match="stage 14"):
        upload(tmp_path / "no.zip", "me/model", hub)
    with zipfile.ZipFile(pack) as old, zipfile.ZipFile(tmp_path / "half.zip", "w") as new:
        for name in old.namelist():
            if name != "model.pth":
                new.writestr(name, old.read(name))
    with pytest.raises(UserError, match=r"lacks model\.pth"):
        upload(tmp_path / "half.zip", "me/model", hub)
    assert hub.repositories == {}
