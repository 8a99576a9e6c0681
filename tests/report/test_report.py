"""The command, and what stands in the page; what a browser makes of it is in test_browser."""

import base64
import io
import json
import re

import pytest
import soundfile

from espnet_otreg.stages.report import main


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_holds_every_utterance_of_every_system_and_seed(experiments, tmp_path, capsys):
    main([*experiments, "--output", "out/report.html", "--samples", "100", "--nj", "1"])
    page = (tmp_path / "out/report.html").read_text()
    data = data_of(page)
    assert [system["name"] for system in data["systems"]] == ["base", "ot"]
    assert len(data["utterances"]) == 12
    for entry in data["utterances"]:
        assert [len(seeds) for seeds in entry["h"]] == [1, 2]
    errors = sum(entry["h"][1][0]["e"] for entry in data["utterances"])
    words = sum(entry["n"] for entry in data["utterances"])
    assert (errors, words) == (12, 48)  # one of four words wrong in each
    assert "out/report.html: 12 utterances, 12 to hear" in capsys.readouterr().out


def test_nothing_is_fetched_from_anywhere(experiments, tmp_path):
    main([*experiments, "--samples", "50", "--nj", "1"])
    page = (tmp_path / "report.html").read_text()
    markup = re.sub(r"<script type=.*?</script>", "", page, flags=re.DOTALL)
    addresses = re.findall(r"""(?:src|href)=["']([^"']*)""", markup)
    assert addresses and all(re.match(r"#|data:image/", address) for address in addresses)
    assert "url(" not in page and "default-src 'none'" in page


def test_a_hypothesis_cannot_write_into_the_page(experiments, evil, tmp_path):
    main([*experiments, "--samples", "50", "--nj", "1"])
    page = (tmp_path / "report.html").read_text()
    assert "taken" in page and evil not in page
    said = data_of(page)["utterances"][0]["h"][0][0]["t"]
    assert any("</script>" in written for _, _, written in said)


def test_the_audio_in_the_page_is_the_recording(experiments, tmp_path):
    main([*experiments, "--samples", "50", "--nj", "1"])
    page = (tmp_path / "report.html").read_text()
    clips = dict(re.findall(r'data-audio="(.*?)">(.*?)</script>', page))
    assert len(clips) == 12
    signal, rate = soundfile.read(io.BytesIO(base64.b64decode(clips["near_test/near_test-3"])))
    original, _ = soundfile.read(tmp_path / "audio/near_test-3.flac")
    assert rate == 16000 and len(signal) == pytest.approx(len(original), abs=2400)
    assert signal.std() == pytest.approx(original.std(), rel=0.2)


def test_a_recording_that_cannot_be_read_is_named_and_the_page_is_made(
    experiments, tmp_path, caplog
):
    (tmp_path / "audio/near_test-3.flac").write_bytes(b"no flac")
    main([*experiments, "--samples", "50", "--nj", "1"])
    page = (tmp_path / "report.html").read_text()
    assert page.count("data-audio=") - page.count("[data-audio=") == 11
    assert "near_test/near_test-3 has no audio in the page: unreadable" in caplog.text


def test_without_recordings_the_page_says_where_they_were_looked_for(experiments, tmp_path):
    (tmp_path / "data").rename(tmp_path / "moved")
    main([*experiments, "--samples", "50", "--nj", "1"])
    assert (
        "no recordings of near_test: data/near_test/wav.scp"
        in (tmp_path / "report.html").read_text()
    )
    main([*experiments, "--samples", "50", "--nj", "1", "--data", "moved"])
    assert len(data_of((tmp_path / "report.html").read_text())["audio"]) == 12


def test_a_missing_set_under_data_is_an_error(experiments, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=r"empty/far_test/wav.scp does not exist"):
        main([*experiments, "--samples", "50", "--data", "empty"])


def test_figures_are_left_for_a_paper(experiments, tmp_path):
    main([*experiments, "--samples", "50", "--nj", "1", "--audio", "none"])
    made = {path.name for path in (tmp_path / "report_figures").iterdir()}
    assert made == {"rates.svg", "rates.png", "differences.svg", "differences.png"}


def test_pictures_of_the_gap_folder_stand_at_their_utterances(experiments, tmp_path):
    gap = tmp_path / "gap"
    gap.mkdir()
    (gap / "plan.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    picture = {"set": "near_test", "utterance": "near_test-2", "system": "ot", "kind": "plan"}
    figure = {"file": "plan.svg", "title": "The panel", "caption": "What it shows."}
    index = {"pictures": [{**picture, "file": "plan.svg"}], "figures": [figure]}
    (gap / "pictures.json").write_text(json.dumps(index))
    main([*experiments, "--samples", "50", "--nj", "1", "--audio", "none", "--gap", "gap"])
    page = (tmp_path / "report.html").read_text()
    assert data_of(page)["pictured"] == ["near_test/near_test-2"]
    assert "What it shows." in page and 'data-picture="near_test/near_test-2"' in page
    with pytest.raises(SystemExit, match="pictures of ot, but the systems here are a, b: give"):
        main([*experiments[:2], "--names", "a", "b", "--samples", "50", "--gap", "gap"])
    (gap / "plan.svg").unlink()
    with pytest.raises(SystemExit, match=r"plan.svg is listed but not there: draw again"):
        main([*experiments, "--samples", "50", "--gap", "gap"])


def test_systems_decoded_elsewhere_are_enough(experiments, tmp_path):
    folders = [f"{name}={experiments[i]}/decode_x" for i, name in enumerate("ab")]
    main(["--external", *folders, "--samples", "50", "--audio", "none"])
    data = data_of((tmp_path / "report.html").read_text())
    assert [system["name"] for system in data["systems"]] == ["a", "b"]
    assert [one["name"] for one in data["sets"]] == ["far_test", "near_test"]
    with pytest.raises(SystemExit, match="name experiment folders, or --external"):
        main([])


def test_what_was_done_to_hypotheses_is_said(experiments, tmp_path):
    path = tmp_path / experiments[1] / "decode_x/near_test/score.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "missing_hypotheses": 2, "ignored_hypotheses": 7}))
    main([*experiments, "--samples", "50", "--audio", "none"])
    page = (tmp_path / "report.html").read_text()
    assert "ot (asr_ot_seed1_0123abce) has no hypothesis for 2 of the 6 utterances" in page
    assert "7 hypotheses of ot (asr_ot_seed1_0123abce) for near_test have no reference" in page


def test_a_system_decoded_elsewhere_stands_beside_the_experiments(experiments, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (tmp_path / experiments[1] / "decode_x/near_test").rename(theirs / "near_test")
    given = ["--decode_tag", "decode_x", "--in_domain", "near_test", "--audio", "none"]
    main([experiments[0], *given, "--external", "whisper=theirs", "--samples", "50"])
    data = data_of((tmp_path / "report.html").read_text())
    assert [system["name"] for system in data["systems"]] == ["base", "whisper"]
    assert {entry["h"][1][0]["e"] for entry in data["utterances"]} == {1}
