"""The measurements in the order in which the likelihood reads them: blocks of points, and in them packs of eight."""

import numpy as np

from bayeslaw.sampler.blocks import Block
from bayeslaw.sampler.error_density import patterns
from bayeslaw.sampler.lanes import LANES
from bayeslaw.spec.design import Design
from bayeslaw.spec.noise import Noise

__all__ = ["packed"]

CELLS = 1000
"""Measurements of a block, about: as many as keep what is computed of them in the processor's cache."""


def packed(
    d: Design, noise: Noise, block: Block, cell: np.ndarray
) -> tuple[list[Block], dict[str, np.ndarray], tuple[np.ndarray, ...]]:
    """Return the blocks of the measurements, and the arrays that the likelihood reads (`bayeslaw.sampler.likelihood`).

    Last come a row and a validation set for every cell of the blocks (0 for cells without a measurement), and where the
    cells of each block begin.

    A block holds whole groups where the design is crossed, whole runs where it is not.

    Parameters
    ----------
    block, cell
        All measurements as one block, and the cell (row, eval) of each.
    """
    along, seen = noise.correlated or noise.joint, d.measured.values
    order, own = d.order(), len(block) // block.shape[0]
    start = order["start"] if noise.correlated else np.arange(len(seen))
    point, loss = cell // own, np.where(seen, d.rows["loss"].transpose("row", "eval").values, 1.0)
    of_row = {
        "size": d.log_size(d.rows).broadcast_like(d.rows["run"]).values.astype(float),
        "batch_number": d.batches[1] if noise.batch else np.full(len(seen), -1),
    }
    shared, first, pattern = patterns(seen, order["gap"], start) if along else ([], [], [])
    runs, begins, blocks, starts = np.array(first, int), np.array(pattern, int), [], [0]
    packs: list[np.ndarray] = [np.zeros((0, 4), int)]
    of_cell: list[np.ndarray] = []
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("cell", "loss", "known", *of_row)}

    def take(rows: np.ndarray, evals: slice, begin: int, lanes: np.ndarray) -> None:
        """Add packs of rows (pack, row, lane)."""
        for name, x in (("cell", at), ("loss", loss), ("known", d.known_error)):
            found[name].append(x[rows][..., evals].transpose(0, 1, 3, 2).ravel())
        for name, x in of_row.items():
            found[name].append(x[rows].ravel())
        size = rows.shape[1] * LANES * loss[:, evals].shape[1]
        ahead = sum(map(len, found["cell"])) - size * len(rows)
        where = ahead + size * np.arange(len(rows))
        packs.append(np.column_stack([np.full_like(where, begin), np.full_like(where, rows.shape[1]), lanes, where]))

    for part in _parts(point[start, 0], seen.sum(axis=1)):
        points = np.unique(point[part][seen[part]])
        at = np.minimum(np.searchsorted(points, point), len(points) - 1) * own + cell % own
        blocks.append(Block(tuple(x[..., points] for x in block.covariates), block.entry[:, points]))
        row, ev = np.nonzero(seen & part[:, None])
        of_cell.append(np.zeros((2, len(blocks[-1])), int))
        of_cell[-1][:, at[row, ev]] = row, ev
        if along:
            inside = np.flatnonzero(part[runs[:-1]])
            for begin in np.unique(begins[inside]):
                lanes, eight = _eights(inside[begins[inside] == begin])
                length = runs[eight[0, 0] + 1] - runs[eight[0, 0]]
                take(runs[eight][:, None] + np.arange(length)[:, None], slice(None), begin, lanes)
        else:
            for e in range(seen.shape[1]):
                if (rows := np.flatnonzero(part & seen[:, e])).size:
                    lanes, eight = _eights(rows)
                    take(eight[:, None], slice(e, e + 1), e, lanes)
        starts.append(sum(map(len, packs)))
    arrays = {name: np.concatenate(x) for name, x in found.items()}
    arrays |= dict(zip(("measured", "gap", "start", "times"), shared, strict=False))
    begin = np.cumsum([0, *(x.shape[1] for x in of_cell)])
    cells = (*np.concatenate(of_cell, axis=1), begin)
    return blocks, {**arrays, "packs": np.concatenate(packs), "packs_at": np.array(starts)}, cells


def _parts(unit: np.ndarray, measurements: np.ndarray) -> list[np.ndarray]:
    """Return which rows are of each block, with the rows of a unit in one."""
    number = np.unique(unit, return_inverse=True)[1]
    ahead = np.cumsum(np.bincount(number, measurements)) // CELLS
    part = np.unique(ahead[number], return_inverse=True)[1]
    return [part == n for n in range(part.max() + 1)]


def _eights(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers (pack, lane), the first one in lanes that are left over, and how many lanes of each are used."""
    short = -len(numbers) % LANES
    eight = np.append(numbers, np.full(short, numbers[0])).reshape(-1, LANES)
    lanes = np.full(len(eight), LANES)
    lanes[-1] -= short
    return lanes, eight
