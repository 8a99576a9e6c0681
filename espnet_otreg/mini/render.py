"""One clip: a speaker says a sentence in a domain, with pauses, room, noise and channel."""

import hashlib
import random
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import soxr
from scipy import fft, signal

from espnet_otreg.mini.domains import Domain, Range
from espnet_otreg.mini.grammar import SPLITS, draw_split
from espnet_otreg.mini.music import between_words
from espnet_otreg.mini.speech import RATE, Speaker, Spoken, Synthesiser

SAMPLE_RATE = 16000
_FEMALE = {"f1", "f2", "f3", "f4", "f5", "Annie", "Alicia", "Andrea", "linda", "steph"}
_QUIET = 0.01  # of the peak: below it nothing is being said
_PINK_ZEROS = (0.049922035, -0.095993537, 0.050612699, -0.004408786)
_PINK_POLES = (1, -2.494956002, 2.017265875, -0.522189400)
_PINK_GAIN = 11.7


@dataclass(frozen=True)
class Person:
    """A voice with a base pitch and rate of its own."""

    name: str
    variant: str
    pitch: float
    rate: float
    number: int  # within its corpus and language, over all splits

    @property
    def gender(self) -> str:
        """`female` or `male`, after the voice."""
        return "female" if self.variant in _FEMALE else "male"


class Clip(NamedTuple):
    """Samples with what is known about them."""

    samples: np.ndarray  # float32 in [-1, 1], at SAMPLE_RATE
    words: list[tuple[str, float, float]]  # word, start, end in seconds
    condition: dict[str, object]  # the domain's knobs as drawn


def generator(*key: object) -> random.Random:
    """A random source that depends on nothing but its key."""
    return random.Random("|".join(map(str, key)))


class Background(NamedTuple):
    """What else is to be heard in a room."""

    babble: np.ndarray  # several people talking at once
    music: Range | None = None  # its level against the speech, in decibels


def person(
    domain: Domain, corpus: str, lang: str, split: str, index: int, seed: int, clips: int
) -> Person:
    """The speaker of a clip; speakers of different splits are different people."""
    at_most = domain.speakers[SPLITS.index(split)]
    number = index % min(at_most, clips)
    rng = generator(seed, corpus, lang, split, "speaker", number)
    bands, voices = len(domain.rates), len(domain.voices)
    return Person(
        name=f"{corpus}-{lang}-{split}-{number:03d}",
        variant=domain.voices[number // bands % voices],
        pitch=rng.uniform(*domain.pitch),
        rate=rng.uniform(*domain.rates[number % bands]),
        number=sum(domain.speakers[: SPLITS.index(split)]) + number,
    )


def render(
    speaker: Synthesiser,
    words: list[str],
    lang: str,
    domain: Domain,
    who: Person,
    rng: random.Random,
    background: Background,
) -> Clip:
    """Speak and record one sentence."""
    rate = round(who.rate * (1 + rng.uniform(-1, 1) * domain.rate_spread))
    pitch = round(who.pitch + rng.uniform(-3, 3))
    intonation = round(rng.uniform(*domain.intonation))
    spoken = speaker.say(words, lang, who.variant, rate=rate, pitch=pitch, intonation=intonation)
    samples, spans = _with_pauses(spoken, domain, rng)
    speech = soxr.resample(samples, RATE, SAMPLE_RATE).astype(np.float64)
    level = rng.uniform(*domain.level)
    speech *= 10 ** (level / 20) / max(_loudness(speech), 1e-9)
    reverb = rng.uniform(*domain.reverb_time) if rng.random() < domain.reverb_share else 0.0
    if reverb:
        speech = _reverberate(speech, reverb, rng)
    snr = rng.uniform(*domain.snr)
    noise = _noise(len(speech), domain.noises, rng, background.babble)
    low, high = rng.uniform(*domain.highpass), rng.uniform(*domain.lowpass)
    played = rng.uniform(*background.music) if background.music else None
    if played is not None:  # drawn last: without it, everything else stays the same
        spoken_at = [
            (round(start / RATE * SAMPLE_RATE), round(end / RATE * SAMPLE_RATE))
            for start, end in spans
        ]
        tune = between_words(len(speech), spoken_at, SAMPLE_RATE, _numpy(rng))
        speech = speech + tune * 10 ** ((level + played) / 20)
    recorded = _band(speech + noise * 10 ** ((level - snr) / 20), low, high)
    recorded /= max(1.0, float(np.abs(recorded).max()) / 0.99)  # never clips
    times = [
        (word, round(start / RATE, 4), round(end / RATE, 4))
        for word, (start, end) in zip(words, spans, strict=True)
    ]
    condition = {
        "voice": who.variant, "rate_wpm": rate, "pitch": pitch, "intonation": intonation,
        "snr_db": round(snr, 1), "reverb_s": round(reverb, 3), "band_hz": [round(low), round(high)],
        "level_db": round(level, 1),
    }  # fmt: skip
    if played is not None:
        condition["music_db"] = round(played, 1)
    return Clip(recorded.astype(np.float32), times, condition)


def make_babble(speaker: Speaker, lang: str) -> np.ndarray:
    """Eight seconds of several people talking at once, the same in every process."""
    source = draw_split("train", generator("babble", lang))
    length = 8 * SAMPLE_RATE
    total = np.zeros(length)
    speaker.restart()
    for variant in ("m1", "f1", "m4", "f3", "m7", "f4"):
        filled = 0
        while filled < length:
            words = next(source).texts[lang].split()
            spoken = speaker.say(words, lang, variant, rate=160, pitch=50, intonation=50)
            voice = soxr.resample(spoken.samples, RATE, SAMPLE_RATE)[: length - filled]
            total[filled : filled + len(voice)] += voice
            filled += len(voice)
    return total / np.sqrt(np.mean(total**2))


def _with_pauses(
    spoken: Spoken, domain: Domain, rng: random.Random
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Trim, put silence at the edges and between some words; each word's (start, end) sample."""
    samples, starts = spoken
    loud = np.flatnonzero(np.abs(samples) > _QUIET * np.abs(samples).max())
    last = int(loud[-1]) + 1
    cuts = [max(starts[0], int(loud[0]))]
    cuts += [_quietest(samples, start) for start in starts[1:]]
    cuts.append(max(last, cuts[-1] + 1))
    position = _silence(rng, domain.edges)
    pieces, spans = [np.zeros(position, np.float32)], []
    for index, (begin, end) in enumerate(pairwise(cuts)):
        if index and rng.random() < domain.pause_share:
            pause = _silence(rng, domain.pause)
            _fade(pieces[-1], at_end=True)
            pieces.append(np.zeros(pause, np.float32))
            pieces.append(samples[begin:end].copy())
            _fade(pieces[-1], at_end=False)
            position += pause
        else:
            pieces.append(samples[begin:end].copy())
        spans.append((position, position + end - begin))
        position += end - begin
    pieces.append(np.zeros(_silence(rng, domain.edges), np.float32))
    return np.concatenate(pieces), spans


def _silence(rng: random.Random, seconds: Range) -> int:
    return round(rng.uniform(*seconds) * RATE)


def _quietest(samples: np.ndarray, boundary: int) -> int:
    """The calmest place within 10 ms of a word boundary: a cut there clicks least."""
    frame = RATE // 400
    around = range(max(0, boundary - 4 * frame), boundary + 4 * frame + 1, frame)
    return min(around, key=lambda at: float(np.abs(samples[max(0, at - frame) : at + frame]).sum()))


def _fade(piece: np.ndarray, *, at_end: bool) -> None:
    length = min(len(piece), RATE // 200)
    ramp = np.linspace(0, 1, length, dtype=np.float32)
    if at_end:
        piece[len(piece) - length :] *= ramp[::-1]
    else:
        piece[:length] *= ramp


def _loudness(samples: np.ndarray) -> float:
    """Root mean square where there is something to hear."""
    heard = samples[np.abs(samples) > _QUIET * np.abs(samples).max()]
    return float(np.sqrt(np.mean(heard**2))) if heard.size else 0.0


def _numpy(rng: random.Random) -> np.random.Generator:
    digest = hashlib.sha256(str(rng.random()).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _noise(
    length: int, kinds: tuple[str, ...], rng: random.Random, babble: np.ndarray
) -> np.ndarray:
    """A random mixture of the kinds, of root mean square one."""
    source = _numpy(rng)
    total = np.zeros(length)
    for kind in kinds:
        if kind == "babble":
            first = rng.randrange(len(babble))
            part = np.concatenate((babble[first:], babble))
            part = np.resize(part, length) if len(part) < length else part[:length]
        else:
            part = source.standard_normal(length)
        if kind == "pink":  # the usual three-pole approximation of 1/f, about one on average
            part = _PINK_GAIN * signal.lfilter(_PINK_ZEROS, _PINK_POLES, part)
        total += rng.random() * part
    return total / max(float(np.sqrt(np.mean(total**2))), 1e-9)


def _band(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    """Butterworth band limits without phase, so that word times stay true."""
    length = fft.next_fast_len(len(samples), real=True)
    frequency = fft.rfftfreq(length, 1 / SAMPLE_RATE)
    frequency[0] = 1e-3
    gain = 1 / np.sqrt((1 + (low / frequency) ** 8) * (1 + (frequency / high) ** 8))
    return fft.irfft(fft.rfft(samples, length) * gain, length)[: len(samples)]


def _reverberate(samples: np.ndarray, seconds: float, rng: random.Random) -> np.ndarray:
    """Direct sound plus a decaying tail of noise; no delay, so word times stay true."""
    length = int(seconds * SAMPLE_RATE)
    tail = _numpy(rng).standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail *= 0.5 / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return signal.oaconvolve(samples, tail)[: len(samples)]
