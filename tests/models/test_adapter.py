"""The postencoder, against its formula."""

import torch

from espnet_otreg.models.transfer.adapter import TransferAdapter


def test_the_way_back_is_added_with_its_scale():
    adapter = TransferAdapter(16, text_size=12, scale=0.7)
    frames, lengths = torch.randn(2, 5, 16), torch.tensor([5, 3])
    out, out_lengths = adapter(frames, lengths)
    normal = torch.nn.functional.layer_norm
    text = normal(adapter.to_text(frames), (12,))
    back = normal(adapter.to_speech(text), (16,))
    torch.testing.assert_close(out, frames + 0.7 * back)
    assert out_lengths is lengths
    adapter.scale = 0.0
    assert torch.equal(adapter(frames, lengths)[0], frames)
