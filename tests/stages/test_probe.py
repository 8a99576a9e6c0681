"""The table of what each layer of a trained encoder still tells, by its command."""

import json
import sys

import numpy as np
import soundfile

from espnet_otreg import tasks
from espnet_otreg.compat import asr_task
from espnet_otreg.stages import probe
from espnet_otreg.tasks import asr
from tests.support.tiny_speech import save_experiment

RATE = 16000


def corpus(folder, count):
    """Recordings of two voices, one steady and one that comes and goes, and their conditions."""
    rng = np.random.default_rng(1)
    beats = np.sin(np.arange(RATE) / RATE * 2 * np.pi * 3) > 0
    folder.mkdir()
    lines, conditions = [], []
    for number in range(count):
        noise = 0.1 * rng.standard_normal(RATE)
        soundfile.write(folder / f"{number}.wav", noise * beats if number % 2 else noise, RATE)
        lines.append(f"toy-en-train-{number:02d} {folder}/{number}.wav\n")
        described = {"voice": f"v{number % 2}", "rate_wpm": number, "pitch": -number}
        where = {"corpus": "toy", "lang": "en", "split": "train", "clip": f"{number:02d}"}
        conditions.append(json.dumps({**where, **described, "snr_db": number % 3}) + "\n")
    (folder / "wav.scp").write_text("".join(lines))
    (folder / "word_times.jsonl").write_text("".join(conditions))
    return folder


def forget_the_task(monkeypatch):
    """Make this a process that has not imported the task: ESPnet knows its own models only."""
    monkeypatch.setattr(tasks, "asr", asr)  # which an import replaces, for the time of the test
    monkeypatch.delitem(sys.modules, asr.__name__)
    monkeypatch.delitem(asr_task.model_choices.classes, "otreg")


def test_an_experiment_of_a_model_of_this_package_is_probed(tmp_path, monkeypatch):
    data = corpus(tmp_path / "data", 20)
    model = {"model": "otreg", "model_conf": {"ctc_weight": 0.3, "ot_conf": {"weight": 0.3}}}
    folder = save_experiment(tmp_path / "exp", "conformer", **model)
    forget_the_task(monkeypatch)
    probe.main([
        "--experiment", str(folder), "--layers", "1", "--data", str(data),
        "--conditions", str(data / "word_times.jsonl"), "--output", str(tmp_path / "PROBE.md"),
    ])  # fmt: skip
    head, _, row = (tmp_path / "PROBE.md").read_text().splitlines()
    assert head.startswith("| layer of 20 recordings | voice (of 2) |")
    assert row.startswith("| 1 | 100 % |")  # steady or not is plain to see
