"""`espnet-otreg transcribe` and `align` on tiny models of every kind."""

import json
import shutil

import numpy as np
import pytest
import soundfile
import yaml

from espnet_otreg.compat import espnet_version
from espnet_otreg.decode.speech2text import ListeningSpeech2Text
from espnet_otreg.files import read_table, write_lines
from espnet_otreg.models.options import SLMConf
from espnet_otreg.models.table import TableCTC
from espnet_otreg.scoring.hypotheses import read_hypotheses
from espnet_otreg.stages import align, demo, transcribe
from espnet_otreg.transcribe import Transcript
from espnet_otreg.transcribe.listening import ListeningRecogniser
from espnet_otreg.transcribe.opening import Asked, open_model
from espnet_otreg.transcribe.recognisers import CTCRecogniser
from espnet_otreg.transcribe.recordings import read
from tests.support.hostile_packs import edit
from tests.support.tiny_packs import MODEL, save_clip

GIVEN = {"otreg": [], "ot_transfer": [], "slm": ["--language", "en", "--max_new_tokens", "12"]}
KINDS = list(GIVEN)


def rows(path):
    return {
        row["audio_filepath"].rsplit("/", 1)[1]: row
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())
    }


def fails(command, arguments):
    with pytest.raises(SystemExit) as end:
        command.main([str(each) for each in arguments])
    told = str(end.value.code)
    assert told.startswith("error: ") and "\n" not in told
    return told


@pytest.mark.parametrize("kind", KINDS)
def test_a_pack_and_its_experiment_write_the_same_words_with_times_in_order(
    kind, packs, homes, folder, tmp_path
):
    for model, output in ((packs[kind], "pack"), (homes[kind], "experiment")):
        file = [] if output == "pack" else ["--model_file", MODEL]
        given = [str(model), str(folder), "--format", "jsonl", "--output", str(tmp_path / output)]
        transcribe.main([*given, *file, *GIVEN[kind]])
    packed, trained = (rows(tmp_path / out / "transcripts.jsonl") for out in ("pack", "experiment"))
    assert packed.keys() == {"a.wav", "b.wav", "c.wav", "d.flac"}
    assert packed == trained
    assert len({row["pred_text"] for row in packed.values()}) > 1  # they are about what is heard
    for row in packed.values():
        words = row["words"]
        assert [word["word"] for word in words] == row["pred_text"].split()
        edges = [time for word in words for time in (word["start"], word["end"])]
        assert edges == sorted(edges)
        assert all(0 <= time <= row["duration"] + 0.001 for time in edges)
        assert row["guessed"] or all(0 < word["confidence"] <= 1 for word in words)
    rejected = read_table(tmp_path / "pack" / "rejected.tsv")
    assert [path.rsplit("/", 1)[1] for path in rejected] == ["broken.mp3"]


def test_words_of_the_pieces_of_a_masked_language_model_are_put_together_without_it(
    packs, homes, folder
):
    clip = read(folder / "a.wav", 16000)
    packed, _ = open_model(Asked(str(packs["ot_transfer"])))
    trained, _ = open_model(Asked(str(homes["ot_transfer"]), model_file=MODEL))
    assert "▁" not in trained.recognise([clip], None)[0].text
    assert packed.recognise([clip], None) == trained.recognise([clip], None)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_does_not_depend_on_what_it_is_batched_with(kind, packs, folder):
    options = {"max_new_tokens": 12} if kind == "slm" else {}
    recogniser, _ = open_model(Asked(str(packs[kind]), options=options))
    clips = [read(folder / name, 16000) for name in ("a.wav", "deep/er/d.flac", "b.wav")]
    clips += [clips[0][:900]]  # shorter than the encoder's convolutions
    together = recogniser.recognise(clips, "en")
    alone = [recogniser.recognise([clip], "en")[0] for clip in clips]
    assert [each.text for each in together] == [each.text for each in alone]
    for one, other in zip(together, alone, strict=True):
        times = [[(w.start, w.end) for w in each.words] for each in (one, other)]
        assert times[0] == times[1]


def test_encoders_that_see_their_neighbours_padding_get_one_recording_at_a_time(packs, monkeypatch):
    stock, _ = open_model(Asked(str(packs["otreg"])))
    assert stock.batch_size == (1 if espnet_version() == "202511" else 16)  # mended since
    own = CTCRecogniser._scores

    def each_alone(self, clips):
        return [own(self, [clip])[0] for clip in clips]

    def mixed_up(self, clips):
        return [scores.roll(len(clips), 0) for scores in each_alone(self, clips)]

    for scores, batch_size in ((each_alone, 16), (mixed_up, 1)):
        monkeypatch.setattr(CTCRecogniser, "_scores", scores)
        assert open_model(Asked(str(packs["otreg"])))[0].batch_size == batch_size


def test_an_experiment_opens_from_anywhere_though_it_names_files_by_relative_paths(
    homes, folder, tmp_path, monkeypatch
):
    root = tmp_path / "recipe"
    shutil.copytree(homes["otreg"].parents[1], root)
    experiment = root / "exp" / homes["otreg"].name
    config = yaml.safe_load((experiment / "config.yaml").read_text())
    statistics = f"exp/{experiment.name}/stats.npz"
    edit(
        experiment / "config.yaml", bpemodel="data/bpe.model", normalize_conf__stats_file=statistics
    )
    assert config["bpemodel"].endswith("/data/bpe.model")
    monkeypatch.chdir(tmp_path)
    clip = read(folder / "a.wav", 16000)
    moved, _ = open_model(Asked("recipe/exp/" + experiment.name, model_file=MODEL))
    there, _ = open_model(Asked(str(homes["otreg"]), model_file=MODEL))
    assert moved.recognise([clip], None) == there.recognise([clip], None)


def test_an_experiment_of_a_speech_language_model_opens_its_best_checkpoint(
    homes, tmp_path, caplog
):
    shutil.copytree(homes["slm"].parents[1], tmp_path / "root")
    experiment = tmp_path / "root/exp" / homes["slm"].name
    (experiment / MODEL).rename(experiment / "valid.loss_ce.best.pth")
    (experiment / "latest.pth").write_bytes(b"the last epoch's")
    caplog.set_level("INFO")
    open_model(Asked(str(experiment)))
    assert f"{experiment}: valid.loss_ce.best.pth" in caplog.text


def test_a_model_with_ctc_whose_language_model_writes_alone_says_so_once(
    packs, folder, caplog, monkeypatch
):
    told = "the language model alone writes the answers; --ctc_weight 0.5"
    listener = open_model(Asked(str(packs["slm"])))[0].listener
    clip = read(folder / "a.wav", 16000)
    caplog.set_level("INFO")

    def logged(options):
        caplog.clear()
        recogniser = ListeningRecogniser(ListeningSpeech2Text(listener, options))
        assert told not in caplog.text  # alignment opens it too
        for _ in range(2):
            recogniser.recognise([clip], "en")
        return caplog.text.count(told)

    assert logged({"max_new_tokens": 5}) == 0  # there is nothing else
    model = listener.model
    model.by_table = TableCTC(SLMConf(table_ctc_weight=1.0), model.piece_ids, model.silence)
    assert logged({"max_new_tokens": 5}) == 1
    assert logged({"max_new_tokens": 5, "ctc_weight": 0.0}) == 0  # as was asked for
    monkeypatch.setattr(model, "before_answers", True)
    assert logged({"max_new_tokens": 5}) == 0  # the table writes


def test_an_experiment_of_others_may_ask_for_no_more_than_a_pack(homes, folder, tmp_path):
    foreign = tmp_path / "foreign"
    shutil.copytree(homes["otreg"], foreign)
    edit(foreign / "config.yaml", frontend="s3prl")
    told = fails(transcribe, [foreign, folder / "a.wav"])
    assert "frontend is 's3prl', and a pack may ask for" in told


def test_exact_decoding_is_espnets_beam_search_and_has_times_too(packs, folder, capsys):
    from espnet_otreg.decode.speech2text import Speech2Text

    given = [str(packs["otreg"]), str(folder / "a.wav"), "--format", "jsonl"]
    transcribe.main([*given, "--exact"])
    row = json.loads(capsys.readouterr().out)
    expected = Speech2Text.from_pretrained(packs["otreg"])(read(folder / "a.wav", 16000))[0][0]
    assert row["pred_text"] == " ".join(expected.split())
    assert [word["word"] for word in row["words"]] == row["pred_text"].split()


def test_standard_output_holds_the_words_alone(packs, folder, capfd):
    transcribe.main([str(packs["otreg"]), str(folder / "a.wav")])
    alone = capfd.readouterr().out
    transcribe.main([str(packs["otreg"]), str(folder / "a.wav"), str(folder / "deep")])
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == f"a\t{alone[:-1]}"
    assert [line.split("\t")[0] for line in lines] == ["a", "c", "er/d"]


def test_the_same_command_again_does_what_is_left_and_another_format_decodes_nothing(
    packs, folder, tmp_path, monkeypatch
):
    heard = []
    own = CTCRecogniser.recognise

    def counted(self, clips, language):
        heard.append(len(clips))
        return own(self, clips, language)

    monkeypatch.setattr(CTCRecogniser, "recognise", counted)
    output = tmp_path / "out"
    command = [str(packs["otreg"]), str(folder), "--output", str(output)]
    transcribe.main(command)
    assert sum(heard) == 4
    whole = (output / "transcripts.jsonl").read_bytes()
    texts = {path.name: path.read_text() for path in output.rglob("*.txt")}
    assert texts.keys() == {"a.txt", "b.txt", "c.txt", "d.txt"}

    transcribe.main(command)
    transcribe.main([*command, "--format", "srt"])
    transcribe.main([*command, "--format", "ctm"])
    assert sum(heard) == 4
    assert (output / "deep" / "er" / "d.srt").exists()
    named = {line.split()[0] for line in (output / "transcripts.ctm").read_text().splitlines()}
    assert named <= {"a", "b", "deep/c", "deep/er/d"}

    cut = whole[: whole.index(b"\n") + 30]  # killed while it wrote
    (output / "transcripts.jsonl").write_bytes(cut)
    save_clip(folder / "a.wav", 7)  # replaced since
    transcribe.main(command)
    assert sum(heard) == 8
    assert rows(output / "transcripts.jsonl").keys() == {"a.wav", "b.wav", "c.wav", "d.flac"}
    assert len((output / "transcripts.jsonl").read_text().splitlines()) == 4


def test_a_folder_of_other_settings_is_not_mixed_with_these(packs, folder, tmp_path):
    command = [packs["otreg"], folder / "a.wav", "--output", tmp_path / "out"]
    transcribe.main([str(each) for each in command])
    told = fails(transcribe, [*command, "--longest", "9"])
    assert "longest 20.0, and now it is 9.0: give another --output" in told


def test_a_long_recording_is_cut_and_put_together_with_its_own_times(packs, tmp_path, capsys):
    rng = np.random.default_rng(0)
    noise = np.concatenate(
        [np.r_[0.2 * rng.standard_normal(40000), np.zeros(8000)] for _ in range(3)]
    )
    soundfile.write(tmp_path / "long.wav", noise, 16000)
    given = [str(packs["otreg"]), str(tmp_path / "long.wav"), "--format", "jsonl"]
    transcribe.main([*given, "--longest", "4"])
    row = json.loads(capsys.readouterr().out)
    assert [word["word"] for word in row["words"]] == row["pred_text"].split()
    recogniser, _ = open_model(Asked(str(packs["otreg"])))
    first = recogniser.recognise([read(tmp_path / "long.wav", 16000)[: 44 * 1000]], None)[0]
    assert row["pred_text"].startswith(first.text.rsplit(" ", 2)[0])
    last = [word["start"] for word in row["words"]][-1]
    assert 6 < last < 9


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["no/such.zip", "a.wav"], "no/such.zip does not exist"),
        (["{pack}", "no.wav"], "no.wav does not exist: give recordings"),
        (["{pack}", "deep/broken.mp3"], "none of 1 could be used, the first since unreadable"),
        (["{pack}", "a.wav", "--language", "fr"], "names the languages en es, and --language"),
        (["{pack}", ".", "--format", "srt"], "--format srt of 5 recordings needs --output"),
        (["{pack}", "a.wav", "--longest", "0"], "--longest must be 1 or more, got 0"),
        (["{pack}", "a.wav", "--model_file", "x.pth"], "is no experiment's folder"),
        (["{slm}", "a.wav"], "the model's prompt names the language: give it"),
        (["{slm}", "a.wav", "--language", "xx"], "language 'xx' has no name"),
        (["{home}", "a.wav", "--model_file", "x.pth"], "holds no x.pth"),
        (["{home}", "a.wav", "--encoder", "x"], "is an experiment: its config.yaml names"),
        (["{slm}", "a.wav", "--language", "en", "--exact", "--beam_size", "0"], "--beam_size must"),
        (["{slm}", "a.wav", "--ctc_weight", "2"], "--ctc_weight must be from 0 to 1, got 2"),
        (["{slm}", "a.wav", "--language", "en", "--ctc_weight", "0.5"], "this model learnt no CTC"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    arguments, told, packs, homes, folder, monkeypatch
):
    monkeypatch.chdir(folder)
    places = {"pack": packs["otreg"], "slm": packs["slm"], "home": homes["otreg"]}
    assert told in fails(transcribe, [each.format(**places) for each in arguments])


def test_the_demo_page_takes_options_of_the_search_and_checks_them_first(packs):
    assert "--ctc_weight must be from 0 to 1, got 2" in fails(demo, ["no.zip", "--ctc_weight", "2"])
    words = [str(packs["slm"]), "--beam_size", "2", "--max_new_tokens", "5"]
    opened = demo.open_pictured(demo.get_parser().parse_args(words))
    options = opened.recogniser.inner.options
    assert options["num_beams"] == 2 and options["max_new_tokens"] == 5


def test_two_commands_do_not_write_into_one_folder(packs, folder, tmp_path):
    from espnet_otreg.transcribe.outputs import Outputs

    with Outputs(tmp_path / "out", "txt", {}):
        told = fails(transcribe, [packs["otreg"], folder / "a.wav", "--output", tmp_path / "out"])
    assert "another command writes in" in told


def test_the_json_lines_are_hypotheses_that_score_reads(packs, folder, tmp_path):
    output = tmp_path / "out"
    transcribe.main(
        [str(packs["otreg"]), str(folder), "--format", "jsonl", "--output", str(output)]
    )
    found = read_hypotheses(output / "transcripts.jsonl")
    assert found.keys() == {"a", "b", "c", "d"}


@pytest.fixture
def data(folder, tmp_path):
    made = tmp_path / "data"
    write_lines(made / "wav.scp", [f"s1-a {folder}/a.wav", f"s1-b {folder}/b.wav"])
    write_lines(made / "text", ["s1-a the key of the king", "s1-b la reina compra una llave roja"])
    write_lines(made / "utt2lang", ["s1-a en", "s1-b es"])
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_a_given_text_is_aligned_word_by_word(kind, packs, data, tmp_path):
    output = tmp_path / "out"
    given = [str(packs[kind]), str(data), "--output", str(output)]
    align.main([*given, "--format", "jsonl"])
    found = [
        Transcript.read(json.loads(line))
        for line in (output / "transcripts.jsonl").read_text().splitlines()
    ]
    rejected = read_table(output / "rejected.tsv") if (output / "rejected.tsv").exists() else {}
    assert len(found) + len(rejected) == 2 and found
    texts = read_table(data / "text")
    for done in found:
        assert [word.word for word in done.words] == done.text.split()
        assert done.text in texts.values()
        starts = [word.start for word in done.words]
        assert starts == sorted(starts)
        assert all(word.end > word.start for word in done.words)


def test_alignments_are_written_as_ctm_and_textgrid(packs, data, tmp_path):
    output = tmp_path / "out"
    given = [str(packs["otreg"]), str(data), "--output", str(output)]
    align.main(given)
    lines = [line.split() for line in (output / "transcripts.ctm").read_text().splitlines()]
    assert [line[4] for line in lines if line[0] == "s1-a"] == ["the", "key", "of", "the", "king"]
    align.main([*given, "--format", "textgrid"])
    assert 'text = "king"' in (output / "s1-a.TextGrid").read_text()


def test_a_text_with_more_tokens_than_frames_is_rejected_with_the_reason(packs, data, tmp_path):
    write_lines(data / "text", [f"s1-a {'the key of the king ' * 30}", "s1-b la reina"])
    align.main([str(packs["otreg"]), str(data), "--output", str(tmp_path / "out")])
    ((_, reason),) = read_table(tmp_path / "out" / "rejected.tsv").items()
    assert "frames are too few" in reason
