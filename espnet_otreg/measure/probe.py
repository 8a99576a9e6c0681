"""What can still be read from an encoder's frames: linear probes of the recording's conditions.

A speech language model can only overfit to voices and rates that its encoder's frames still carry.
"""

from collections.abc import Sequence

import numpy as np

_STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # of the ridge penalty, per recording, on standard features
_FOLDS = 5


def pooled(frames: np.ndarray) -> np.ndarray:
    """Describe frames (T, D) by their means and deviations over time (2 D,)."""
    return np.concatenate([frames.mean(0), frames.std(0)]).astype(np.float64)


def explained(features: np.ndarray, values: Sequence[float]) -> float:
    """Return R² of a linear probe (N, F) -> values (N,) on recordings it was not fitted to."""
    target = np.asarray(values, np.float64)
    found = _crossed(features, target[:, None])[:, 0]
    return 1 - float(((target - found) ** 2).sum() / ((target - target.mean()) ** 2).sum())


def recognised(features: np.ndarray, classes: Sequence[str]) -> float:
    """Return the accuracy of a linear probe of classes on recordings it was not fitted to."""
    names = sorted(set(classes))
    truth = np.array([names.index(name) for name in classes])
    found = _crossed(features, np.eye(len(names))[truth]).argmax(1)
    return float((found == truth).mean())


def _crossed(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Predict each fold by ridge regression on the others; every fifth recording is one fold.

    The penalty is the one that does best when the others are crossed in the same way.
    """
    scale = features.std(0)
    x = (features - features.mean(0)) / np.where(scale > 0, scale, 1)
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    fold = np.arange(len(x)) % _FOLDS
    found = np.empty_like(targets)
    for held in range(_FOLDS):
        rest, y = x[fold != held], targets[fold != held]
        inner = np.arange(len(rest)) % _FOLDS

        def error(strength: float, rest: np.ndarray = rest, y: np.ndarray = y,
                  inner: np.ndarray = inner) -> float:  # fmt: skip
            return sum(
                float(((y[inner == k] - _ridge(rest, y, inner == k, strength)) ** 2).sum())
                for k in range(_FOLDS)
            )

        best = min(_STRENGTHS, key=error)
        found[fold == held] = _ridge(x, targets, fold == held, best)
    return found


def _ridge(x: np.ndarray, y: np.ndarray, held: np.ndarray, strength: float) -> np.ndarray:
    """Fit on what is not held out, predict what is."""
    fit = x[~held]
    penalty = strength * len(fit) * np.eye(x.shape[1])
    penalty[-1, -1] = 0  # the constant is free
    return x[held] @ np.linalg.solve(fit.T @ fit + penalty, fit.T @ y[~held])
