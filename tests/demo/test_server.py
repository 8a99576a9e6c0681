"""HTTP of the demo page: what it answers, and whom it refuses."""

import base64
import io
import json
import re
import threading
import time
from http.client import HTTPConnection
from urllib.parse import urlencode

import numpy as np
import pytest
import soundfile

from espnet_otreg.demo import service as service_module
from espnet_otreg.demo.server import PAGE, POLICY
from espnet_otreg.demo.service import Limits, Opened, Service
from espnet_otreg.errors import UserError
from tests.demo.conftest import serving

BINARY = {"Content-Type": "application/octet-stream"}


def sound(seconds=1.0, loud=0.1, kind="WAV", rate=16000):
    stream = io.BytesIO()
    wave = loud * np.sin(np.arange(int(seconds * rate)) / 5)
    soundfile.write(stream, wave, rate, format=kind)
    return stream.getvalue()


def ask(server, path="/", body=None, method=None, **headers):
    """Return status, headers and body; underscores in names of headers are dashes."""
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method or ("GET" if body is None else "POST"), path, body, given)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content


def post(server, body, name="a.wav", language="", **headers):
    path = f"/transcribe?{urlencode({'name': name, 'language': language})}"
    status, _, content = ask(
        server, path, body, **{"Content_Type": BINARY["Content-Type"]} | headers
    )
    return status, json.loads(content)


@pytest.mark.parametrize("path", PAGE)
def test_the_page_needs_nothing_foreign_and_its_policy_allows_nothing_foreign(server, path):
    status, headers, body = ask(server, path)
    assert status == 200
    assert headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY and "*" not in POLICY and POLICY.startswith("default-src 'none';")
    assert headers["X-Content-Type-Options"] == "nosniff"
    text = body.decode("utf-8")
    assert not re.search(r"https?://|@import|style=|\son\w+=", text)


def test_every_part_that_the_page_names_is_served(server):
    named = set()
    for path in PAGE:
        text = ask(server, path)[2].decode("utf-8")
        named |= set(re.findall(r"""["'](?:\./)?([\w/]+\.(?:js|css))["']""", text))
    assert named == {path[1:] for path in PAGE if path != "/"}


def test_a_recording_comes_back_as_words_wave_and_plan_and_nothing_is_left_on_disk(
    server, uploads, parrot
):
    status, answer = post(server, sound(1.5, kind="FLAC", rate=8000), "../x/talk.flac", "fr")
    assert status == 200
    assert (answer["name"], answer["text"], answer["duration"]) == ("talk.flac", "good day", 1.5)
    assert parrot.heard == [(24000, "fr")]
    assert answer["words"][1] == {"word": "day", "start": 0.3, "end": 0.5, "confidence": 0.25}
    (plan,) = answer["plans"]
    assert plan["labels"] == ["▁good", "▁day", "silence"] and plan["rows"] == [[0], [1]]
    shares = np.frombuffer(base64.b64decode(plan["bytes"]), np.uint8).reshape(plan["frames"], 3)
    assert shares.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]]
    wave = np.frombuffer(base64.b64decode(answer["wave"]["bytes"]), np.uint8).reshape(-1, 2)
    assert len(wave) == round(1.5 * answer["wave"]["rate"])
    assert (wave[20:-20, 0] < 120).all() and (wave[20:-20, 1] > 136).all()
    assert list(uploads.iterdir()) == []


@pytest.mark.parametrize("name", ["", "/", "a\n\x1b[2Jb.wav", ".." + "/" * 300])
def test_an_odd_name_is_no_name(server, name):
    status, answer = post(server, sound(), name)
    assert status == 200 and answer["name"] in ("recording", "..")


def test_a_long_recording_is_cut_as_transcribe_cuts_it(service, server, parrot):
    status, answer = post(server, sound(50))
    assert status == 200
    assert len(parrot.heard) == 3 and sum(size for size, _ in parrot.heard) == 50 * 16000
    assert answer["text"] == "good day good day good day"
    starts = [plan["start"] for plan in answer["plans"]]
    assert starts == sorted(starts) and [plan["first"] for plan in answer["plans"]] == [0, 2, 4]
    for plan in answer["plans"]:
        assert answer["words"][plan["first"]]["start"] == pytest.approx(
            plan["start"] + 0.1, abs=0.002
        )


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:{port}", True),
        ("localhost:9000", True),  # through a tunnel
        ("[::1]:{port}", True),
        ("evil.example:{port}", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.7:{port}", False),
        ("", False),
        ("[", False),
    ],
)
def test_a_foreign_name_that_was_pointed_here_is_refused(server, host, known):
    host = host.format(port=server.server_port)
    for path in ("/", "/status"):
        assert (ask(server, path, Host=host)[0] == 200) == known
    status, answer = post(server, sound(), Host=host, Origin=f"http://{host}")
    assert status == (200 if known else 403), answer


def test_an_address_that_was_asked_for_is_known_by_its_number_and_not_by_a_foreign_name(
    service, uploads
):
    with serving(service, uploads, "0.0.0.0") as server:
        statuses = [ask(server, Host=host)[0] for host in ("10.0.0.7:80", "evil.example:80")]
    assert statuses == [200, 403]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),  # another page of this machine
        ({"Origin": "null"}, 403),
        ({"Content_Type": "text/plain"}, 415),  # what a form can send
        ({"Content_Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content_Length": "-5"}, 411),
        ({"Content_Length": "many"}, 411),
        ({"Content_Length": "9" * 5000}, 411),
    ],
)
def test_what_another_site_sends_is_refused(server, parrot, headers, status):
    given = {name: value.format(port=server.server_port) for name, value in headers.items()}
    found, answer = post(server, sound(), **given)
    assert found == status, answer
    assert bool(parrot.heard) == (status == 200)


@pytest.mark.parametrize(
    ("body", "name", "language", "status", "told"),
    [
        (b"no sound at all", "notes.txt", "", 415, "Unreadable: notes.txt: "),
        (b"", "a.wav", "", 400, "The file is empty."),
        (sound()[:9000], "cut.wav", "", 422, "Truncated: "),
        (
            sound(loud=0.0002),
            "quiet.wav",
            "",
            422,
            "quiet.wav is silent: its loudest sample is 73 dB below",
        ),
        (sound(), "a.wav", "xx", 400, "Language 'xx' has no name."),
        (sound(61 * 2, rate=1000, kind="FLAC"), "long.flac", "", 413, "lasts 2 minutes, and the"),
    ],
    ids=["no sound", "empty", "cut off", "silent", "language", "long"],
)
def test_what_cannot_be_transcribed_is_told_in_a_line_for_the_page(
    server, service, uploads, body, name, language, status, told
):
    service.limits = Limits(minutes=2)
    found, answer = post(server, body, name, language)
    assert found == status
    assert told in answer["error"] and "\n" not in answer["error"]
    assert str(uploads) not in answer["error"]
    assert list(uploads.iterdir()) == []


def test_a_model_that_fails_is_told_and_the_next_recording_goes_on(
    server, parrot, monkeypatch, caplog
):
    def broken(clips, language):
        raise RuntimeError("shapes\ndiffer")

    with monkeypatch.context() as patched:
        patched.setattr(parrot, "recognise", broken)
        status, answer = post(server, sound())
    assert status == 500 and "The model failed (RuntimeError: shapes differ)." in answer["error"]
    assert "Traceback" in caplog.text
    assert post(server, sound())[0] == 200


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(server):
    size = str(101 * 10**6)
    status, answer = post(server, b"", Content_Length=size)
    assert status == 413
    assert "The file has 101 MB, and the page takes up to 100" in answer["error"]


def test_before_the_model_is_there_the_page_is_and_says_so(uploads, parrot):
    waiting = Service("parrot.zip", lambda: Opened(parrot))
    with serving(waiting, uploads) as server:
        assert ask(server, "/")[0] == 200
        assert json.loads(ask(server, "/status")[2])["ready"] is False
        status, answer = post(server, sound())
        assert status == 503 and "still loading" in answer["error"]
        waiting.load()
        facts = json.loads(ask(server, "/status")[2])
    assert facts["ready"] is True and facts["model"] == "parrot.zip"


def test_the_page_is_told_the_models_languages_by_name(server):
    facts = json.loads(ask(server, "/status")[2])
    assert facts["languages"] == {"en": "English", "fr": "French"}
    assert facts["needs_language"] is False and facts["plans"] == "As trained."


def test_a_language_that_the_model_does_not_know_is_no_good_beginning(parrot):
    with pytest.raises(UserError, match="'xx' has no name"):
        Service("parrot.zip", lambda: Opened(parrot), "xx").load()


def test_recordings_go_through_the_model_one_at_a_time(server, parrot, monkeypatch):
    inside, most = [], []
    own = parrot.recognise

    def slow(clips, language):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()
        return own(clips, language)

    monkeypatch.setattr(parrot, "recognise", slow)
    statuses = []
    threads = [
        threading.Thread(target=lambda: statuses.append(post(server, sound())[0])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 4 and most == [1] * 4


def test_who_finds_a_long_queue_is_told_so_instead_of_waiting(parrot, uploads, monkeypatch):
    monkeypatch.setattr(service_module, "WAITING", 0)
    busy, go_on = threading.Event(), threading.Event()
    own = parrot.recognise

    def held(clips, language):
        busy.set()
        go_on.wait(30)
        return own(clips, language)

    monkeypatch.setattr(parrot, "recognise", held)
    made = Service("parrot.zip", lambda: Opened(parrot))
    made.load()
    with serving(made, uploads) as server:
        first = threading.Thread(target=post, args=(server, sound()))
        first.start()
        assert busy.wait(30)
        status, answer = post(server, sound())
        go_on.set()
        first.join()
        assert status == 503 and "Too many recordings are waiting" in answer["error"]
        assert post(server, sound())[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/../server.py", 404),
        ("GET", "/page", 404),
        ("POST", "/status", 404),
        ("PUT", "/", 501),
    ],
)
def test_nothing_else_is_served(server, method, path, status):
    body = sound() if method == "POST" else None
    assert ask(server, path, body, method, **{"Content_Type": BINARY["Content-Type"]})[0] == status
