import pytest
import torch
from torch.nn import functional

from espnet_otreg.ot import compress

OFF = {"merge_threshold": 1.0, "drop_threshold": 1.0}


def plain(x: torch.Tensor, anchor: torch.Tensor, merge: float, drop: float):
    """The method written as loops over one utterance: (embeddings, sources, merged, dropped)."""

    def cosine(p, q):
        return functional.cosine_similarity(p, q, dim=0)

    frames, source, merged = [], [], 0
    for t in range(0, len(x), 2):
        if t + 1 < len(x) and cosine(x[t], x[t + 1]) > merge:
            frames, source = [*frames, (x[t] + x[t + 1]) / 2], [*source, t]
            merged += 1
        else:
            frames, source = [*frames, *x[t : t + 2]], [*source, *range(t, min(t + 2, len(x)))]
    near = torch.stack([cosine(f, anchor) for f in frames])
    keep = [i for i in range(len(frames)) if near[i] <= drop] or [int(near.argmin())]
    return (
        torch.stack([frames[i] for i in keep]),
        [source[i] for i in keep],
        merged,
        len(frames) - len(keep),
    )


def clustered(batch: int, frames: int, dimension: int = 4) -> torch.Tensor:
    centres = torch.randn(3, dimension, dtype=torch.double)
    noise = 0.3 * torch.randn(batch, frames, dimension, dtype=torch.double)
    return (
        centres[torch.randint(3, (batch, frames // 2 + 1))].repeat_interleave(2, 1)[:, :frames]
        + noise
    )


@pytest.mark.parametrize("frames", [1, 2, 7, 12])
def test_a_batch_equals_the_method_written_as_loops(frames):
    x = clustered(5, frames)
    lengths = torch.randint(1, frames + 1, (5,))
    anchor = x[0, 0]
    out = compress(x, lengths, anchor, merge_threshold=0.9, drop_threshold=0.8)
    for b in range(5):
        kept, source, merged, dropped = plain(x[b, : lengths[b]], anchor, 0.9, 0.8)
        torch.testing.assert_close(out.x[b, : out.lengths[b]], kept)
        assert out.source[b, : out.lengths[b]].tolist() == source
        assert (out.merged[b], out.dropped[b]) == (merged, dropped)
        assert (out.x[b, out.lengths[b] :] == 0).all()
        assert (out.source[b, out.lengths[b] :] == -1).all()
    assert out.x.shape[1] == out.lengths.max()
    assert (lengths == out.lengths + out.merged + out.dropped).all()


def test_padding_and_neighbours_change_nothing():
    x = clustered(3, 9)
    lengths = torch.tensor([9, 4, 5])
    x[1, 4:] = x[1, 3]  # padding that would merge with the last frame
    out = compress(x, lengths, x[0, 2])
    for b in range(3):
        alone = compress(x[b : b + 1, : lengths[b]], lengths[b : b + 1], x[0, 2])
        torch.testing.assert_close(out.x[b, : out.lengths[b]], alone.x[0])
        assert out.lengths[b] == alone.lengths[0]


def test_only_disjoint_pairs_merge_and_the_odd_last_frame_stays():
    x = torch.ones(1, 5, 2)
    out = compress(x, torch.tensor([5]), torch.tensor([-1.0, 1.0]))
    assert out.source.tolist() == [[0, 2, 4]]
    assert out.merged.tolist() == [2]
    crossing = torch.tensor([[[1.0, 0], [0, 1], [0, 1], [1, 0]]])  # alike frames in two pairs
    assert compress(crossing, torch.tensor([4]), -torch.ones(2)).lengths.tolist() == [4]


def test_silence_alone_keeps_the_frame_least_like_the_anchor():
    x = torch.tensor([[[1.0, 0.0], [1.0, 0.3], [1.0, 0.2]]])
    out = compress(x, torch.tensor([3]), torch.tensor([1.0, 0.0]), merge_threshold=1.0)
    assert out.source.tolist() == [[1]]
    assert out.dropped.tolist() == [2]


def test_thresholds_of_one_change_nothing_even_for_equal_vectors():
    x = torch.randn(1, 1, 5).expand(2, 6, 5).contiguous()
    out = compress(x, torch.tensor([6, 3]), x[0, 0], **OFF)
    assert out.lengths.tolist() == [6, 3]
    assert torch.equal(out.x[0], x[0])


def test_an_empty_utterance_stays_empty():
    out = compress(torch.randn(2, 4, 3), torch.tensor([0, 4]), torch.randn(3), **OFF)
    assert out.lengths.tolist() == [0, 4]
    empty = compress(torch.randn(2, 0, 3), torch.tensor([0, 0]), torch.randn(3))
    assert empty.x.shape == (2, 0, 3)


def test_gradients_reach_kept_frames_halve_in_pairs_and_skip_dropped_ones():
    x = torch.tensor([[[1.0, 0], [1, 0.1], [0, 1], [-1, 0]]], requires_grad=True)
    compress(x, torch.tensor([4]), torch.tensor([0.0, 1.0])).x.sum().backward()
    assert x.grad[0, :, 0].tolist() == [0.5, 0.5, 0.0, 1.0]


def test_half_precision_frames_keep_their_type_and_meet_the_same_thresholds():
    x = clustered(2, 8).bfloat16()
    lengths = torch.tensor([8, 5])
    out = compress(x, lengths, x[0, 0])
    assert out.x.dtype == torch.bfloat16
    assert out.source.tolist() == compress(x.float(), lengths, x[0, 0].float()).source.tolist()


def test_an_anchor_of_another_dimension_is_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"\(2, 4, 3\) and \(5,\)"):
        compress(torch.randn(2, 4, 3), torch.tensor([4, 4]), torch.randn(5))


def test_the_frames_themselves_are_not_kept_for_the_backward_pass():
    x = clustered(4, 40).requires_grad_()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        compress(x, torch.tensor([40, 31, 22, 5]), x[0, 0].detach())
    held = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in saved}
    assert sum(held.values()) < x.untyped_storage().nbytes() / 2
