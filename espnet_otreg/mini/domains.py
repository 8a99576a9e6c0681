"""How each mini corpus sounds, and how large it is: all the knobs, in tables.

`read` is broad and for pretraining. `covost2` and `fleurs` are narrow and differ from each other in
voices, rate, pauses, noise and channel, but not in language or words. `graded0` to `graded2` have
the voices of `covost2` and ever more time in which nobody speaks, filled with noise and music.
`broad` holds the conditions of all of them and more: for an encoder that has heard everything.
`librispeech` sounds like `read`, and `commonvoice` like `covost2`, by other people: they complete
the published protocol's corpora.
"""

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, replace

Range = tuple[float, float]


@dataclass(frozen=True)
class Domain:
    """One recording condition; every range is drawn from uniformly, per clip unless said."""

    voices: tuple[str, ...]  # eSpeak NG variants
    speakers: tuple[int, int, int]  # at most, in train, dev, test; no speaker is in two splits
    rates: tuple[Range, ...]  # words per minute; a speaker keeps to one of the ranges
    rate_spread: float  # a clip's rate is its speaker's, plus or minus this share
    pitch: Range  # of a speaker, 0 to 99
    intonation: Range  # pitch range of a clip, 0 to 99
    pause_share: float  # of word boundaries that get a pause
    pause: Range  # seconds
    edges: Range  # seconds of silence before and after the words
    noises: tuple[str, ...]  # of white, pink, babble; weights are drawn for each clip
    snr: Range  # decibels
    reverb_share: float  # of clips
    reverb_time: Range  # seconds until 60 dB down
    highpass: Range  # hertz
    lowpass: Range  # hertz
    level: Range  # decibels below full scale, root mean square of the speech


DOMAINS = {
    "read": Domain(
        voices=("m1", "f1", "m2", "f2", "m3", "f3", "m4", "f4", "m7", "f5"),
        speakers=(64, 8, 16),
        rates=((135, 190),),
        rate_spread=0.05,
        pitch=(30, 70),
        intonation=(30, 70),
        pause_share=0.10,
        pause=(0.05, 0.5),
        edges=(0.05, 0.3),
        noises=("white", "pink", "babble"),
        snr=(18, 40),
        reverb_share=0.0,
        reverb_time=(0.1, 0.2),
        highpass=(20, 150),
        lowpass=(5500, 7600),
        level=(-30, -16),
    ),
    "covost2": Domain(
        voices=("m3", "f2", "m1", "f4"),
        speakers=(12, 4, 16),
        rates=((150, 170),),
        rate_spread=0.02,
        pitch=(40, 60),
        intonation=(45, 55),
        pause_share=0.0,
        pause=(0.0, 0.0),
        edges=(0.05, 0.15),
        noises=("white", "pink"),
        snr=(25, 40),
        reverb_share=0.0,
        reverb_time=(0.1, 0.1),
        highpass=(20, 60),
        lowpass=(7000, 7600),
        level=(-24, -18),
    ),
    "fleurs": Domain(
        voices=("m2", "f1", "m7", "f3", "m4"),
        speakers=(20, 10, 20),
        rates=((120, 138), (182, 200)),
        rate_spread=0.03,
        pitch=(30, 70),
        intonation=(30, 70),
        pause_share=0.15,
        pause=(0.1, 0.7),
        edges=(0.05, 0.3),
        noises=("white", "pink", "babble"),
        snr=(10, 20),
        reverb_share=0.3,
        reverb_time=(0.1, 0.25),
        highpass=(100, 300),
        lowpass=(4000, 7000),
        level=(-30, -16),
    ),
}  # fmt: skip

# One family: the same people, and the same sentences in dev and test, so that levels compare clip
# by clip; training sentences differ, so that the levels' training sets can be joined.
GRADED = {
    "graded0": DOMAINS["covost2"],
    "graded1": replace(
        DOMAINS["covost2"], pause_share=0.25, pause=(0.1, 0.4), edges=(0.2, 0.5), snr=(15, 25)
    ),
    "graded2": replace(
        DOMAINS["covost2"], pause_share=0.5, pause=(0.2, 0.8), edges=(0.4, 1.0), snr=(8, 15)
    ),
}

# decibels of the music against the speech, where nobody speaks; corpora not named have none
MUSIC: dict[str, Range] = {"graded1": (-22, -14), "graded2": (-12, -4)}

PRETRAINING = {
    "broad": replace(
        DOMAINS["read"],
        rates=((118, 202),),
        pause=(0.05, 0.7),
        snr=(10, 40),
        reverb_share=0.2,
        reverb_time=(0.1, 0.25),
        highpass=(20, 300),
        lowpass=(4000, 7600),
    )
}

PROTOCOL = {
    "librispeech": replace(DOMAINS["read"], noises=("white", "pink"), snr=(22, 40)),
    "commonvoice": replace(DOMAINS["covost2"], snr=(15, 35), level=(-30, -18)),
}

# of corpora that are not in every mini language
LANGUAGES_OF: dict[str, tuple[str, ...]] = {"librispeech": ("en",)}

EVERY: Mapping[str, Domain] = ChainMap(DOMAINS, GRADED, PRETRAINING, PROTOCOL)


def family(corpus: str) -> str:
    """Whose people and sentences a corpus has: its own, but the graded ones share theirs."""
    return "graded" if corpus in GRADED else corpus


# clips per language in train, dev, test
_MINI: dict[str, tuple[int, int, int]] = {
    **{"read": (2000, 30, 30), "covost2": (450, 40, 100), "fleurs": (450, 40, 100)},
    **dict.fromkeys(GRADED, (100, 20, 60)),
    **{"broad": (3000, 30, 30), "librispeech": (2000, 40, 100), "commonvoice": (450, 40, 100)},
}
SIZES: dict[str, dict[str, tuple[int, int, int]]] = {
    "smoke": {
        **{"read": (10, 3, 3), "covost2": (10, 3, 3), "fleurs": (10, 3, 3)},
        **dict.fromkeys(GRADED, (4, 1, 3)),
        **{"broad": (10, 3, 3), "librispeech": (10, 4, 4), "commonvoice": (10, 3, 3)},
    },
    "mini": _MINI,
    "wide": {  # trains as mini does, and tests on five times as much
        **{"read": (2000, 30, 30), "covost2": (450, 40, 500), "fleurs": (450, 40, 500)},
        **dict.fromkeys(GRADED, (100, 20, 300)),
        **{"broad": (3000, 30, 30), "librispeech": (2000, 40, 500), "commonvoice": (450, 40, 500)},
    },
    "tune": {  # as mini, but for dev sets five times as large, of what is tuned on
        **{"read": (2000, 30, 30), "covost2": (450, 40, 100), "fleurs": (450, 200, 100)},
        **dict.fromkeys(GRADED, (100, 100, 60)),
        **{"broad": (3000, 30, 30), "librispeech": (2000, 40, 100), "commonvoice": (450, 40, 100)},
    },
    # As mini, but a quarter of the graded training sets, or three times them; tests of 100 clips.
    "little": {**_MINI, **dict.fromkeys(GRADED, (25, 20, 100))},
    "more": {**_MINI, **dict.fromkeys(GRADED, (300, 20, 100))},
    "large": {
        **{"read": (12000, 300, 500), "covost2": (4000, 300, 500), "fleurs": (4000, 300, 500)},
        **dict.fromkeys(GRADED, (2000, 100, 500)),
        "broad": (18000, 300, 300),
        **{"librispeech": (12000, 300, 500), "commonvoice": (4000, 300, 500)},
    },
}
