"""The page on which a model is tried in a browser: what `espnet-otreg demo` shows.

service.py holds the model and answers one recording at a time; server.py speaks HTTP, and with
nobody but the page; page/ is the page itself, which needs no other machine.
Here is what the page is told about a transcript.
"""

import base64
from typing import Any

import numpy as np

from espnet_otreg.languages import find_language
from espnet_otreg.transcribe import Plan, Transcript

LOUDNESS_RATE = 100  # pieces of the drawn waveform per second
SILENT = 1e-3  # of full scale: where no sample is louder, there is nothing to hear


def told(transcript: Transcript, samples: np.ndarray, rate: int, name: str) -> dict[str, Any]:
    """Write a transcript for the page: words, the outline of the wave, and plans.

    Matrices are bytes in base64: of the wave the lowest and the highest sample of each piece, one
    after the other; of a plan a frame's shares, frame after frame.
    """
    return {
        "name": name,
        "duration": round(len(samples) / rate, 3),
        "language": transcript.language,
        "text": transcript.text,
        "words": transcript.row()["words"],
        "guessed": transcript.guessed,
        "wave": {"rate": LOUDNESS_RATE, "bytes": _packed(outline(samples, rate))},
        "plans": [_told_plan(plan) for plan in transcript.plans],
    }


def outline(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return the lowest and the highest sample of each piece (N, 2), as 0 to 255 about 128."""
    size = max(rate // LOUDNESS_RATE, 1)
    count = -(-len(samples) // size)
    padded = np.zeros(count * size, np.float32)
    padded[: len(samples)] = samples
    pieces = padded.reshape(count, size)
    both = np.stack([pieces.min(1), pieces.max(1)], 1)
    return np.clip(np.rint(128 + 127 * both), 0, 255).astype(np.uint8)


def loudest(samples: np.ndarray) -> float:
    """Return how many decibels below full scale the loudest sample is."""
    return float(-20 * np.log10(max(float(np.abs(samples).max(initial=0.0)), 1e-6)))


def named(codes: tuple[str, ...]) -> dict[str, str]:
    """Name languages in English, by code."""
    found = {code: find_language(code) for code in codes}
    return {code: language.name if language else code for code, language in found.items()}


def _told_plan(plan: Plan) -> dict[str, Any]:
    return {
        "labels": plan.labels,
        "mass": [round(float(share), 4) for share in plan.mass],
        "rows": plan.rows,
        "first": plan.first,
        "hop": plan.hop,
        "start": round(plan.start, 3),
        "frames": len(plan.shares),
        "bytes": _packed(np.rint(255 * np.clip(plan.shares, 0, 1)).astype(np.uint8)),
    }


def _packed(matrix: np.ndarray) -> str:
    return base64.b64encode(matrix.tobytes()).decode("ascii")
