import json
import math

import numpy as np
import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_lines
from espnet_otreg.measure.compression import (
    Shortened,
    read_shortening,
    silent_embeddings,
    summarise,
)
from espnet_otreg.measure.truth import Word
from espnet_otreg.stages import compression

WORDS = {"u": (Word("a", 0.3, 1.0),), "v": (Word("b", 0.0, 0.5), Word("c", 0.75, 1.0))}
SECONDS = {"u": 1.0, "v": 1.0}


def test_an_embedding_is_silent_when_most_of_its_time_is_outside_words():
    found = silent_embeddings(4, 1.0, WORDS["u"])  # 0.3 lies in the second quarter's first half
    assert found.tolist() == [True, False, False, False]
    assert silent_embeddings(4, 1.0, WORDS["v"]).tolist() == [False, False, True, False]


def test_a_report_adds_up_rates_and_shares():
    rows = {"u": Shortened(4, 1, 1, (0,)), "v": Shortened(4, 0, 1, (1,))}
    found = summarise(rows, SECONDS, WORDS, capped=1)
    assert (found.before, found.after_merge, found.after_drop) == (4.0, 3.5, 2.5)
    assert (found.merged, found.dropped) == (1 / 8, 2 / 8)
    assert (found.drops_silent, found.silence_dropped) == (1 / 2, 1 / 2)
    assert found.capped == 1
    assert math.isnan(summarise(rows, SECONDS).drops_silent)


def test_nothing_dropped_is_no_share_of_anything():
    found = summarise({"u": Shortened(4, 0, 0, ())}, SECONDS, WORDS)
    assert math.isnan(found.drops_silent) and found.silence_dropped == 0


def test_an_unreadable_table_names_the_utterance(tmp_path):
    write_lines(tmp_path / "shortening", ["u {broken"])
    with pytest.raises(UserError, match="u is unreadable"):
        read_shortening(tmp_path / "shortening")


def test_the_page_joins_the_seeds_of_a_system(tmp_path):
    data = tmp_path / "data" / "set_test"
    write_lines(data / "utt2num_samples", ["covost2-en-test-u 16000"])
    for seed, dropped in (("1", 0), ("2", 2)):
        row = {"embeddings": 10, "merged": 0, "dropped": dropped, "silent": list(range(dropped)),
               "capped": False}  # fmt: skip
        place = tmp_path / f"exp{seed}" / "decode" / "set_test"
        write_lines(place / "shortening", [f"covost2-en-test-u {json.dumps(row)}"])
    compression.main([
        "--systems", f"{tmp_path}/exp1,{tmp_path}/exp2", "--names", "OTReg", "--decode_tag",
        "decode", "--sets", str(data), "--output", str(tmp_path / "page.md"),
        "--json", str(tmp_path / "page.json"),
    ])  # fmt: skip
    row = read_json(tmp_path / "page.json")["OTReg/set_test"]
    assert row["utterances"] == 2 and row["before"] == 10
    assert np.isclose(row["dropped"], 0.1) and row["drops_silent"] is None
    assert (
        "| OTReg | set_test | 10.00 | 10.00 | 9.00 | 0.0 % | 10.0 % | – | – | 0 |"
        in (tmp_path / "page.md").read_text().splitlines()
    )
