"""A tiny masked language model and its pieces, for the commands."""

import pytest

from espnet_otreg.files import write_lines
from espnet_otreg.mini.masked_lm import train_tokenizer
from tests.support.tiny_lm import SENTENCES, make_pieces, save_bert


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    tokenizer = train_tokenizer(list(SENTENCES.values()), 120)
    return save_bert(tmp_path_factory.mktemp("lm"), tokenizer, width=8)


@pytest.fixture
def pieces(lm, tmp_path):
    write_lines(tmp_path / "text", [f"{utt} {text}" for utt, text in SENTENCES.items()])
    return make_pieces(lm, tmp_path / "text", tmp_path / "pieces" / "text")
