"""The corpus `natural`: real sentences, spoken by natural synthetic voices.

`sentences` takes them out of packaged texts, `voices` speak them, `build` renders them with the
mini corpora's pauses, noise and channel and writes CoVoST-2's layout. Here is how it sounds, and
how large it is.

The voices are few, so a speaker is a voice with a pitch and a rate of its own, as in the mini
corpora: no speaker is in two splits, every voice is in all of them.
"""

from dataclasses import replace

from espnet_otreg.mini.domains import DOMAINS, GRADED, MUSIC, Domain, Range

NAME = "natural"
VOICES = {  # by language; `voices.py` knows them
    "en": ("pico:en-US", "hibari:heart", "piper:joe", "pico:en-GB"),
    "es": ("pico:es-ES",),
    "fr": ("pico:fr-FR",),
}
# without more than py-nanotts, for tests of an installation
SMOKE_VOICES = {**VOICES, "en": ("pico:en-US", "pico:en-GB")}

# Rates are percent of a voice's own, pitch is 50 at its own and 15 more is 7 % higher. Noise and
# channel are those of the mini corpora's narrow domain: natural voices are harder to understand.
_SOUND = replace(
    DOMAINS["covost2"],
    speakers=(24, 8, 16),
    rates=((92, 108),),
    rate_spread=0.03,
    pitch=(35, 65),
    pause_share=0.3,
    pause=(0.05, 0.3),
    edges=(0.05, 0.25),
)
LEVELS = 3  # of ever more pauses, noise and music where nobody speaks; 0 is what recipes train on


def domain(language: str, level: int, size: str) -> Domain:
    """How a language sounds at a level: the graded mini corpora's steps on top of level 0."""
    voices = (SMOKE_VOICES if size == "smoke" else VOICES)[language]
    sound = replace(_SOUND, voices=voices)
    if not level:
        return sound
    step = GRADED[f"graded{level}"]
    return replace(
        sound, pause_share=step.pause_share, pause=step.pause, edges=step.edges, snr=step.snr
    )


def music(level: int) -> Range | None:
    """Decibels of music against the speech, where nobody speaks."""
    return MUSIC.get(f"graded{level}")


_FULL = {"en": (3600, 150, 400), "es": (3600, 150, 400), "fr": (3600, 100, 320)}
SIZES: dict[str, dict[str, tuple[int, int, int]]] = {  # sentences in train, dev, test
    "smoke": dict.fromkeys(VOICES, (6, 3, 3)),
    "hour": {language: (1100, dev, test) for language, (_, dev, test) in _FULL.items()},
    "full": _FULL,
    "large": {**_FULL, "en": (10800, 150, 400)},  # all English that is packaged; dev, test as full
}
FEWEST = {  # sentences left to train, below which a language is refused
    "smoke": 6,
    **dict.fromkeys(("hour", "full", "large"), 600),
}
