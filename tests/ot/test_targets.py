import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_otreg.ot import unique_targets

VOCABULARY = 12


def orthogonal_table() -> torch.Tensor:
    return torch.linalg.qr(torch.randn(VOCABULARY, VOCABULARY, dtype=torch.double)).Q


def padded(rows: list[list[int]], fill: int = -1) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.full((len(rows), max(map(len, rows), default=0)), fill)
    for b, row in enumerate(rows):
        ids[b, : len(row)] = torch.tensor(row, dtype=torch.long)
    return ids, lengths


transcripts = st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=9), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(rows=transcripts, anchor=st.one_of(st.none(), st.integers(0, VOCABULARY - 1)))
def test_targets_are_the_distinct_tokens_in_order_and_the_anchor_last(rows, anchor):
    table = orthogonal_table()
    targets = unique_targets(*padded(rows), table, anchor)
    for b, row in enumerate(rows):
        expected = [token for token in dict.fromkeys(row) if token != anchor]
        expected += [] if anchor is None else [anchor]
        assert targets.ids[b, : targets.lengths[b]].tolist() == expected
        assert (targets.ids[b, targets.lengths[b] :] == -1).all()
        torch.testing.assert_close(targets.embeddings[b, : len(expected)], table[expected])
        assert (targets.embeddings[b, len(expected) :] == 0).all()
    assert targets.ids.shape[1] == targets.lengths.max()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(rows=transcripts)
def test_a_batch_equals_its_transcripts_one_at_a_time_whatever_the_padding_holds(rows):
    table = torch.randn(VOCABULARY, 3)  # few dimensions: many near-duplicates
    batch = unique_targets(*padded(rows, fill=3), table, 0, threshold=0.7)
    for b, row in enumerate(rows):
        alone = unique_targets(*padded([row]), table, 0, threshold=0.7)
        assert batch.ids[b, : batch.lengths[b]].tolist() == alone.ids[0].tolist()


def test_near_duplicates_leave_the_first_and_tokens_near_the_anchor_go():
    table = torch.eye(5, 4)
    table[4] = torch.tensor([1.0, 0.05, 0, 0])  # cosine 0.9988 with row 0
    ids, lengths = torch.tensor([[4, 1, 0, 2]]), torch.tensor([4])
    assert unique_targets(ids, lengths, table, 3).ids.tolist() == [[4, 1, 2, 3]]
    assert unique_targets(ids, lengths, table, 3, threshold=0.9999).ids.tolist() == [
        [4, 1, 0, 2, 3]
    ]
    assert unique_targets(ids, lengths, table, 0).ids.tolist() == [[1, 2, 0]]


def test_a_threshold_of_one_keeps_tokens_with_equal_embeddings():
    table = torch.randn(1, 6).expand(4, 6)
    targets = unique_targets(torch.tensor([[1, 2, 3]]), torch.tensor([3]), table, 0, threshold=1.0)
    assert targets.ids.tolist() == [[1, 2, 3, 0]]


def test_the_order_of_the_transcript_does_not_matter_to_the_set():
    table = orthogonal_table()
    ids = torch.randint(VOCABULARY, (3, 9))
    lengths = torch.tensor([9, 9, 9])
    forward, backward = (
        unique_targets(x, lengths, table, 1).ids.sort(1).values for x in (ids, ids.flip(1))
    )
    assert forward.tolist() == backward.tolist()


def test_an_empty_transcript_has_the_anchor_alone_or_nothing():
    ids, lengths = padded([[], [2, 2]])
    table = orthogonal_table()
    assert unique_targets(ids, lengths, table, 5).ids.tolist() == [[5, -1], [2, 5]]
    assert unique_targets(ids, lengths, table, None).lengths.tolist() == [0, 1]
    nothing = unique_targets(ids[:1, :0], lengths[:1], table, None)
    assert nothing.embeddings.shape == (1, 0, VOCABULARY)


def test_negative_ids_inside_the_length_count_as_padding():
    ids = torch.tensor([[-1, 4, -1, 5]])
    assert unique_targets(ids, torch.tensor([4]), orthogonal_table(), 0).ids.tolist() == [[4, 5, 0]]


def test_the_gradient_reaches_the_rows_in_use_and_a_detached_table_has_none():
    table = orthogonal_table().requires_grad_()
    ids, lengths = padded([[1, 1, 2]])
    unique_targets(ids, lengths, table, 0).embeddings.sum().backward()
    assert table.grad.sum(1).tolist() == [VOCABULARY] * 3 + [0] * (VOCABULARY - 3)
    assert not unique_targets(ids, lengths, table.detach(), 0).embeddings.requires_grad


def test_the_table_keeps_its_precision():
    targets = unique_targets(*padded([[1, 2]]), orthogonal_table().bfloat16(), 0)
    assert targets.embeddings.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"anchor_id": VOCABULARY}, "anchor_id"),
        ({"anchor_id": -1}, "anchor_id"),
        ({"ids": torch.tensor([[VOCABULARY, 1]])}, "ids"),
        ({"lengths": torch.tensor([3])}, "lengths"),
        ({"threshold": "0.9"}, "threshold"),
    ],
)
def test_wrong_input_is_refused_by_name(change, named):
    right = {"ids": torch.tensor([[1, 2]]), "lengths": torch.tensor([2]), "anchor_id": 0}
    with pytest.raises(ValueError, match=named):
        unique_targets(table=orthogonal_table(), **{**right, **change})
