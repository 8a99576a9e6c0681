"""Audio conversion killed without warning, by processes of its own."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.format_set import JOURNAL
from espnet_otreg.stages import format_audio
from tests.support import corpus_trees as trees

CLIPS = 160


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Many names for a few recordings, long enough to be interrupted."""
    folder = tmp_path_factory.mktemp("in")
    rng = np.random.default_rng(0)
    made = [
        trees.write_audio(folder / f"{n}.mp3", rng.normal(scale=0.1, size=96000 + n), 48000)
        for n in range(4)
    ]
    clips = {f"u{n:03d}": folder / f"x{n}.mp3" for n in range(CLIPS)}
    for n, path in enumerate(clips.values()):
        os.link(made[n % len(made)], path)
    return trees.data_dir(folder / "data", clips)


def command(source, output, *options):
    return ["--input", str(source), "--output", str(output), "--nj", "2", *options]


def contents(output):
    data = DataDir.load(output)
    return data.tables["utt2num_samples"], {
        utt: open(path, "rb").read() for utt, path in data.tables["wav.scp"].items()
    }


@pytest.mark.parametrize("share", [0.0, 0.55])
def test_a_killed_run_goes_on_with_nothing_lost_and_nothing_twice(source, tmp_path, share):
    output = tmp_path / "out"
    code = "from espnet_otreg.stages.format_audio import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code, *command(source, output)])
    journal = output / JOURNAL
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        lines = journal.read_bytes().count(b"\n") if journal.is_file() else 0
        if lines > 1 + share * CLIPS:  # the header, and at least a batch
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (output / "wav.scp").exists()  # it was not finished
    done = journal.read_bytes().count(b"\n") - 1
    assert share * CLIPS < done < CLIPS
    (output / "audio/00").mkdir(exist_ok=True)
    (output / "audio/00/.u000.flac.1.tmp").touch()  # as a write that was under way leaves
    format_audio.main(command(source, output))
    lengths, audio = contents(output)
    assert len(lengths) == len(audio) == CLIPS
    names = [path.stem for path in (output / "audio").rglob("*.*")]
    assert sorted(names) == sorted(lengths)
    once = tmp_path / "once"
    format_audio.main(command(source, once))
    assert contents(once) == (lengths, audio)
