"""How much of a figure's scatter over trained models each level of chance causes.

Models are cells of a design: speech encoders crossed with language models, common checkpoints
inside these pairs, arms' seeds inside the checkpoints, each as far as it was repeated. A level is a
partition of the cells into groups, and a cell's figure the sum of one draw per level. The
variances of these draws are solved from as many sums of squares between groups, whose expectations
are linear in them (Henderson's first method; in a full design these are the estimates of the
analysis of variance). It needs no full design: a Latin square, or one with holes, will do. A level
whose variance comes out negative is left out, the most negative first, and the rest solved again.

The figure is the plain mean of the cells. Its variance follows from the same components, and its
degrees of freedom are Satterthwaite's, from the variance of the quadratic form; that plug-in gives
too few where few groups differ by chance, so it is mended as Welch (1947) did for two terms.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Groups = NDArray[np.intp]  # (cells,): the group of each
CROSSED = " × "  # between two levels that are crossed, for what is neither's alone


class Variances(NamedTuple):
    """Estimates for one figure, level by level in the order given."""

    single: dict[str, float]  # variance of one draw
    weight: dict[str, float]  # by what it counts in the variance of the mean
    chance: dict[str, float]  # part of `single` that is chance in how speakers fare with a model
    freedom: float  # degrees of freedom of `mean`

    @property
    def mean(self) -> float:
        """Variance of the mean of the cells, that chance included."""
        return sum(self.weight[level] * value for level, value in self.single.items())

    @property
    def mean_chance(self) -> float:
        """What of that would change with the speakers."""
        return max(0.0, sum(self.weight[level] * value for level, value in self.chance.items()))


class Component(NamedTuple):
    """One level's part in how far a difference may lie off; the parts add up to all of it."""

    level: str  # as people call it
    variance: float  # of the difference, by this level alone
    draws: int  # that were made of it


def levels_of(labels: Sequence[Mapping[str, str]], order: Sequence[str]) -> dict[str, Groups]:
    """Partition cells into groups, level by level; the labels of a cell are by level.

    `order` is from the outermost to the innermost level. The first two may be crossed; where both
    vary, "A × B" is their pairing. The others are nested: seed 1 of two checkpoints is two draws.
    A level that groups as one before it cannot be told from it and is joined to it ("A + B").
    """
    first, second = order[:2]
    path: list[tuple[str, ...]]
    path = [(label.get(first, ""), label.get(second, "")) for label in labels]
    named = {
        first: [pair[:1] for pair in path],
        second: [pair[1:] for pair in path],
        first + CROSSED + second: path,
    }
    for level in order[2:]:
        path = [(*above, label.get(level, "")) for above, label in zip(path, labels, strict=True)]
        if any(label.get(level) for label in labels):
            named[level] = path
    found: dict[str, Groups] = {}
    for level, keys in named.items():
        groups = np.unique([repr(key) for key in keys], return_inverse=True)[1]
        if len(set(groups)) < 2:
            continue
        same = next((name for name, other in found.items() if np.array_equal(groups, other)), None)
        if same is None:
            found[level] = groups
        elif CROSSED not in level:
            joined = f"{same} + {level}"
            found = {joined if name == same else name: value for name, value in found.items()}
    return found


def variances(values: Array, influence: Array, levels: Mapping[str, Groups]) -> Variances:
    """Estimate the variances behind cells' figures `values` (cells,).

    `influence` (cells, speakers) is by how much a cell's figure is what it is because of a speaker,
    0 on average. From it follows what other speakers would make of the same sums of squares. It is
    chance in how a speaker fares with a model, which a bootstrap over speakers has too.
    """
    kept = list(levels)
    while True:
        expected = [[_expected(levels[one], levels[other]) for other in kept] for one in kept]
        solve = np.linalg.pinv(np.array(expected))
        single = solve @ [_between(values[:, None], levels[level]) for level in kept]
        if len(kept) == 1 or single[:-1].min() >= 0:
            break
        del kept[int(np.argmin(single[:-1]))]
    single = np.maximum(single, 0)
    chance = solve @ [_between(influence, levels[level]) for level in kept]
    weight = np.array([(np.bincount(levels[level]) ** 2.0).sum() for level in kept])
    weight = weight / len(values) ** 2
    forms = [_same(levels[level], mean=True) - 1 / len(values) for level in kept]
    form = np.tensordot(weight @ solve, np.array(forms), 1)  # (cells, cells)
    spread = np.tensordot(single, np.array([_same(levels[level]) for level in kept]), 1)
    places = {level: place for place, level in enumerate(kept)}

    def named(found: Array) -> dict[str, float]:
        return {name: float(found[places[name]]) if name in places else 0.0 for name in levels}

    groups = [len(set(levels[level])) for level, one in zip(kept, single, strict=True) if one > 0]
    fewest = min(groups or [len(set(levels[kept[-1]]))]) - 1
    return Variances(named(single), named(weight), named(chance), _freedom(form @ spread, fewest))


def _freedom(product: Array, fewest: int) -> float:
    square = float((product * product.T).sum())
    if not square > 0:
        return float(fewest)
    plugged_in = float(np.trace(product)) ** 2 / square
    return max(float(fewest), plugged_in * (fewest + 2) / fewest - 2)


def _same(groups: Groups, mean: bool = False) -> Array:
    """One where two cells share a group; with `mean`, what averages over groups."""
    same = (groups[:, None] == groups[None]).astype(np.float64)
    return same / same.sum(axis=1, keepdims=True) if mean else same


def _between(columns: Array, groups: Groups) -> float:
    """Add up, over columns (cells, N), the squares between groups."""
    size = np.bincount(groups).astype(np.float64)
    sums = np.zeros((len(size), columns.shape[1]))
    np.add.at(sums, groups, columns)
    total = columns.sum(axis=0)
    return float((sums**2 / size[:, None]).sum() - (total**2).sum() / len(columns))


def _expected(between: Groups, level: Groups) -> float:
    """By how much a level's variance counts in the expected sum of squares between groups."""
    counts = np.zeros((between.max() + 1, level.max() + 1))
    np.add.at(counts, (between, level), 1.0)
    own = (counts**2).sum(axis=1) / counts.sum(axis=1)
    return float(own.sum() - (counts.sum(axis=0) ** 2).sum() / len(between))
