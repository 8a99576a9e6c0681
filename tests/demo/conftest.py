"""The server with a recogniser that knows what it will say."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest

from espnet_otreg.demo.server import Server
from espnet_otreg.demo.service import Opened, Service
from espnet_otreg.errors import UserError
from espnet_otreg.transcribe import Passage, Plan, TimedWord


class Parrot:
    """Says "good day" in every stretch, in its first half second."""

    rate, batch_size = 16000, 1

    def __init__(self):
        self.heard = []

    def check(self, language):
        if language not in (None, "en", "fr"):
            raise UserError(f"language {language!r} has no name")

    def recognise(self, clips, language):
        self.heard += [(len(clip), language) for clip in clips]
        words = (TimedWord("good", 0.1, 0.3, 0.9), TimedWord("day", 0.3, 0.5, 0.25))
        shares = np.eye(4, 3)
        plan = Plan(shares, np.full(3, 1 / 3), ("▁good", "▁day", "silence"), ((0,), (1,)), 0.1)
        return [Passage("good day", words, plans=(plan,)) for _ in clips]

    def align(self, clips, texts, languages):
        raise NotImplementedError


@pytest.fixture
def parrot():
    return Parrot()


@contextmanager
def serving(service, folder, host="127.0.0.1"):
    """A server at a free port, answering in a thread."""
    with Server(host, 0, service, folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def service(parrot):
    made = Service("parrot.zip", lambda: Opened(parrot, ("en", "fr"), plans="As trained."))
    made.load()
    return made


@pytest.fixture
def uploads(tmp_path):
    folder = tmp_path / "uploads"
    folder.mkdir()
    return folder


@pytest.fixture
def server(service, uploads):
    with serving(service, uploads) as running:
        yield running
