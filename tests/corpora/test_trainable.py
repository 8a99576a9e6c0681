import pytest

from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.trainable import Limits, filter_set
from espnet_otreg.errors import UserError
from espnet_otreg.stages import filter_data
from tests.support import corpus_trees as trees

SECONDS = {"a": 0.05, "b": 0.1, "c": 1.0, "d": 2.0, "e": 2.1}


def formatted(folder, seconds=None, rate=trees.RATE):
    seconds = SECONDS if seconds is None else seconds
    every = {
        utt: trees.write_audio(folder / f"{utt}.wav", trees.tone(length, rate), rate)
        for utt, length in seconds.items()
    }
    trees.data_dir(folder, every)
    counts = "".join(f"{utt} {round(length * rate)}\n" for utt, length in sorted(seconds.items()))
    (folder / "utt2num_samples").write_text(counts)
    return folder


def run(output, *inputs, limits=("0.1", "2.0")):
    filter_data.main(
        [
            *("--input", *map(str, inputs), "--output", str(output)),
            *("--min_wav_duration", limits[0], "--max_wav_duration", limits[1]),
        ]
    )


def test_limits_are_inclusive_and_what_is_dropped_is_listed(tmp_path):
    run(tmp_path / "out", formatted(tmp_path / "in"))
    assert DataDir.load(tmp_path / "out").ids == ["b", "c", "d"]
    assert (tmp_path / "out" / "rejected.tsv").read_text().splitlines() == [
        "a\ttoo short: 0.050 s, the limit is 0.1 s",
        "e\ttoo long: 2.100 s, the limit is 2 s",
    ]


def test_empty_transcripts_are_dropped(tmp_path):
    folder = formatted(tmp_path / "in", {"a": 1.0, "b": 1.0})
    (folder / "text").write_text("a\nb word\n")
    run(tmp_path / "out", folder)
    assert DataDir.load(tmp_path / "out").tables["text"] == {"b": "word"}
    assert (tmp_path / "out" / "rejected.tsv").read_text() == "a\tempty transcript\n"


def test_durations_are_in_the_recordings_own_rate(tmp_path):
    run(tmp_path / "out", formatted(tmp_path / "in", rate=8000))
    assert DataDir.load(tmp_path / "out").ids == ["b", "c", "d"]


def test_several_sets_are_joined(tmp_path):
    one, two = formatted(tmp_path / "x"), formatted(tmp_path / "y", {"z": 0.5})
    run(tmp_path / "out", one, two)
    data = DataDir.load(tmp_path / "out")
    data.validate(tmp_path / "out")
    assert data.ids == ["b", "c", "d", "z"]
    assert data.tables["utt2num_samples"]["z"] == "8000"


def test_sets_that_do_not_fit_together_are_refused(tmp_path):
    one = formatted(tmp_path / "x", {"a": 1.0})
    with pytest.raises(SystemExit, match="differ in sampling rate"):
        run(tmp_path / "out", one, formatted(tmp_path / "y", {"b": 1.0}, 8000))
    with pytest.raises(SystemExit, match="utterance a is in"):
        run(tmp_path / "out", one, formatted(tmp_path / "z", {"a": 1.0}))
    with pytest.raises(SystemExit, match="twice"):
        run(tmp_path / "out", one, one)
    with pytest.raises(SystemExit, match="is also --input"):
        run(one, one)


def test_nothing_left_is_an_error_with_the_list(tmp_path):
    with pytest.raises(SystemExit, match=r"nothing is left of 5 .*too long \(5\).*rejected.tsv"):
        run(tmp_path / "out", formatted(tmp_path / "in"), limits=("0", "0.01"))
    assert len((tmp_path / "out" / "rejected.tsv").read_text().splitlines()) == 5
    assert not (tmp_path / "out" / "wav.scp").exists()


def test_tables_that_disagree_are_an_error_naming_the_utterance(tmp_path):
    folder = formatted(tmp_path / "in")
    (folder / "utt2num_samples").write_text("a 1\nb 1\nc 1\nd 1\n")
    with pytest.raises(SystemExit, match=r"utt2num_samples: 1 utterance.*in wav.scp only: e"):
        run(tmp_path / "out", folder)


def test_limits_that_leave_nothing_and_missing_counts_are_clear_errors(tmp_path):
    data = DataDir.load(formatted(tmp_path / "in"))
    with pytest.raises(UserError, match="leave nothing"):
        filter_set(data, trees.RATE, Limits(3.0, 2.0))
    del data.tables["utt2num_samples"]
    with pytest.raises(UserError, match="run stages/format_audio"):
        filter_set(data, trees.RATE, Limits())
