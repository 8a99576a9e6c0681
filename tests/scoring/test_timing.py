import json

import numpy as np
import pytest
import soundfile

from espnet_otreg.errors import UserError
from espnet_otreg.files import write_lines
from espnet_otreg.scoring.results import SetName, compare, parse_systems
from espnet_otreg.scoring.tables import speed_table
from espnet_otreg.scoring.timing import (
    FRAMES,
    RECORDINGS,
    Timing,
    read_timing,
    record_timing,
    seconds_in_log,
    write_conditions,
)

LOG = """\
2026-01-31 23:59:50,000 (asr_inference:830) INFO: Decoding device=cpu, dtype=float32
2026-01-31 23:59:58,250 (asr_inference:522) INFO: speech length: 16000
2026-01-31 23:59:58,750 (asr_inference:597) INFO: best hypo: a
2026-02-01 00:00:00,250 (asr_inference:522) INFO: speech length: 32000
some warning without a time
2026-02-01 00:00:01,500 (asr_inference:597) INFO: best hypo: b
"""


@pytest.fixture
def decoded(tmp_path):
    """A set of three recordings, six seconds in all, decoded in two parts by two runs."""
    rows = []
    for name, seconds in (("a", 1), ("b", 2), ("c", 3)):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, np.zeros(8000 * seconds), 8000)
        rows.append(f"{name} {path}")
    write_lines(tmp_path / "data" / "wav.scp", rows)
    parts = [tmp_path / "parts" / "0", tmp_path / "parts" / "1"]
    write_lines(parts[0] / "1best_recog" / "seconds", ["a 0.25", "c 0.75", "of_another_set 9"])
    write_conditions(parts[0], "cpu", 2, RECORDINGS)
    write_lines(parts[1] / "1best_recog" / "seconds", ["b 0.5"])
    write_conditions(parts[1], "cuda", 1, RECORDINGS)
    return tmp_path / "data", tmp_path / "out", parts


def test_pieces_of_a_set_are_added_up(decoded):
    _, output, _ = decoded
    record_timing(*decoded)
    timing = read_timing(output)
    assert timing == Timing(6.0, 1.5, 3, "cpu, cuda", 2, RECORDINGS)
    assert timing.real_time_factor == 0.25
    assert json.loads((output / "timing.json").read_text())["real_time_factor"] == 0.25


def test_a_set_with_an_utterance_of_unknown_time_has_no_factor(decoded):
    _, output, parts = decoded
    record_timing(*decoded)
    (parts[1] / "1best_recog" / "seconds").unlink()
    record_timing(*decoded)  # and what an earlier run wrote is gone
    assert read_timing(output) is None


def test_a_set_without_its_recordings_has_no_factor(decoded):
    data, output, _ = decoded
    write_lines(data / "wav.scp", ["a gone.wav", "b gone.wav", "c gone.wav"])
    record_timing(*decoded)
    assert read_timing(output) is None


def test_stock_espnets_log_tells_how_long_each_utterance_took():
    assert seconds_in_log(LOG, ["u", "v"]) == pytest.approx({"u": 2.0, "v": 1.25})


@pytest.mark.parametrize("keys", [["u"], ["u", "v", "w"], []])
def test_a_log_of_another_number_of_utterances_tells_nothing(keys):
    assert seconds_in_log(LOG, keys) == {}


def test_a_record_of_something_else_is_refused(tmp_path):
    for content in ("{}", '{"audio_s": 0}'):
        (tmp_path / "timing.json").write_text(content)
        with pytest.raises(UserError, match="no record of decode_sets"):
            read_timing(tmp_path)


def test_comparison_shows_the_mean_over_seeds_and_nothing_where_not_recorded(
    tmp_path, make_experiment
):
    folders = [make_experiment(tmp_path / n, {"fleurs_test": [1]}) for n in ("a", "b1", "b2")]
    systems = parse_systems([folders[0], ",".join(folders[1:])], ("stock", "OT"))
    sets = [SetName("fleurs_test", "cross-domain")]
    assert speed_table(compare(systems, sets, "decode_x", samples=20)) is None
    for folder, seconds in zip(folders[1:], (30, 60), strict=True):
        content = Timing(120.0, seconds, 12, "cpu", 2, FRAMES)._asdict()
        path = f"{folder}/decode_x/fleurs_test/timing.json"
        with open(path, "w") as stream:
            json.dump(content, stream)
    table = speed_table(compare(systems, sets, "decode_x", samples=20))
    assert table.rows == [["fleurs_test", "OT", "0.375", "2.0 min", "2", "cpu", FRAMES]]
