import numpy as np
import pytest

from espnet_otreg import natural
from espnet_otreg.errors import UserError
from espnet_otreg.mini.speech import RATE
from espnet_otreg.natural.voices import CREDITS, GENDERS, PACKAGES, Voices, find_voice, phrases


def tone_of(seconds, asked):
    def speak(text, speed):
        asked.append((text, speed))
        time = np.arange(int(seconds * 16000 / speed)) / 16000
        return np.sin(2 * np.pi * 200 * time), 16000

    return lambda name: speak


def say(pieces, rate=100, pitch=50, seconds=0.5):
    asked = []
    spoken = Voices(tone_of(seconds, asked)).say(
        pieces, "en", "any", rate=rate, pitch=pitch, intonation=50
    )
    return spoken, asked


def frequency(samples):
    return np.argmax(np.abs(np.fft.rfft(samples))) * RATE / len(samples)


def test_phrases_begin_where_it_is_said():
    spoken, asked = say(["one two", "three"])
    assert [text for text, _ in asked] == ["one two", "three"]
    assert spoken.starts[0] == 0
    gap = spoken.samples[spoken.starts[1] - 200 : spoken.starts[1]]
    assert not gap.any() and spoken.samples[spoken.starts[1] : spoken.starts[1] + 50].any()


@pytest.mark.parametrize(("rate", "pitch"), [(100, 50), (100, 65), (110, 40)])
def test_pitch_changes_no_duration_and_rate_no_pitch(rate, pitch):
    spoken, _ = say(["one"], rate, pitch)
    assert len(spoken.samples) / RATE == pytest.approx(0.5 * 100 / rate, rel=0.02)
    assert frequency(spoken.samples) == pytest.approx(200 * 2 ** ((pitch - 50) / 150), rel=0.02)


def test_a_voice_that_says_nothing_is_an_error():
    with pytest.raises(UserError, match="voice any says nothing to 'one'"):
        say(["one"], seconds=0)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("It is so.", ["It is so."]),
        ("But it is so, as you know, right?", ["But it is so,", "as you know, right?"]),
        ("Yes, it is so, you see.", ["Yes, it is so, you see."]),
        ("No more.", ["No more."]),
    ],
)
def test_phrases_are_cut_after_commas_into_three_words_or_more(text, pieces):
    assert phrases(text) == pieces


def test_every_voice_has_a_package_a_licence_and_a_gender():
    for name in {voice for voices in natural.VOICES.values() for voice in voices}:
        engine = name.partition(":")[0]
        assert name in GENDERS and CREDITS[engine][0] and PACKAGES[engine]


@pytest.mark.parametrize("name", sorted({v for vs in natural.VOICES.values() for v in vs}))
def test_real_voices_say_the_same_twice(name):
    package = {"pico": "py_nanotts", "hibari": "hibari", "piper": "piper"}[name.partition(":")[0]]
    pytest.importorskip(package)
    voice = find_voice(name)
    first, rate = voice("Hello, how are you?", 1.0)
    voice("Something else in between.", 1.2)
    again, _ = voice("Hello, how are you?", 1.0)
    assert rate >= 16000 and np.abs(first).max() > 0.05
    assert np.array_equal(first, again)
