"""Downloads from a server in this process: with Range and without, cut short, damaged, absent."""

import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import corpus_trees as trees
import pytest

from espnet_otreg.bin import download as command
from espnet_otreg.corpora import download, fleurs, librispeech, mls
from espnet_otreg.errors import UserError


class Handler(BaseHTTPRequestHandler):
    """Serves `files`; `ranges` and `cut` say how well."""

    files: dict[str, bytes]
    ranges = True
    cut: int | None = None  # end the connection after so many bytes
    asked: list[tuple[str, str | None]]

    def do_GET(self):
        name, asked = self.path.lstrip("/"), self.headers.get("Range")
        self.asked.append((name, asked))
        if name not in self.files:
            self.send_error(404)
            return
        content = self.files[name]
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        if start >= len(content) and start:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """The handler's class, which tests adjust, and the address."""

    class Served(Handler):
        files, asked = {}, []

    running = ThreadingHTTPServer(("127.0.0.1", 0), Served)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    Served.address = f"http://127.0.0.1:{running.server_address[1]}"
    yield Served
    running.shutdown()
    thread.join()
    running.server_close()


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


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_cut_short_goes_on_where_it_stopped_if_the_server_can(server, tmp_path, ranges):
    content = bytes(range(256)) * 40
    server.files["x"], server.ranges, server.cut = content, ranges, 3000
    with pytest.raises(UserError, match=r"cut short: 3000 of 10240 bytes.*same command"):
        download.fetch(f"{server.address}/x", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    server.cut = None
    download.fetch(f"{server.address}/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == content
    assert [asked for _, asked in server.asked] == [None, "bytes=3000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_download_that_only_lacks_its_name_gets_it(server, tmp_path):
    server.files["x"] = b"whole"
    (tmp_path / "x.partial").write_bytes(b"whole")
    download.fetch(f"{server.address}/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"whole"


def test_a_file_that_became_shorter_is_begun_anew(server, tmp_path):
    server.files["x"] = b"new"
    (tmp_path / "x.partial").write_bytes(b"longer")
    with pytest.raises(UserError, match="has changed"):
        download.fetch(f"{server.address}/x", tmp_path / "x")
    download.fetch(f"{server.address}/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"new"


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
    for part in ("https://", str(tmp_path), f"{corpus.upper()}={tmp_path} in db.sh"):
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
