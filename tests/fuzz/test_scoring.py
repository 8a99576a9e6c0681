"""Scorers: anybody's hypotheses, and scores, runs and results that somebody edited."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import strategies as st

from espnet_otreg.files import write_json, write_lines
from espnet_otreg.recipe.sweep import Sweep, Variant
from espnet_otreg.report.media import INDEX, read_drawn
from espnet_otreg.report.utterances import collect_utterances
from espnet_otreg.scoring.ablation import ablation_table
from espnet_otreg.scoring.document import results_document, results_json
from espnet_otreg.scoring.hypotheses import match, read_hypotheses
from espnet_otreg.scoring.join import join, protocol_of
from espnet_otreg.scoring.normalise import NORMALISERS, get_normaliser
from espnet_otreg.scoring.provenance import Provenance
from espnet_otreg.scoring.results import SetName, compare, parse_systems
from espnet_otreg.scoring.score_file import load_score, save_score
from espnet_otreg.scoring.wer import score as score_texts
from espnet_otreg.stages import ablate, score

from .inputs import JSON_PIECES, TEXT_PIECES, as_json, changed, damaged, json_files, yaml_files

REFERENCES = {f"u{n}": f"these are words {n}" for n in range(4)}
SPEAKERS = {name: f"s{name[1:]}" for name in REFERENCES}
LANGUAGES = {"u0": "en", "u1": "en", "u2": "zh", "u3": "tr"}
TEXTS = {"u0": 'he said "no", twice', "u1": "", "u2": "été", "u3": "three words 3"}
FILES = {
    "text": "".join(f"{name} {text}\n" for name, text in TEXTS.items()),
    "x.tsv": "utt_id\thyp\n" + "".join(f"{name}\t{text}\n" for name, text in TEXTS.items()),
    "x.csv": 'id,score,text\nu0,0.1,"he said ""no"", twice"\nu1,0,\nu2,1,été\nu3,1,3\n',
    "x.jsonl": "".join(json.dumps({"id": n, "text": t}) + "\n" for n, t in TEXTS.items()),
    "x.json": "".join(
        json.dumps({"audio_filepath": f"/x/{n}.wav", "text": "said", "pred_text": t}) + "\n"
        for n, t in TEXTS.items()
    ),
}
ROW = {"id": "u0", "text": "what was heard"}
TAG, SET = "decode_x", "a_test"


def scored_as_saved(folder, hypotheses, normaliser):
    """Score, write and read back: nothing is lost on the way."""
    tables = {"speakers": SPEAKERS, "languages": LANGUAGES}
    scored = score_texts(REFERENCES, hypotheses, normaliser=normaliser, **tables)
    save_score(folder / "score.json", scored, normaliser, {})
    assert load_score(folder / "score.json").utterances == sorted(scored)


@pytest.mark.parametrize("name", list(FILES))
def test_lines_of_hypotheses(fuzz, tmp_path, name):
    path = tmp_path / name
    pieces = JSON_PIECES if "json" in name else ()
    inputs = damaged(FILES[name].encode(), pieces=pieces)
    if pieces:
        tail = FILES[name].partition("\n")[2].encode()
        inputs = st.one_of(inputs, changed(ROW).map(lambda row: as_json(row) + b"\n" + tail))
    matching = {"missing_as_empty": True, "ignore_extra": True}

    def check(content):
        path.write_bytes(content)
        found = match(REFERENCES, read_hypotheses(path), path, **matching)
        scored_as_saved(tmp_path, found.hypotheses, "none")
        scored_as_saved(tmp_path, found.hypotheses, "basic")

    fuzz(inputs, check, examples=250)


def test_the_command_on_any_reference_directory(fuzz, tmp_path, capsys):
    tables = {"text": REFERENCES, "utt2spk": SPEAKERS, "utt2lang": LANGUAGES}
    valid = {
        name: "".join(f"{utt} {value}\n" for utt, value in table.items()).encode()
        for name, table in tables.items()
    }
    (tmp_path / "hyp").write_text(FILES["text"])
    given = ["--ref", str(tmp_path), "--hyp", str(tmp_path / "hyp"), "--output", "s.json"]
    args = score.get_parser().parse_args([*given, "--missing", "empty", "--extra", "ignore"])
    inputs = st.sampled_from(sorted(valid)).flatmap(
        lambda name: st.tuples(st.just(name), damaged(valid[name]))
    )

    def check(given):
        name, content = given
        for each in valid:
            (tmp_path / each).write_bytes(content if each == name else valid[each])
        score._score(args)
        capsys.readouterr()
        load_score(tmp_path / "s.json")

    fuzz(inputs, check)


@pytest.mark.parametrize("name", sorted(NORMALISERS))
def test_normalisers(fuzz, name):
    normalise = get_normaliser(name)
    texts = st.one_of(
        st.text(),
        st.lists(
            st.sampled_from([p.decode("utf-8", "replace") for p in TEXT_PIECES if len(p) < 999]),
            max_size=5,
        ).map("".join),
        st.from_regex(r"[$£€]?[0-9,.]{1,6}( (one|two|half|hundred|million|percent|point|19)){0,4}"),
    )

    def check(given):
        text, language = given
        once = normalise(text, language)
        assert once == " ".join(once.split())

    fuzz(st.tuples(texts, st.sampled_from(["en", "tr", "hi", "th", "und", "x" * 99])), check)


def experiment(folder, wrong):
    """A scored experiment with its records."""
    hypotheses = {n: " ".join(["x"] * wrong + t.split()[wrong:]) for n, t in REFERENCES.items()}
    tables = {"speakers": SPEAKERS, "languages": LANGUAGES}
    scored = score_texts(REFERENCES, hypotheses, normaliser="basic", **tables)
    facts = {"missing_hypotheses": 1, "ignored_hypotheses": 2, "reference": "data"}
    save_score(folder / TAG / SET / "score.json", scored, "basic", facts)
    timing = {"audio_s": 8.0, "decoding_s": 4.0, "utterances": 4, "device": "cpu"}
    timing |= {"processes": 1, "input": "recordings"}
    run = {"command": "./run.sh --seed 1", "wall_time_s": 3725.4, "device": "cpu", "seed": 1}
    run |= {"updates": 9, "skipped_updates": 2, "clipped_updates": 4}
    (folder / TAG / SET / "timing.json").write_text(json.dumps(timing))
    (folder / "run.json").write_text(json.dumps({**run, "started": "today", "finished": True}))


def compared(metric="auto"):
    """Everything that stages/compare and stages/report make of two experiments."""
    systems = parse_systems(["exp/a", "exp/b"], None)
    comparison = compare(systems, [SetName(SET, "in-domain")], TAG, samples=20, metric=metric)
    facts = (comparison, Provenance("now", "git", {}, "command"), [], None)
    write_lines(Path("RESULTS.md"), [results_document(*facts)])
    write_json(Path("results.json"), results_json(*facts))
    ablation_table(comparison)
    collect_utterances(comparison, metric, None)


def edited(path, check, **options):
    """Draw a file at `path` with damage; returns the strategy and the check that writes it."""

    def write_and_check(content):
        path.write_bytes(content)
        check()

    return json_files(json.loads(path.read_bytes()), **options), write_and_check


@pytest.mark.parametrize(
    "name", ["run.json", f"{TAG}/{SET}/score.json", f"{TAG}/{SET}/timing.json"]
)
def test_records_that_are_compared(fuzz, tmp_path, name):
    experiment(tmp_path / "exp/a", 1)
    experiment(tmp_path / "exp/b", 0)
    fuzz(*edited(tmp_path / "exp/b" / name, compared))


CONFIG = {
    **{"seed": 1, "model": "slm", "init_param": ["exp/asr_init/valid.pth"], "max_epoch": 3},
    **{"encoder_conf": {"experiment": "exp/enc"}, "decoder_conf": {"model": "lm"}},
    "train_data_path_and_name_and_type": [["data/token_list/k/lm/s/text", "text", "text"]],
    "train_shape_file": ["exp/stats/s/speech_shape"],
}


def test_configs_of_models_that_are_compared(fuzz, tmp_path):
    for name in ("a", "b"):
        experiment(tmp_path / "exp" / name, 1)
        (tmp_path / "exp" / name / "config.yaml").write_text(json.dumps(CONFIG))
    path = tmp_path / "exp/b/config.yaml"

    def check(content):
        path.write_bytes(content)
        compared()
        protocol_of(path.parent)

    fuzz(yaml_files(CONFIG), check)


def test_results_that_are_joined(fuzz, tmp_path):
    for name in ("a", "b"):
        experiment(tmp_path / "exp" / name, 1)
    compared()
    first = json.loads(Path("results.json").read_bytes())
    second = json.loads(Path("results.json").read_bytes())
    for system in second["systems"]:
        system["seeds"][0]["labels"]["lm"] = "another"
    write_json(Path("other.json"), first)
    path = tmp_path / "results.json"
    write_json(path, second)
    fuzz(*edited(path, lambda: join([Path("other.json"), path])))


def test_scores_per_utterance_with_a_sum_that_fits(fuzz, tmp_path):
    """Whoever edits the table can mend its sum too."""
    experiment(tmp_path / "exp/a", 1)
    experiment(tmp_path / "exp/b", 0)
    table = tmp_path / "exp/b" / TAG / SET / "score.per_utt.tsv"
    summary = table.with_name("score.json")
    content = json.loads(summary.read_bytes())

    def check(given):
        table.write_bytes(given)
        digest = hashlib.sha256(given).hexdigest()
        summary.write_text(json.dumps({**content, "per_utterance_sha256": digest}))
        compared("cer")

    fuzz(damaged(table.read_bytes()), check)


def test_results_of_a_recipe(fuzz, tmp_path):
    experiment(tmp_path / "exp/a", 1)
    experiment(tmp_path / "exp/b", 0)
    results = {
        "systems": [{"name": n, "seeds": [{"folder": f"exp/{n}"}]} for n in ("a", "b")],
        "test_sets": [{"name": SET, "domain": "in", "parts": {"total": {"metric": "WER"}}}],
        "decode_tag": TAG,
        "bootstrap": {"samples": 20, "seed": 0},
    }
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    variants = tuple(Variant(n, path, {}, {}) for n in ("a", "b"))
    sweep = Sweep("s", "", "r", (), (1,), variants, ())
    fuzz(*edited(path, lambda: ablate._compare(sweep, ablate.read_recipe_results(path))))


def test_indices_of_pictures(fuzz, tmp_path):
    (tmp_path / "a.svg").write_text("<svg/>")
    entry = {"file": "a.svg", "set": SET, "utterance": "u0", "system": "a", "kind": "plan"}
    index = {"figures": [{"file": "a.svg", "title": "T", "caption": "C"}], "pictures": [entry]}
    (tmp_path / INDEX).write_text(json.dumps(index))

    def check():
        drawn = read_drawn(tmp_path)
        assert all(
            isinstance(part, str)
            for each in drawn
            for part in (*each[:1], *each[-1:])
            for part in part
        )

    fuzz(*edited(tmp_path / INDEX, check))
