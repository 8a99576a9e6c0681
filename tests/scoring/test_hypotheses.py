import json

import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.hypotheses import match, read_hypotheses

TEXTS = {"u1": 'he said "no", twice', "u2": "", "u3": "été"}


def written(tmp_path, name):
    """The same hypotheses as another tool would write them."""
    columns = {"tsv": "utt_id\thyp", "csv": "id,score,text"}
    lines = {
        "txt": [f"{name} {text}" for name, text in TEXTS.items()],
        "tsv": [columns["tsv"], *(f"{name}\t{text}" for name, text in TEXTS.items())],
        "csv": [columns["csv"], 'u1,0.1,"he said ""no"", twice"', "u2,0,", "u3,1,été"],
        "jsonl": [json.dumps({"id": name, "text": text}) for name, text in TEXTS.items()],
        "json": [  # NeMo's manifest: text is the reference
            json.dumps({"audio_filepath": f"/x/{name}.wav", "text": "said", "pred_text": text})
            for name, text in TEXTS.items()
        ],
    }[name]
    path = tmp_path / f"system.{name}"
    return path, lines


@pytest.mark.parametrize("name", ["txt", "tsv", "csv", "jsonl", "json"])
@pytest.mark.parametrize(("mark", "end"), [("", "\n"), ("\ufeff", "\r\n")])
def test_every_format_gives_the_same_hypotheses(tmp_path, name, mark, end):
    path, lines = written(tmp_path, name)
    path.write_bytes((mark + end.join([*lines, ""])).encode())
    assert read_hypotheses(path) == TEXTS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tsv", "speaker\ttext\ns\ta\n", r"x\.tsv:2: none of utterance, .*\(speaker, text\)"),
        ("x.tsv", "id\ttext\nu\ta\tb\n", r"x\.tsv:2: 3 fields, but the header has 2"),
        ("x.csv", "id,words\nu,a\n", r"x\.csv:2: none of pred_text, .*\(id, words\)"),
        ("x.csv", 'id,text\nu,"a\n', r"x\.csv cannot be read as csv"),
        ("x.csv", "id,text\nu,a\nu,b\n", r"x\.csv:3: 'u' is there twice"),
        ("x.csv", "id,text\n", "holds no hypothesis; .*, below a header line"),
        (
            "x.tsv",
            "u1\ta b\nu2\tc\n",
            r"x\.tsv:2: none of .*: rename a field, or give a header line",
        ),
        (
            "x.jsonl",
            '{"id": "u", "transcription": "what was said", "text": "what was heard"}\n',
            r"x\.jsonl:1: transcription and text are among .* one of them may be the reference: "
            "say which is the hypothesis by --text_field",
        ),
        ("x.csv", "id,text,pred_text_greedy\nu,a,b\n", "text and pred_text_greedy are among"),
        ("x.jsonl", '{"id": "u", "text": null}\n', r"x\.jsonl:1: text should be a text, not None"),
        ("x.jsonl", '{"id": "u"\n', r"x\.jsonl:1 is not JSON"),
        (
            "x.jsonl",
            "[1]\n",
            r"x\.jsonl:1 should be a JSON object, not a list; give one object per line",
        ),
        ("x.jsonl", '{"id": "a b", "text": ""}\n', r"x\.jsonl:1: id should be one word, not 'a b'"),
    ],
)
def test_a_defect_is_told_with_its_file_and_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read_hypotheses(tmp_path / name)


def test_the_field_of_the_hypotheses_can_be_named(tmp_path):
    path = tmp_path / "x.jsonl"
    row = {"id": "u", "transcription": "said", "text": "heard", "greedy": "her", "pred_len": 5}
    path.write_text(json.dumps(row))
    assert read_hypotheses(path, "text") == {"u": "heard"}
    assert read_hypotheses(path, "greedy") == {"u": "her"}
    with pytest.raises(UserError, match=r"x.jsonl:1: --text_field beam is not among its fields"):
        read_hypotheses(path, "beam")
    (tmp_path / "text").write_text("u heard\n")
    with pytest.raises(UserError, match="has no fields, only words"):
        read_hypotheses(tmp_path / "text", "text")


def test_scores_beside_the_text_are_no_second_hypothesis(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"id": "u", "text": "a", "hyp_score": -1.5, "pred_n": 3}')
    (tmp_path / "x.csv").write_text("id,text,hyp_score\nu,a,-1.5\n")
    assert read_hypotheses(tmp_path / "x.jsonl") == read_hypotheses(tmp_path / "x.csv")


def test_a_path_loses_its_folder_and_an_ending_of_audio_only(tmp_path):
    path = tmp_path / "x.jsonl"
    rows = [{"file": name, "text": "a"} for name in ("/x/u.1.WAV", "spk.001", "spk.002")]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert list(read_hypotheses(path)) == ["u.1", "spk.001", "spk.002"]


def test_a_file_that_is_not_utf_8_is_told(tmp_path):
    for name in ("x.tsv", "x.jsonl"):
        (tmp_path / name).write_bytes("id\ttext\nu\té\n".encode("latin-1"))
        with pytest.raises(UserError, match="UTF-8"):
            read_hypotheses(tmp_path / name)


def test_missing_and_extra_hypotheses_are_counted_and_named_with_their_remedies(tmp_path):
    references = {f"u{i}": "x" for i in range(6)}
    given = {"u0": "x", "v": "x"}
    message = (
        r"sys\.txt does not match the 6 reference utterances: 5 missing \(u1, u2, u3, …\)\. .*"
        r"--missing empty Also 1 not in the reference \(v\)\. .*--extra ignore"
    )
    with pytest.raises(UserError, match=message):
        match(references, given, tmp_path / "sys.txt")
    with pytest.raises(UserError, match=r": 1 not in the reference \(v\)"):
        match(references, given, tmp_path / "sys.txt", missing_as_empty=True)
    matched = match(
        references, given, tmp_path / "sys.txt", missing_as_empty=True, ignore_extra=True
    )
    assert (matched.missing, matched.extra) == (5, 1)
    assert matched.hypotheses == {"u0": "x", **dict.fromkeys(["u1", "u2", "u3", "u4", "u5"], "")}


def test_ids_that_never_agree_are_told_as_such_even_where_missing_ones_may_be_empty(tmp_path):
    with pytest.raises(UserError, match=r"no utterance agrees: .* have en_a, it has a\. Is it of"):
        match({"en_a": "x"}, {"a": "x"}, tmp_path / "s", missing_as_empty=True, ignore_extra=True)
