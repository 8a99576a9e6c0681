import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from espnet_otreg.pretrained.pseudo_likelihood import PseudoLikelihood


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    from espnet_otreg.mini.masked_lm import train_tokenizer

    tokenizer = train_tokenizer(["the red key of the king", "a key is red", "the king is here"], 60)
    folder = tmp_path_factory.mktemp("teacher")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=40, initializer_range=0.5,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(folder)
    return PseudoLikelihood(folder)


def by_hand(teacher, pieces):
    """One piece at a time, one sentence at a time."""
    tokenizer = teacher.tokenizer.tokenizer
    ids = torch.tensor([tokenizer.convert_tokens_to_ids(["[CLS]", *pieces, "[SEP]"])])
    total = 0.0
    for place in range(1, len(pieces) + 1):
        hidden = ids.clone()
        hidden[0, place] = tokenizer.mask_token_id
        logits = teacher.network(input_ids=hidden).logits[0, place]
        total += float(logits.log_softmax(-1)[ids[0, place]])
    return total


def test_every_piece_is_guessed_from_all_the_others(teacher):
    rows = [teacher.tokenizer.split(text) for text in ("the red key", "a king", "the king is red")]
    assert teacher(rows) == pytest.approx([by_hand(teacher, row) for row in rows], abs=1e-4)


def test_neighbours_and_the_size_of_a_batch_do_not_matter(teacher):
    rows = [teacher.tokenizer.split(text) for text in ("the red key of the king", "a", "red key")]
    whole = teacher(rows)
    teacher.batch_size = 2
    assert teacher(rows) == pytest.approx(whole, abs=1e-4)
    assert teacher(rows[1:2]) == pytest.approx(whole[1:2], abs=1e-4)


def test_an_empty_sentence_has_nothing_to_guess_and_unknown_pieces_are_read_as_unknown(teacher):
    assert teacher([[]]) == [0.0]
    assert teacher([["☃"]]) == pytest.approx([by_hand(teacher, ["[UNK]"])], abs=1e-4)
