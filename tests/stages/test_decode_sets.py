"""Stage 12's splitting, resuming and merging, with a decoder that echoes the utterance's name."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_otreg.files import read_json, read_table, write_json, write_lines
from espnet_otreg.stages import decode_sets

ECHO = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
with open(folder.parent / "calls", "a") as calls:
    calls.write(folder.name)
if len(sys.argv) > 2 and folder.name == sys.argv[2]:
    sys.exit("out of memory")
(folder / "1best_recog").mkdir(exist_ok=True)
keys = (folder / "keys").read_text().split()
(folder / "1best_recog" / "seconds").write_text("".join(f"{utt} 0.5\\n" for utt in keys))
lines = [f"{utt} heard {utt}\\n" for utt in (folder / "keys").read_text().split()]
(folder / "1best_recog" / "text").write_text("".join(lines))
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Two sets, a model, and the options to decode with three processes."""
    for name, count in (("a_test", 5), ("b_test", 2)):
        rows = [f"{name}-{i} {name}{i}.flac" for i in range(count)]
        write_lines(tmp_path / name / "wav.scp", rows)
    for needed in ("exp/config.yaml", "exp/model.pth", "decode.yaml"):
        write_lines(tmp_path / needed, ["x: 1"])
    monkeypatch.chdir(tmp_path)

    def command(*further, failing=()):
        def echo(args, work, folder):
            return [sys.executable, "-c", ECHO, str(folder), *failing]

        monkeypatch.setattr(decode_sets, "_command", echo)
        decode_sets.main(
            [
                *("--asr_exp", "exp", "--model_file", "model.pth", "--config", "decode.yaml"),
                *("--nj", "3", "--sets", "a_test", "b_test", "--output", "out"),
                *further,
            ]
        )

    return command


def calls() -> str:
    path = Path("out/parts/calls")
    return "".join(sorted(path.read_text())) if path.exists() else ""


def test_every_set_gets_its_own_utterances_back(recipe):
    recipe()
    for name in ("a_test", "b_test"):
        wanted = read_table(Path(name) / "wav.scp")
        assert read_table(Path("out") / name / "text") == {u: f"heard {u}" for u in wanted}
    assert calls() == "012"


@pytest.mark.parametrize("asked, given", [(None, "3"), ("1", "1"), ("64", "3"), ("x", "3")])
def test_processes_share_the_cores_unless_fewer_threads_are_asked_for(
    recipe, monkeypatch, asked, given
):
    monkeypatch.setattr(decode_sets.os, "cpu_count", lambda: 9)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    told, popen = [], subprocess.Popen

    def start(command, **options):
        told.append(options["env"]["OMP_NUM_THREADS"])
        return popen(command, **options)

    monkeypatch.setattr(decode_sets.subprocess, "Popen", start)
    recipe()
    assert told == [given] * 3


def test_finished_parts_are_kept_and_only_the_failed_one_runs_again(recipe):
    with pytest.raises(SystemExit, match=r"see .*out/parts/1/log.*\n.*out of memory"):
        recipe(failing=["1"])
    assert not Path("out/a_test").exists()
    done = [i for i in "02" if Path(f"out/parts/{i}/1best_recog/text").exists()]
    Path("out/parts/calls").unlink()
    recipe()
    assert calls() == "".join(sorted(set("012") - set(done)))
    assert len(read_table(Path("out/a_test/text"))) == 5


def test_a_changed_set_is_decoded_again(recipe):
    recipe()
    write_lines(Path("a_test/wav.scp"), ["a_test-9 a.flac"])
    recipe()
    assert read_table(Path("out/a_test/text")) == {"a_test-9": "heard a_test-9"}


def test_an_utterance_in_two_sets_is_an_error(recipe):
    write_lines(Path("b_test/wav.scp"), ["a_test-1 a.flac"])
    with pytest.raises(SystemExit, match="1 utterances are in two sets, first a_test-1"):
        recipe()


@pytest.mark.parametrize("missing", ["exp/config.yaml", "exp/model.pth", "decode.yaml"])
def test_a_missing_file_is_named(recipe, missing):
    Path(missing).unlink()
    with pytest.raises(SystemExit, match=f"{missing} does not exist"):
        recipe()


def test_what_decoding_took_is_added_up_by_set_over_runs(recipe):
    for name, count in (("a_test", 5), ("b_test", 2)):
        for i in range(count):
            soundfile.write(f"{name}{i}.flac", np.zeros(16000 * (i + 1)), 16000)
    with pytest.raises(SystemExit, match="out of memory"):
        recipe(failing=["1"])
    recipe()
    timing = read_json(Path("out/a_test/timing.json"))
    assert (timing["utterances"], timing["audio_s"], timing["decoding_s"]) == (5, 15, 2.5)
    assert (timing["device"], timing["processes"]) == ("cpu", 3)
    assert read_json(Path("out/b_test/timing.json"))["real_time_factor"] == pytest.approx(1 / 3)


def test_a_changed_set_does_not_keep_the_old_times(recipe):
    for name in ("a_test", "b_test"):
        for i in range(5):
            soundfile.write(f"{name}{i}.flac", np.zeros(16000), 16000)
    recipe()
    assert Path("out/a_test/timing.json").exists()
    write_lines(Path("a_test/wav.scp"), ["a_test-9 gone.flac"])
    recipe()
    assert not Path("out/a_test/timing.json").exists()
    assert Path("out/b_test/timing.json").exists()


def unfinished():
    write_json(Path("exp/run.json"), {"finished": False, "reason": "killed", "max_epoch": 9})


def test_a_model_whose_training_is_not_finished_is_refused_unless_asked_for(recipe):
    unfinished()
    with pytest.raises(SystemExit, match=r"^error: the training in exp is not finished: killed "
                       r"\(epoch 0 of 9\): run it again.*--allow_unfinished true"):  # fmt: skip
        recipe()
    assert not Path("out").exists()
    recipe("--allow_unfinished", "true")
    assert calls() == "012"


def test_a_model_trained_again_is_decoded_anew(recipe, caplog):
    recipe()
    os.utime("exp/model.pth", (1, 1))  # copied, with the same content
    recipe()
    assert calls() == "012" and "anew" not in caplog.text
    write_lines(Path("exp/model.pth"), ["x: 2"])
    recipe()
    assert calls() == "001122"
    assert "decoding anew: exp/model.pth is not the file that decoded out/parts" in caplog.text


def test_parts_of_an_unknown_model_are_decoded_anew(recipe):
    recipe()
    Path("out/parts/model.json").unlink()
    recipe()
    assert calls() == "001122"


@pytest.mark.parametrize("table", ["text", "token"])
def test_a_part_whose_last_line_was_cut_by_a_kill_is_decoded_again(recipe, table):
    recipe()
    whole = read_table(Path("out/a_test/text"))
    for number in range(3):
        text = Path(f"out/parts/{number}/1best_recog/text")
        text.with_name(table).write_text(text.read_text()[: -2 if number == 1 else None])
    Path("out/parts/calls").unlink()
    recipe()
    assert calls() == "1"
    assert read_table(Path("out/a_test/text")) == whole


SLOW = """
import sys
from espnet_otreg.stages import decode_sets
waits = "import os, time; open(f'{os.getpid()}.pid', 'w').close(); time.sleep(600)"
decode_sets._command = lambda args, work, folder: [sys.executable, "-c", waits]
decode_sets.main(sys.argv[1:])
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_command_ends_its_decoders_end(recipe, number):
    words = ["--asr_exp", "exp", "--model_file", "model.pth", "--method", "ctc_greedy"]
    words += ["--nj", "1", "--sets", "a_test", "--output", "out"]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *words], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (found := list(Path().glob("*.pid"))):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    process.wait()
    status = Path("/proc", found[0].stem, "stat")
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < end, "the decoder goes on"
        time.sleep(0.02)


def test_progress_counts_what_a_part_says_before_its_table_is_written(tmp_path):
    assert decode_sets.decoded_so_far(tmp_path) == 0
    (tmp_path / "log").write_text("loading: decoded nothing yet\n")
    assert decode_sets.decoded_so_far(tmp_path) == 0
    (tmp_path / "log").write_text("x" * 9999 + "\ndecoded 8 of 40\rdecoded 16 of 40\r")
    assert decode_sets.decoded_so_far(tmp_path) == 16
    write_lines(tmp_path / "1best_recog" / "text", [f"u{i} a" for i in range(40)])
    assert decode_sets.decoded_so_far(tmp_path) == 40


def test_a_pretrained_whisper_needs_no_training_and_hears_recordings(recipe, capsys):
    for name in ("whisper/config.json", "whisper/model.safetensors"):
        write_lines(Path(name), ["{}"])
    for name, count in (("a_test", 5), ("b_test", 2)):
        write_lines(Path(name) / "utt2lang", [f"{name}-{i} en" for i in range(count)])
    recipe("--method", "whisper", "--asr_exp", "whisper")
    assert len(read_table(Path("out/a_test/text"))) == 5
    assert len(read_table(Path("out/parts/utt2lang"))) == 7
    write_lines(Path("whisper/model.safetensors"), ["other weights"])
    recipe("--method", "whisper", "--asr_exp", "whisper")
    assert calls() == "001122"  # decoded anew
    with pytest.raises(SystemExit, match="leave --features out"):
        recipe("--method", "whisper", "--asr_exp", "whisper", "--features", "frames")
