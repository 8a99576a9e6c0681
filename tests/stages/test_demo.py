"""The command around the page: where it listens, and how it ends."""

import os
import re
import signal
import socket
import tempfile
import threading

import pytest

from espnet_otreg.demo.server import Server, is_loopback
from espnet_otreg.demo.service import Service
from espnet_otreg.errors import UserError
from espnet_otreg.stages import demo


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def fails(*arguments):
    with pytest.raises(SystemExit) as end:
        demo.main(list(arguments))
    told = str(end.value.code)
    assert told.startswith("error: ") and "\n" not in told
    return told


def test_a_model_that_cannot_be_opened_ends_the_server_that_was_there_first(capfd, temporary):
    assert "no/such.zip does not exist" in fails("no/such.zip", "--port", "0")
    address = re.search(r"such.zip is at http://127.0.0.1:(\d+)/", capfd.readouterr().out)
    assert int(address[1]) > 0
    assert list(temporary.iterdir()) == []


def test_a_port_in_use_is_told_in_one_line(temporary):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told = fails("no/such.zip", "--port", str(port))
    assert f"port {port} of 127.0.0.1 cannot be listened at (Address already in use)" in told
    assert "--port 0" in told and list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--port", "70000"], "--port must be 0 to 65535, got 70000"),
        (["--max_minutes", "0"], "--max_minutes must be above 0, got 0"),
        (["--max_megabytes", "nan"], "--max_megabytes must be above 0, got nan"),
        (["--host", "no.such.host.invalid", "--port", "0"], "of no.such.host.invalid cannot be"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(options, told):
    assert told in fails("no/such.zip", *options)


def test_another_host_must_be_asked_for_and_warns(caplog):
    assert demo.get_parser().parse_args(["m"]).host == "127.0.0.1"
    fails("no/such.zip", "--port", "0")
    assert "everyone who reaches" not in caplog.text
    fails("no/such.zip", "--port", "0", "--host", "0.0.0.0")
    assert "--host 0.0.0.0: everyone who reaches this machine" in caplog.text


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("a.b", False)],
)
def test_addresses_of_this_machine_alone_are_known(host, own):
    assert is_loopback(host) is own


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_it_without_an_error(number, tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)
    # a package that other tests import takes the interrupt for itself
    of_others = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Server("127.0.0.1", 0, Service("m", lambda: None), tmp_path) as server:
            demo.serve(server, lambda: os.kill(os.getpid(), number))
            address = server.server_address
    finally:
        signal.signal(signal.SIGINT, of_others)
    assert capsys.readouterr().err == "ended\n"
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(OSError):
        socket.create_connection(address, timeout=1)


def test_a_model_in_the_middle_of_a_recording_does_not_keep_the_command_alive(monkeypatch):
    codes, go_on = [], threading.Event()
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    demo.leave()
    assert codes == []
    monkeypatch.undo()
    monkeypatch.setattr(os, "_exit", codes.append)
    working = threading.Thread(target=go_on.wait)
    working.start()
    demo.leave()
    go_on.set()
    working.join()
    assert codes == [0]


def test_a_failure_while_loading_is_the_commands(tmp_path):
    def broken():
        raise UserError("no weights")

    with (
        Server("127.0.0.1", 0, Service("m", lambda: None), tmp_path) as server,
        pytest.raises(UserError, match="no weights"),
    ):
        demo.serve(server, broken)
