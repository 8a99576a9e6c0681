"""Cached features of a masked language model, as a command."""

import errno
import json
import shutil
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, read_table, write_lines
from espnet_otreg.pretrained.lm_features import check_features
from espnet_otreg.pretrained.masked_lm import LanguageModel
from espnet_otreg.stages import lm_features
from tests.support.tiny_lm import SENTENCES


def features(lm, text, output, *more):
    options = ["--lm", str(lm), "--text", str(text), "--output", str(output), "--device", "cpu"]
    lm_features.main([*options, *more])
    return {utt: np.load(path) for utt, path in read_table(output / "feats.scp").items()}


def test_each_utterance_has_the_models_features(lm, pieces, tmp_path):
    made = features(lm, pieces, tmp_path / "cache", "--dtype", "float32", "--batch_size", "2")
    teacher = LanguageModel(lm)
    assert made.keys() == SENTENCES.keys()
    for utt, row in read_table(pieces).items():
        assert made[utt].shape == (len(row.split()) + 2, 8)
        np.testing.assert_allclose(made[utt], teacher.features([row.split()])[0], atol=1e-5)


def test_half_precision_is_the_same_rounded(lm, pieces, tmp_path):
    half = features(lm, pieces, tmp_path / "half")
    single = features(lm, pieces, tmp_path / "single", "--dtype", "float32")
    for utt, array in half.items():
        assert array.dtype == np.float16
        np.testing.assert_allclose(array, single[utt], rtol=1e-3, atol=1e-3)


def test_features_say_what_they_were_made_of(lm, pieces, tmp_path):
    features(lm, pieces, tmp_path / "cache")
    cached = check_features(tmp_path / "cache" / "feats.scp", lm, pieces)
    assert (cached.dimension, cached.dtype, cached.utterances) == (8, "float16", 5)


def test_no_folder_holds_more_than_a_thousand_arrays(tmp_path):
    items = lm_features._items(tmp_path, {f"u{n}": "a" for n in range(2001)})
    folders = [item.path.parent.name for item in items]
    assert [folders.count(name) for name in sorted(set(folders))] == [1000, 1000, 1]
    assert len({item.path for item in items}) == 2001


def test_a_finished_cache_is_not_made_again(lm, pieces, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    features(lm, pieces, tmp_path / "cache")
    monkeypatch.setattr("espnet_otreg.pretrained.masked_lm.LanguageModel", None)
    features(lm, pieces, tmp_path / "cache")
    assert "complete already" in caplog.text


@contextmanager
def failing_after(monkeypatch, count, error):
    """The array after `count` of them is written by half, then `error` comes."""
    whole, written = lm_features.writing, []

    @contextmanager
    def writing(path, mode):
        with whole(path, mode) as stream:
            if len(written) < count:
                written.append(path)
                yield stream
                return

            def write(content):
                stream.write(content[: len(content) // 2])
                raise error

            yield SimpleNamespace(write=write)

    with monkeypatch.context() as patch:
        patch.setattr(lm_features, "writing", writing)
        yield written


def arrays(output):
    return sorted(path for path in output.rglob("*") if path.is_file() and "arrays" in path.parts)


def test_an_interruption_loses_nothing_that_was_finished(lm, pieces, tmp_path, monkeypatch):
    output = tmp_path / "cache"
    with failing_after(monkeypatch, 3, KeyboardInterrupt()) as written:
        with pytest.raises(SystemExit, match="interrupted"):
            features(lm, pieces, output, "--batch_size", "2")
        assert arrays(output) == sorted(written) and len(written) == 3
    assert not (output / "features.json").exists()
    with pytest.raises(UserError, match="unfinished"):
        check_features(output, lm)
    times = {path: path.stat().st_mtime_ns for path in written}
    made = features(lm, pieces, output, "--batch_size", "2")
    assert {path: path.stat().st_mtime_ns for path in written} == times
    whole = features(lm, pieces, tmp_path / "whole")
    for utt in SENTENCES:
        np.testing.assert_allclose(made[utt], whole[utt], atol=1e-3)


def test_a_full_disk_is_a_clear_error_and_keeps_only_whole_files(lm, pieces, tmp_path, monkeypatch):
    output = tmp_path / "cache"
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        failing_after(monkeypatch, 2, full) as written,
        pytest.raises(SystemExit, match=r"disk of .*cache is full.*make room"),
    ):
        features(lm, pieces, output)
    assert arrays(output) == sorted(written) and len(written) == 2
    assert not (output / "feats.scp").exists() and not (output / "features.json").exists()
    assert features(lm, pieces, output).keys() == SENTENCES.keys()


def test_a_disk_that_is_too_small_is_told_before_the_work(lm, pieces, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(SystemExit, match="GB free: make room"):
        features(lm, pieces, tmp_path / "cache")
    assert not arrays(tmp_path / "cache")


def test_other_errors_of_the_system_keep_their_name(lm, pieces, tmp_path, monkeypatch):
    denied = OSError(errno.EACCES, "Permission denied")
    with (
        failing_after(monkeypatch, 1, denied),
        pytest.raises(SystemExit, match="Permission denied"),
    ):
        features(lm, pieces, tmp_path / "cache")


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("changed", ["model", "tokenizer", "text", "dtype"])
def test_stale_features_are_refused(lm, pieces, tmp_path, monkeypatch, changed, finished):
    output, other, text = tmp_path / "cache", tmp_path / "other", pieces
    if finished:
        features(lm, pieces, output)
    else:
        with failing_after(monkeypatch, 2, KeyboardInterrupt()), pytest.raises(SystemExit):
            features(lm, pieces, output)
    shutil.copytree(lm, other)
    if changed in ("model", "tokenizer"):
        name = {"model": "config.json", "tokenizer": "tokenizer_config.json"}[changed]
        content = json.loads((other / name).read_text())
        (other / name).write_text(json.dumps({**content, "note": 1}))
    if changed == "text":
        text = tmp_path / "fewer"
        write_lines(text, pieces.read_text(encoding="utf-8").splitlines()[1:])
    more = ["--dtype", "float32"] if changed == "dtype" else []
    before = {path: path.read_bytes() for path in arrays(output)}
    with pytest.raises(SystemExit, match=f"made with another {changed}"):
        features(other, text, output, *more)
    assert {path: path.read_bytes() for path in arrays(output)} == before


def test_arrays_of_unknown_origin_are_refused(lm, pieces, tmp_path):
    features(lm, pieces, tmp_path / "cache")
    for name in ("started.json", "features.json"):
        (tmp_path / "cache" / name).unlink()
    with pytest.raises(SystemExit, match="does not say what it was made of"):
        features(lm, pieces, tmp_path / "cache")


def test_arrays_that_were_cut_or_lost_are_made_again(lm, pieces, tmp_path):
    output = tmp_path / "cache"
    before = features(lm, pieces, output)
    first, second = arrays(output)[:2]
    first.write_bytes(first.read_bytes()[:-4])
    second.unlink()
    after = features(lm, pieces, output)
    for utt in SENTENCES:
        np.testing.assert_allclose(after[utt], before[utt], atol=1e-3)
    assert read_json(output / "features.json")["utterances"] == 5


def test_pieces_of_another_model_are_counted_and_named(lm, tmp_path):
    write_lines(tmp_path / "text", ["u1 ▁zebra", "u2 ▁the", "u3 ▁the zz"])
    with pytest.raises(
        SystemExit, match="2 of 3 utterances cannot be embedded, first u1: not pieces"
    ):
        features(lm, tmp_path / "text", tmp_path / "cache")


def test_features_beyond_half_precision_are_refused(lm, pieces, tmp_path, monkeypatch):
    huge = [np.full((3, 8), 1e6, np.float32)]
    monkeypatch.setattr(LanguageModel, "features", lambda self, rows: huge * len(rows))
    with pytest.raises(SystemExit, match="no finite float16 numbers; use --dtype float32"):
        features(lm, pieces, tmp_path / "cache")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("--batch_size", "0", "must be 1 or more"), ("--device", "toaster", "cannot be used")],
)
def test_options_out_of_range_are_told(lm, pieces, tmp_path, option, value, message):
    with pytest.raises(SystemExit, match=message):
        features(lm, pieces, tmp_path / "cache", option, value)


def test_what_a_killed_run_was_writing_keeps_nobody_out(lm, pieces, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/.started.json.7.tmp").write_text('{"l')
    features(lm, pieces, tmp_path / "cache")
    assert (tmp_path / "cache/features.json").is_file()
