"""Downloads from a server in this process: unpacked, damaged, absent, and already there."""

import hashlib
import io
import tarfile

import pytest

from espnet_otreg.corpora import download, fleurs, librispeech, mls
from espnet_otreg.errors import UserError
from espnet_otreg.stages import download as command
from tests.support import corpus_trees as trees


def tar_of(members, extra=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra:
            tar.addfile(info)
    return buffer.getvalue()


def flac():
    buffer = io.BytesIO()
    trees.soundfile.write(buffer, trees.tone(0.1), trees.RATE, format="FLAC")
    return buffer.getvalue()


LIBRISPEECH = tar_of(
    {
        "LibriSpeech/README.TXT": b"read me",
        "LibriSpeech/test-clean/61/70/61-70.trans.txt": b"61-70-0000 HELLO\n",
        "LibriSpeech/test-clean/61/70/61-70-0000.flac": flac(),
    }
)


def run(server, root, corpus="librispeech", *parts):
    options = ["--corpus", corpus, "--root", str(root), "--server", server.address]
    command.main([*options, "--parts", *(parts or ("test-clean",))])


def test_librispeech_is_fetched_unpacked_and_read_by_stage_1(server, tmp_path):
    server.files["test-clean.tar.gz"] = LIBRISPEECH
    digest = hashlib.md5(LIBRISPEECH).hexdigest()
    server.files["md5sum.txt"] = f"{digest}  test-clean.tar.gz\n".encode()
    (tmp_path / "LibriSpeech/dev-clean").mkdir(parents=True)  # of an earlier call
    run(server, tmp_path)
    (record,) = librispeech.prepare(tmp_path, "en", "test-clean", tmp_path).records
    assert record.text == "HELLO"
    assert (tmp_path / "LibriSpeech/dev-clean").is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".downloaded", "LibriSpeech"]
    before = len(server.asked)
    run(server, tmp_path)
    assert len(server.asked) == before  # a second call asks for nothing


@pytest.mark.parametrize("part", ["fr", "fr_opus"])
def test_mls_comes_in_both_formats(server, tmp_path, part):
    home = part.replace("fr", "mls_french")
    server.files[f"{home}.tar.gz"] = tar_of(
        {
            f"{home}/dev/transcripts.txt": b"1_2_3\toui\n",
            f"{home}/dev/audio/1/2/1_2_3.flac": flac(),
        }
    )
    run(server, tmp_path, "mls", part)
    assert len(mls.prepare(tmp_path, "fr", "dev", tmp_path).records) == 1


def test_fleurs_stays_packed_in_its_own_layout(server, tmp_path):
    row = "\t".join(trees.fleurs_row("1.wav", "hola")).encode() + b"\n"
    for split in ("train", "dev", "test"):
        server.files[f"data/es_419/{split}.tsv"] = row
        archive = tar_of({f"{split}/1.wav": trees.wav_bytes()})
        server.files[f"data/es_419/audio/{split}.tar.gz"] = archive
    run(server, tmp_path, "fleurs", "es")
    assert len(fleurs.prepare(tmp_path, "es", "test", tmp_path / "work").records) == 1


def test_what_is_already_there_is_told_by_what_and_fetched_again_when_that_is_removed(
    server, tmp_path, caplog
):
    caplog.set_level("INFO")
    server.files["test-clean.tar.gz"] = LIBRISPEECH
    run(server, tmp_path)
    mark = tmp_path / ".downloaded/test-clean.tar.gz"
    run(server, tmp_path)
    assert f"test-clean.tar.gz: already there, says {mark}" in caplog.text
    assert "to fetch again what is already there, remove the file named" in caplog.text
    before = len(server.asked)
    mark.unlink()
    run(server, tmp_path)
    assert len(server.asked) > before
    assert mark.is_file()


def test_a_mark_whose_folder_is_gone_does_not_count(server, tmp_path):
    server.files["test-clean.tar.gz"] = LIBRISPEECH
    (tmp_path / "LibriSpeech/dev-clean").mkdir(parents=True)  # another part is still there
    run(server, tmp_path)
    (tmp_path / "LibriSpeech/test-clean").rename(tmp_path / "elsewhere")
    run(server, tmp_path)
    assert len(librispeech.prepare(tmp_path, "en", "test-clean", tmp_path).records) == 1


def test_an_archive_of_something_else_gets_no_mark(server, tmp_path):
    server.files["test-clean.tar.gz"] = tar_of({"LibriSpeech/dev-clean/x.flac": b"x"})
    with pytest.raises(SystemExit, match=r"holds no LibriSpeech/test-clean: .*by hand"):
        run(server, tmp_path)
    assert not (tmp_path / ".downloaded/test-clean.tar.gz").exists()


def test_a_damaged_archive_of_fleurs_is_mended_as_the_message_says(server, tmp_path):
    row = "\t".join(trees.fleurs_row("1.wav", "hola")).encode() + b"\n"
    for split in ("train", "dev", "test"):
        server.files[f"data/es_419/{split}.tsv"] = row
        server.files[f"data/es_419/audio/{split}.tar.gz"] = tar_of({"1.wav": trees.wav_bytes()})
    run(server, tmp_path, "fleurs", "es")
    archive = tmp_path / "data/es_419/audio/test.tar.gz"
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(UserError, match=r"damaged .* 100 bytes\. Remove it, .*fetch it again"):
        fleurs.prepare(tmp_path, "es", "test", tmp_path / "work")
    archive.unlink()
    run(server, tmp_path, "fleurs", "es")
    assert len(fleurs.prepare(tmp_path, "es", "test", tmp_path / "work").records) == 1


def test_what_is_not_there_and_who_does_not_answer_are_clear_errors(server, tmp_path):
    with pytest.raises(SystemExit, match=r"test-clean.tar.gz cannot be fetched: .* 404"):
        run(server, tmp_path)
    with pytest.raises(UserError, match=r"cannot be fetched \(.*same command"):
        download.fetch("http://127.0.0.1:9/x", tmp_path / "x")


def test_a_wrong_checksum_removes_the_file(server, tmp_path):
    server.files["test-clean.tar.gz"] = LIBRISPEECH
    server.files["md5sum.txt"] = b"0123  test-clean.tar.gz\n"
    with pytest.raises(SystemExit, match=r"MD5 .* and should have 0123"):
        run(server, tmp_path)
    assert not list(tmp_path.glob("**/*clean*"))


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_archive_leaves_no_corpus(server, tmp_path, share):
    server.files["test-clean.tar.gz"] = LIBRISPEECH[: int(len(LIBRISPEECH) * share)]
    with pytest.raises(SystemExit, match="damaged or was cut short"):
        run(server, tmp_path)
    assert not (tmp_path / "LibriSpeech").exists()
    assert not list(tmp_path.glob(".unpacking*"))


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "archive",
    [
        tar_of({"../evil.flac": b"x"}),
        tar_of({"LibriSpeech/../../evil.flac": b"x"}),
        tar_of({}, [link("LibriSpeech/x", "/etc/passwd")]),
        tar_of({}, [link("LibriSpeech/x", "../../evil")]),
        tar_of({}, [link("LibriSpeech/x", "", tarfile.CHRTYPE)]),
    ],
)
def test_members_that_point_outside_are_refused(server, tmp_path, archive):
    server.files["test-clean.tar.gz"] = archive
    root = tmp_path / "root"
    with pytest.raises(SystemExit, match=r"test-clean\.tar\.gz refused"):
        run(server, root)
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
    assert not (root / "LibriSpeech").exists()


@pytest.mark.parametrize("corpus", list(download.BY_HAND))
def test_without_a_public_link_it_says_what_to_fetch_and_where_to_put_it(tmp_path, corpus):
    with pytest.raises(SystemExit) as stop:
        command.main(["--corpus", corpus, "--root", str(tmp_path)])
    place = "openslr.org" if corpus == "aishell" else "https://mozilladatacollective.com"
    for part in (place, str(tmp_path), f"{corpus.upper()}={tmp_path} in db.sh"):
        assert part in str(stop.value)


@pytest.mark.parametrize(
    ("corpus", "has"), [("librispeech", "train-other-500"), ("mls", "pl"), ("fleurs", "zu_za")]
)
def test_an_unknown_part_or_none_lists_what_there_is(tmp_path, corpus, has):
    for parts in ([], ["--parts", "train"]):
        with pytest.raises(SystemExit, match=rf"{corpus} has no part .*{has}"):
            command.main(["--corpus", corpus, "--root", str(tmp_path), *parts])


def test_every_address_is_of_the_corpus_own_server():
    server = download.SERVERS["mls"]
    (source,) = download.sources("mls", "de_opus", server)
    assert source.url == "https://dl.fbaipublicfiles.com/mls/mls_german_opus.tar.gz"
    (source,) = download.sources("librispeech", "dev-other", download.SERVERS["librispeech"])
    assert source.url == "https://www.openslr.org/resources/12/dev-other.tar.gz"
    first = download.sources("fleurs", "zh", download.SERVERS["fleurs"])[0]
    assert first.url.endswith("/google/fleurs/resolve/main/data/cmn_hans_cn/train.tsv")
