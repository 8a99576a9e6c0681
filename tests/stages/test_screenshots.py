"""Pictures of a report for README files."""

import numpy as np
from PIL import Image

from espnet_otreg.stages.screenshots import shrink


def test_a_shrunk_picture_is_smaller_and_looks_the_same(tmp_path):
    ramp = np.add.outer(np.arange(300), np.arange(400)) % 251
    noise = np.random.default_rng(0).integers(-2, 3, (300, 400, 3))
    pixels = np.stack([ramp, 250 - ramp, np.full_like(ramp, 90)], -1) + noise
    pixels = pixels.clip(0, 255).astype(np.uint8)
    path = tmp_path / "page.png"
    Image.fromarray(pixels).save(path)
    before = path.stat().st_size
    shrink(path)
    with Image.open(path) as picture:
        after = np.asarray(picture.convert("RGB")).astype(int)
    assert path.stat().st_size < 0.7 * before
    assert np.abs(after - pixels).mean() < 3


def test_what_was_transparent_becomes_white(tmp_path):
    path = tmp_path / "plan.png"
    Image.new("RGBA", (8, 8), (10, 20, 30, 0)).save(path)
    shrink(path)
    with Image.open(path) as picture:
        assert picture.convert("RGB").getpixel((3, 3)) == (255, 255, 255)
