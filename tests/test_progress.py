import re
import time

from espnet_otreg import progress


def shown(capsys, monkeypatch, terminal):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(progress, "IN_TERMINAL", 0.0)
    with progress.progress("working", "clip", 40, initial=10) as bar:
        for _ in range(30):
            time.sleep(0.001)
            bar.update()
    return re.findall(r"working: +\d+%.*?(\d+)/40 \[", capsys.readouterr().err)


def test_a_terminal_sees_every_step(capsys, monkeypatch):
    assert len(shown(capsys, monkeypatch, True)) > 20


def test_a_log_gets_a_line_at_the_start_and_one_at_the_end(capsys, monkeypatch):
    assert shown(capsys, monkeypatch, False) == ["10", "40"]
