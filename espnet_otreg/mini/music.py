"""Music-like sound where nobody speaks: broken and struck chords that die away.

It stands for jingles and background music in real recordings: harmonic and changing like a voice,
but without a linguistic counterpart.
"""

import numpy as np

_PROGRESSION = (0, 5, 7, 3, 9)  # semitones from the key, of the chords' roots
_TRIADS = ((0, 4, 7), (0, 3, 7))  # major, minor
_STRING = (1 / 5, 1 / 4, 1 / 3, 1 / 2, 1, 0)  # of a plucked string, the fifth partial first
_ATTACK, _RAMP = 0.005, 0.01  # seconds
_SHORTEST_GAP = 4 * _RAMP


def between_words(
    length: int, words: list[tuple[int, int]], rate: int, source: np.random.Generator
) -> np.ndarray:
    """A tune that sounds in the gaps alone, of root mean square one over them.

    `words` are the (start, end) samples at which somebody speaks, in order.
    """
    gate = gaps(length, words, rate)
    tune = compose(length, rate, source) * gate
    heard = tune[gate > 0]
    return tune / max(float(np.sqrt(np.mean(heard**2))), 1e-9) if heard.size else tune


def gaps(length: int, words: list[tuple[int, int]], rate: int) -> np.ndarray:
    """One where nobody speaks, with ramps inside the gaps, zero elsewhere; (length,)."""
    gate = np.zeros(length)
    ramp = round(_RAMP * rate)
    starts = [0, *(end for _, end in words)]
    ends = [*(start for start, _ in words), length]
    for start, end in zip(starts, ends, strict=True):
        if end - start < _SHORTEST_GAP * rate:  # words that touch, or nearly
            continue
        gate[start:end] = 1.0
        gate[start : start + ramp] = np.linspace(0, 1, ramp, endpoint=False)
        gate[end - ramp : end] = np.linspace(1, 0, ramp, endpoint=False)
    return gate


def compose(length: int, rate: int, source: np.random.Generator) -> np.ndarray:
    """Chords of a random key and tempo, each struck at once or note by note; (length,)."""
    tune = np.zeros(length)
    key = source.uniform(110, 220)  # hertz
    beat = round(source.uniform(0.12, 0.3) * rate)
    triad = _TRIADS[source.integers(len(_TRIADS))]
    for bar in range(0, length, 3 * beat):
        root = source.choice(_PROGRESSION)
        broken = source.random() < 0.7
        for step, interval in enumerate(triad):
            onset = bar + step * beat * broken
            frequency = key * 2 ** ((root + interval + 12 * source.integers(2)) / 12)
            note = _note(frequency, min(length - onset, 4 * beat), rate, source.uniform(0.2, 0.8))
            tune[onset : onset + len(note)] += note
    return tune


def _note(frequency: float, length: int, rate: int, decay: float) -> np.ndarray:
    """A plucked string: the sum of z^k / k, partials that die the sooner the higher they are."""
    time = np.arange(max(length, 0)) / rate
    fundamental = np.exp((2j * np.pi * frequency - 1 / decay) * time)
    return np.polyval(_STRING, fundamental).imag * np.minimum(1, time / _ATTACK)
