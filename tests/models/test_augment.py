"""What training does to cached frames, against what must hold of each change."""

import pytest
import torch

from espnet_otreg.configuration import read_options
from espnet_otreg.errors import UserError
from espnet_otreg.models.augment import FrameAugmentConf, augment, stretched
from espnet_otreg.models.options import OTConf
from espnet_otreg.ot.tensors import length_mask
from tests.support.tiny_llm import save_llm
from tests.support.tiny_models import build as build_asr
from tests.support.tiny_slm import build, make_batch

LENGTHS = torch.tensor([40, 23, 1, 0])
ALL = {"stretch": [0.75, 1.35], "noise": 0.15, "time_masks": 2}


def conf(**given):
    return read_options(FrameAugmentConf, given, "slm_conf.augment")


@pytest.fixture
def frames():
    return torch.randn(4, 40, 6, generator=torch.Generator().manual_seed(1))


def test_nothing_is_asked_for_by_default(frames):
    x, lengths = augment(frames, LENGTHS, conf())
    assert x is frames and lengths is LENGTHS


def test_a_line_that_is_stretched_stays_a_line():
    n, factors = torch.tensor([40, 30]), torch.tensor([1.35, 0.5])
    x = torch.arange(40.0).view(1, 40, 1).expand(2, 40, 1) * length_mask(n, 40).unsqueeze(2)
    y, lengths = stretched(x, n, factors)
    assert lengths.tolist() == [54, 15]
    for row, (old, new) in enumerate([(40, 54), (30, 15)]):
        at = (torch.arange(new) + 0.5) * old / new - 0.5  # the same time, in old frames
        torch.testing.assert_close(y[row, :new, 0], at.clamp(0, old - 1))
    assert not y[1, 15:].any()


def test_a_factor_of_one_changes_nothing(frames):
    x = frames * length_mask(LENGTHS, 40).unsqueeze(2)
    y, lengths = stretched(x, LENGTHS, torch.ones(4))
    assert torch.equal(lengths, LENGTHS) and torch.equal(y, x)


def test_lengths_are_spread_over_what_is_allowed_and_no_utterance_vanishes():
    x, n = torch.ones(500, 40, 2), torch.full((500,), 40)
    torch.manual_seed(0)
    _, lengths = augment(x, n, conf(stretch=[0.5, 2.0]))
    assert lengths.min() >= 20 and lengths.max() <= 80
    assert 0.4 < (lengths < 40).float().mean() < 0.6  # as often shorter as longer
    assert augment(x[:4], LENGTHS, conf(stretch=[0.1, 0.2]))[1].tolist()[2:] == [1, 0]


def test_noise_is_measured_in_deviations_of_each_frame():
    x = torch.randn(2, 50, 400) * torch.tensor([0.1, 10.0]).view(2, 1, 1)
    y, _ = augment(x, torch.tensor([50, 50]), conf(noise=0.15))
    ratio = (y - x).std(2) / x.std(2)
    torch.testing.assert_close(ratio.mean(1), torch.full((2,), 0.15), rtol=0.02, atol=0)


def test_masks_are_spans_of_the_mean_and_cover_at_most_half(frames):
    real = length_mask(LENGTHS, 40)
    mean = (frames * real.unsqueeze(2)).sum(1) / LENGTHS.clamp(min=1).unsqueeze(1)
    hidden = []
    for seed in range(60):
        torch.manual_seed(seed)
        y, _ = augment(frames, LENGTHS, conf(time_masks=1, time_mask_frames=30))
        changed = (y != frames).any(2) & real
        hidden.append(changed.sum(1))
        assert torch.allclose(y[changed], mean.unsqueeze(1).expand_as(y)[changed])
        edges = torch.nn.functional.pad(changed.int(), (1, 1)).diff(dim=1).abs().sum(1)
        assert (edges <= 2).all()  # one span
    counts = torch.stack(hidden)
    assert counts.amax(0).tolist() == [20, 11, 0, 0] and counts.amin(0).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf])
def test_padding_may_hold_anything(frames, garbage):
    padding = ~length_mask(LENGTHS, 40).unsqueeze(2)
    found = []
    for filling in (0.0, garbage):
        torch.manual_seed(3)
        found.append(augment(frames.masked_fill(padding, filling), LENGTHS, conf(**ALL)))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
    assert found[0][0].isfinite().all()


def test_an_utterance_is_changed_alike_whatever_is_beside_it(frames):
    """In distribution: the mean over many draws is the same alone and in a batch."""
    given, draws = conf(**ALL), 3000
    torch.manual_seed(0)
    copies = frames[1:2].expand(draws, -1, -1), torch.full((draws,), 23)
    alone = augment(copies[0][:, :23], copies[1], given)
    longer = torch.cat([copies[0], frames[:1]]), torch.cat([copies[1], LENGTHS[:1]])
    beside = augment(*longer, given)
    lengths = [n[:draws].float() for _, n in (alone, beside)]
    assert abs(lengths[0].mean() - lengths[1].mean()) < 0.4
    assert abs(lengths[0].std() - lengths[1].std()) < 0.3
    means = [x[:draws].sum(1) / n[:draws].unsqueeze(1) for x, n in (alone, beside)]
    torch.testing.assert_close(means[0].mean(0), means[1].mean(0), rtol=0, atol=0.01)
    torch.testing.assert_close(means[0].std(0), means[1].std(0), rtol=0.1, atol=0)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"stretch": [1.2]}, r"slm_conf\.augment\.stretch: expected two factors.*received \[1.2\]"),
        ({"stretch": [1.3, 0.7]}, "the smaller one first"),
        ({"stretch": [0.0, 1.0]}, "stretch: expected a list, each a number above 0"),
        ({"stretch": 1.1}, "stretch: expected a list"),
        ({"noise": -0.1}, "noise: expected a number of 0 or more"),
        ({"time_masks": 1.5}, "time_masks: expected a whole number"),
        ({"time_mask_frames": 0}, "time_mask_frames: expected a whole number of 1 or more"),
        ({"speed": 1.1}, "unknown key 'speed'"),
    ],
)
def test_a_bad_value_is_an_error_that_names_it(given, told):
    with pytest.raises(UserError, match=told):
        conf(**given)


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("llm"))


def test_the_speech_language_model_augments_in_training_alone(lm):
    batch = make_batch(lm)
    model = build(lm, model_conf={"slm_conf": {"augment": ALL}})
    plain = build(lm)
    given = {key: value.clone() for key, value in batch.items()}
    assert torch.equal(model.eval()(**given)[0], plain.eval()(**given)[0])

    def loss(seed):
        torch.manual_seed(seed)
        return model.train()(**given)[0]

    assert torch.equal(loss(0), loss(0)) and not torch.equal(loss(0), loss(1))
    assert not torch.equal(loss(0), plain.train()(**given)[0])
    with pytest.raises(UserError, match=r"slm_conf\.augment\.noise: expected a number"):
        build(lm, model_conf={"slm_conf": {"augment": {"noise": "loud"}}})


def test_the_plan_of_clean_frames_is_followed_in_training_by_augmented_ones(lm):
    batch, term = make_batch(lm), {"weight": 0.3, "plan_from": "clean"}
    model = build(lm, model_conf={"slm_conf": {"augment": ALL}, "ot_conf": term}).train()
    model._count.tell(1)
    torch.manual_seed(2)
    heard = model.hear(batch["speech"], batch["speech_lengths"])
    torch.testing.assert_close(heard.clean.lengths, (batch["speech_lengths"] + 2) // 3)
    assert not torch.equal(heard.clean.lengths, heard.whole_lengths)
    model.train(False)
    assert model.hear(batch["speech"], batch["speech_lengths"]).clean is None

    def losses(plan_from, **augment):
        conf = {"slm_conf": {"augment": augment}, "ot_conf": {**term, "plan_from": plan_from}}
        one = build(lm, model_conf=conf).train()
        torch.manual_seed(2)
        _, stats, _ = one(**batch)
        return stats["loss_ce"], stats["loss_ot"]

    clean, heard = losses("clean", **ALL), losses("heard", **ALL)
    assert torch.equal(clean[0], heard[0]) and not torch.equal(clean[1], heard[1])
    torch.testing.assert_close(*(losses(way, noise=1e-7)[1] for way in ("clean", "heard")))


def test_clean_frames_need_others_that_are_not(lm):
    term = {"weight": 0.3, "plan_from": "clean"}
    for given in ({}, {"augment": {"time_masks": 0, "time_mask_frames": 2}}):
        with pytest.raises(UserError, match=r"slm_conf\.augment changes none: set it"):
            build(lm, model_conf={"slm_conf": given, "ot_conf": term})
    with pytest.raises(UserError, match="belongs to model: slm"):
        build_asr(model="otreg", model_conf={"ot_conf": {"plan_from": "clean"}})
    with pytest.raises(UserError, match="plan_from: expected heard where unroll"):
        read_options(OTConf, {"plan_from": "clean", "unroll": True}, "ot_conf")
