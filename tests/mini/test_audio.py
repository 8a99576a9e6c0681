import dataclasses
import sys
import time
from collections import Counter

import numpy as np
import pytest
import soundfile

from espnet_otreg.errors import UserError
from espnet_otreg.mini import build, layouts, render
from espnet_otreg.mini.domains import DOMAINS, SIZES
from espnet_otreg.mini.grammar import SPLITS
from espnet_otreg.mini.speech import Speaker

WORDS = ["the", "man", "in", "the", "house", "of", "the", "queen", "does", "not", "sing"]
PROSODY = {"rate": 160, "pitch": 50, "intonation": 50}


@pytest.fixture(scope="module")
def speaker():
    """The only one in the process: a second one would keep the library's state alive."""
    if build._speaker.cache_info().currsize:
        build._speaker().close()
        build._speaker.cache_clear()
    speaker = Speaker()
    yield speaker
    speaker.close()


def test_a_second_synthesiser_in_the_process_is_refused(speaker):
    with pytest.raises(RuntimeError, match="in use elsewhere"):
        Speaker()


def record(speaker, domain, words=WORDS, lang="en", index=0):
    speaker.restart()
    who = render.person(domain, "test", lang, "train", index, 0, 10)
    rng = render.generator("clip", index)
    babble = np.sin(np.arange(16000) / 5)
    return render.render(speaker, words, lang, domain, who, rng, render.Background(babble))


def quiet(**changes):
    """A domain without noise, room or band limits, so that silence can be told from speech."""
    plain = {"snr": (90, 90), "noises": ("white",), "reverb_share": 0.0, "level": (-20, -20)}
    plain |= {"highpass": (20, 20), "lowpass": (7900, 7900)}
    return dataclasses.replace(DOMAINS["fleurs"], **(plain | changes))


def power(samples, start, end):
    piece = samples[round(start * 16000) : round(end * 16000)]
    return float(np.mean(piece**2))


@pytest.mark.parametrize(
    ("lang", "text"),
    [
        ("en", "the man in the house of the queen does not sing"),
        ("es", "el hombre va al hospital en el mercado"),
        ("fr", "l'homme n'achète pas la clé qu'il y a à l'école aujourd'hui"),
    ],
)
def test_every_word_has_a_start_and_starts_increase(speaker, lang, text):
    words = text.split()
    spoken = speaker.say(words, lang, "m3", **PROSODY)
    assert len(spoken.starts) == len(words)
    assert np.all(np.diff(spoken.starts) > 0.02 * 22050)
    assert spoken.starts[-1] < len(spoken.samples)


@pytest.mark.parametrize("variant", ["m3", "f2", "f5"])  # f2 and f5 breathe: random noise
def test_the_same_sentence_sounds_the_same_after_a_restart(speaker, variant):
    takes = []
    for other in ("m1", "klatt2"):
        speaker.say(["hello"], "en", other, **PROSODY)
        speaker.restart()
        takes.append(speaker.say(WORDS, "en", variant, **PROSODY).samples)
        time.sleep(1.01)  # eSpeak NG would seed its noise with the second of the start
    assert np.array_equal(takes[0], takes[1])


@pytest.mark.parametrize("corpus", list(DOMAINS))
def test_every_voice_of_a_domain_exists_and_differs_from_the_others(speaker, corpus):
    voices = DOMAINS[corpus].voices
    heard = {speaker.say(["hello"], "en", v, **PROSODY).samples.tobytes() for v in voices}
    assert len(heard) == len(voices)


def test_an_unknown_voice_is_named_in_the_error(speaker):
    with pytest.raises(UserError, match="nosuchvoice"):
        speaker.say(["hello"], "en", "nosuchvoice", **PROSODY)


def test_without_espeak_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match=r"pip install espnet_otreg\[mini\]"):
        Speaker()


def test_inserted_pauses_are_silent_and_words_are_not(speaker):
    clip = record(speaker, quiet(pause_share=1.0, pause=(0.2, 0.3), edges=(0.2, 0.2)))
    assert [word for word, _, _ in clip.words] == WORDS
    ends = [end for _, _, end in clip.words]
    starts = [start for _, start, _ in clip.words]
    for end, start in zip(ends, starts[1:], strict=False):
        assert 0.2 <= start - end <= 0.3001
        assert power(clip.samples, end + 0.01, start - 0.01) < 1e-7
    assert min(power(clip.samples, start, end) for _, start, end in clip.words) > 1e-5
    assert power(clip.samples, 0.0, starts[0] - 0.01) < 1e-7
    assert power(clip.samples, ends[-1] + 0.02, len(clip.samples) / 16000) < 1e-6


def test_without_pauses_words_touch_and_times_lie_in_the_clip(speaker):
    clip = record(speaker, quiet(pause_share=0.0))
    for (_, begin, end), (_, next_begin, _) in zip(clip.words, clip.words[1:], strict=False):
        assert begin < end == next_begin
    assert clip.words[0][1] >= 0
    assert clip.words[-1][2] <= len(clip.samples) / 16000


@pytest.mark.parametrize("asked", [5.0, 20.0])
def test_the_signal_to_noise_ratio_is_the_one_drawn(speaker, asked):
    clean = record(speaker, quiet(snr=(120, 120)))
    noisy = record(speaker, quiet(snr=(asked, asked)))
    noise = noisy.samples - clean.samples
    speech = clean.samples[np.abs(clean.samples) > 0.01 * np.abs(clean.samples).max()]
    assert 10 * np.log10(np.mean(speech**2) / np.mean(noise**2)) == pytest.approx(asked, abs=0.5)


def test_a_narrow_channel_takes_the_high_frequencies_away(speaker):
    clip = record(speaker, quiet(snr=(10, 10), lowpass=(3400, 3400)))
    spectrum = np.abs(np.fft.rfft(clip.samples)) ** 2
    frequency = np.fft.rfftfreq(len(clip.samples), 1 / 16000)
    above, below = spectrum[frequency > 6000].mean(), spectrum[frequency < 3000].mean()
    assert above < below / 100


def test_a_loud_clip_does_not_overflow(speaker):
    clip = record(speaker, quiet(level=(0, 0)))
    assert np.abs(clip.samples).max() <= 1.0


@pytest.mark.parametrize("ending", [".mp3", ".flac", ".wav"])
def test_a_written_clip_keeps_length_and_timing(speaker, tmp_path, ending):
    clip = record(speaker, DOMAINS["covost2"])
    path = tmp_path / f"clip{ending}"
    layouts.write_clip(path, clip.samples)
    read, rate = soundfile.read(path, dtype="float32")
    assert (rate, len(read)) == (16000, len(clip.samples))
    spectrum = np.fft.rfft(read, 2 * len(read)) * np.conj(np.fft.rfft(clip.samples, 2 * len(read)))
    assert np.argmax(np.fft.irfft(spectrum)) == 0  # no delay from the codec


@pytest.mark.parametrize("corpus", list(DOMAINS))
def test_speakers_keep_their_voice_and_are_in_one_split_only(corpus):
    domain = DOMAINS[corpus]
    seen = {}
    for split, clips in zip(SPLITS, SIZES["mini"][corpus], strict=True):
        for index in range(clips):
            who = render.person(domain, corpus, "en", split, index, 0, clips)
            assert seen.setdefault(who.name, (who, split)) == (who, split)
    numbers = Counter(who.number for who, _ in seen.values())
    assert set(numbers.values()) == {1}
    bases = {(who.variant, who.pitch, who.rate) for who, _ in seen.values()}
    assert len(bases) == len(seen)


def test_fleurs_is_slow_or_fast_and_covost2_between():
    def rates(corpus):
        domain = DOMAINS[corpus]
        return [render.person(domain, corpus, "en", "test", i, 0, 100).rate for i in range(20)]

    middle = DOMAINS["covost2"].rates[0]
    assert all(middle[0] <= rate <= middle[1] for rate in rates("covost2"))
    assert not any(middle[0] <= rate <= middle[1] for rate in rates("fleurs"))
