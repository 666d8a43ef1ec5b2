"""The log density of a model and its gradient, as the sampler evaluates them.

Compiling the gradient of the whole PyMC model takes minutes for a correlated error model. Only the law differs from
model to model, so PyTensor differentiates only the law (`bayeslaw.sampler.kernels`); the derivatives of priors, pooling
and errors are written by hand. The value equals ``pymc_model.logp()`` up to a constant.
"""

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.declare.laws import Law
from bayeslaw.sampler.blocks import Block, block_arrays
from bayeslaw.sampler.compiled import PARAMETERS, evaluate, gradient_of_errors
from bayeslaw.sampler.likelihood import correlated, independent
from bayeslaw.sampler.misfit import misfit_parts
from bayeslaw.sampler.packs import packed
from bayeslaw.sampler.parameters import Parameters
from bayeslaw.sampler.stored import stored
from bayeslaw.sampler.table import Tables
from bayeslaw.spec.design import Design
from bayeslaw.spec.shape import RISE
from bayeslaw.spec.specification import Specification

__all__ = ["Density"]

WITHOUT_LOSSES = ("parameters", "labels", "flat", "measured", "shape", "margins", "weights", "basis", "_misfit")
"""What does not depend on the losses, and is the same beside other losses."""


@dataclass(frozen=True, eq=False)
class Density:
    """The log density of a model's parameters given its measurements."""

    model: Specification

    @property
    def design(self) -> Design:
        """The measurements."""
        return self.model.design

    @cached_property
    def parameters(self) -> Parameters:
        """The blocks of the parameter vector."""
        return Parameters(self.model)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.parameters.size

    @cached_property
    def labels(self) -> dict[str, np.ndarray]:
        """Positions along ``eval`` and every group dimension of the points, which are all combinations of them."""
        sizes = {"eval": len(self.design.evals), **{g: len(v) for g, v in self.design.groups.items()}}
        number = np.unravel_index(np.arange(math.prod(sizes.values())), tuple(sizes.values()))
        return dict(zip(sizes, number, strict=True))

    @cached_property
    def flat(self) -> tuple[str, ...]:
        """Name of the coefficient in each row of `entries`: once per label if it has a dim of its own."""
        sizes = {dim: len(labels) for dim, labels in self.design.over.items()}
        coefficients = self.model.law.coefficients.items()
        return tuple(name for name, c in coefficients for _ in range(sizes[c.over] if c.over else 1))

    def entries(self, labels: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the entries (coefficient, point) of the coefficients of labelled points."""
        found = []
        for row, name in enumerate(self.flat):
            block, over = self.parameters[name], self.model.law.coefficients[name].over
            own = {over: np.full_like(labels["eval"], row - self.flat.index(name))} if over else {}
            at = tuple({**labels, **own}[d] for d in block.dims)
            number = np.ravel_multi_index(at, block.shape) if at else 0
            found.append(np.broadcast_to(block.place.start + number, labels["eval"].shape))
        return np.array(found)

    def by_label(self, value: xr.DataArray) -> list[xr.DataArray]:
        """Return a covariate, split into one array per label if it has a dim of its own."""
        own = [dim for dim in value.dims if dim in self.design.over]
        return [value.isel({own[0]: i}, drop=True) for i in range(value.sizes[own[0]])] if own else [value]

    @cached_property
    def measured(self) -> tuple[Block, np.ndarray]:
        """The block of the measurements, and the cell (row, eval) of each."""
        d = self.design
        row, ev = np.indices(d.measured.shape)
        if not d.on_grid:
            columns = [c for v in self.model.law.inputs(d.rows, d.reference).values() for c in self.by_label(v)]
            both = [v.broadcast_like(d.measured).transpose("row", "eval").values.ravel() for v in columns]
            labels = {g: pd.Index(v).get_indexer(d.rows[g].values)[row.ravel()] for g, v in d.groups.items()}
            cell = np.arange(row.size).reshape(row.shape)
            ones = (1,) * len(self.model.law.covariates)
            return Block(tuple(x.reshape(*ones, -1) for x in both), self.entries({"eval": ev.ravel(), **labels})), cell
        block = self._crossed(d.inputs())
        position = d.positions()
        by_point = [position[g][row] for g in d.groups]
        point = np.ravel_multi_index((ev, *by_point), (len(d.evals), *(len(v) for v in d.groups.values())))
        by_axis = []
        for name, cov in self.model.law.covariates.items():
            (column,) = cov.columns(name)
            by_axis.append(np.zeros_like(row) if column in d.groups else position[column][row])
        return block, np.ravel_multi_index((point, *by_axis), block.shape)

    def _crossed(self, inputs: Mapping[str, xr.DataArray]) -> Block:
        """Return a block of all combinations of levels, for every validation set and group."""
        covariates = []
        for number, covariate in enumerate(inputs.values()):
            for value in self.by_label(covariate):
                own = [dim for dim in value.dims if dim not in ("eval", *self.design.groups)]
                at = {dim: xr.DataArray(self.labels[str(dim)], dims="point") for dim in value.dims if dim not in own}
                points = xr.DataArray(np.zeros(len(self.labels["eval"])), dims="point")
                array = (value.isel(at) + points).transpose(*own, "point").values
                shape = [1] * len(inputs)
                shape[number] = len(array) if own else 1
                covariates.append(array.reshape(*shape, -1))
        return Block(tuple(covariates), self.entries(self.labels))

    @cached_property
    def shape(self) -> list[tuple[Block, np.ndarray, np.ndarray]]:
        """Blocks of the shape prior, and pairs of cells between which the loss must fall."""
        if self.model.monotone != "observed":
            return []
        found = []
        for name, ends in self.model.shape.ends().items():
            block = self._crossed(ends)
            number = np.moveaxis(np.arange(len(block)).reshape(block.shape), list(ends).index(name) + 1, 0)
            found.append((block, number[:-1].ravel(), number[1:].ravel()))
        return found

    @cached_property
    def margins(self) -> list[tuple[Law, Block]]:
        """The amounts that the paper's sufficient condition keeps above 0, as laws, and their blocks.

        An amount counts once for each set of coefficients, even if several groups share the set.
        """
        if self.model.monotone != "paper":
            return []
        lowest = {k: xr.DataArray([float(v.min())], dims=f"{k}_level") for k, v in self.model.shape.grid.items()}
        block = self._crossed(lowest)
        c = self.parameters.natural(self.parameters.draw(1, np.random.default_rng(0))[0])[0]
        found = []
        for margin in self.model.shape.margins.values():
            used = (block.evaluate(margin, c)[1] != 0).any(axis=(1, 2))
            once = np.unique(block.entry[used], axis=1, return_index=True)[1]
            found.append((margin, Block(tuple(v[..., once] for v in block.covariates), block.entry[:, once])))
        return found

    def __call__(self, v: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log density (up to a constant) and its gradient at an unconstrained parameter vector."""
        return evaluate(v, self._table[PARAMETERS])

    @cached_property
    def _table(self) -> Tables:
        return Tables(self.arrays)

    @cached_property
    def _packed(self) -> tuple[list[Block], dict[str, np.ndarray], tuple[np.ndarray, ...]]:
        return packed(self.design, self.model.noise, *self.measured)

    @cached_property
    def blocks(self) -> list[tuple[Law, Block]]:
        """The blocks of the compiled density, each with its law: of the measurements, the shape prior, and margins."""
        blocks = [*self._packed[0], *(block for block, *_ in self.shape)]
        return [*((self.model.law, block) for block in blocks), *self.margins]

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of the compiled density (`bayeslaw.sampler.table`)."""
        noise, at, (measured, data, _) = self.model.noise, self.parameters, self._packed
        pairs = [np.column_stack(ends) for _, *ends in self.shape] or [np.zeros((0, 2), int)]
        floors = [(at[name].entries, lowest) for name, lowest in self._floors]
        names = ("sigma", "run_weight", "correlation_length", "eval_correlation", "size_exponent", "batch_effect")
        batches = len(self.design.batches[0]) if noise.batch else 0
        numbers = (batches, len(self.design.evals), len(measured), len(self.shape), len(self.margins))
        varied = noise.batch or names[4] in at or bool(self.design.known_error.any())
        losses = np.log(data["loss"]) if self.model.processes else data["loss"]
        return {
            **at.arrays,
            **block_arrays(self.blocks),
            "floor_at": np.concatenate([np.zeros(0, int), *(entries for entries, _ in floors)]),
            "floor": np.concatenate([np.zeros(0), *(lowest for _, lowest in floors)]),
            "pairs": np.concatenate(pairs),
            "pairs_at": np.cumsum([0, *map(len, pairs)]),
            "options": np.array([noise.robust, *numbers, varied], int),
            "likelihood": np.array([stored(correlated if noise.correlated or noise.joint else independent).address]),
            "parameter_at": np.array([at[k].place.start if k in at else -1 for k in names]),
            **data,
            "loss": losses,
            **self._misfit,
        }

    @cached_property
    def weights(self) -> np.ndarray:
        """First entry, number and slope of the weights of every process that measurements meet and validation set."""
        found = []
        for process in (p for p in self.model.processes.values() if p.sampled):
            start, slope = (self.parameters[k].place.start for k in (process.weights, process.slope))
            found += [(start + e * process.sampled, process.sampled, slope) for e in range(len(self.design.evals))]
        return np.array(found, int).reshape(-1, 3)

    @cached_property
    def _misfit(self) -> dict[str, np.ndarray]:
        """The misfit (`bayeslaw.sampler.misfit`): the level of every cell along each process, and the basis there."""
        rows, (row, ev, at), evals = self.design.rows, self._packed[2], len(self.design.evals)
        shapes, places, bases = [], [], [np.empty(0)]
        for process in self.model.processes.values():
            values = np.column_stack([rows[c].values.astype(float) for c in process.columns])
            unique, number = np.unique(values, axis=0, return_inverse=True)
            columns = {c: xr.DataArray(unique[:, i], dims="level") for i, c in enumerate(process.columns)}
            basis = process.basis(columns).transpose("level", process.dim).values[:, : process.sampled]
            first = [self.parameters[k].place.start for k in (process.weights, process.slope)]
            shapes.append([*basis.shape, sum(map(len, bases)), *first, evals])
            places.append(ev * len(unique) + number.reshape(-1)[row])
            bases.append(basis.T.ravel())
        processes = np.array(shapes, int).reshape(-1, 6)
        return {
            "misfit": processes,
            "misfit_parts": misfit_parts(processes),
            "misfit_level": np.array(places, int).reshape(-1, len(row)),
            "misfit_at": at,
            "misfit_basis": np.concatenate(bases),
        }

    @property
    def eval_of_cell(self) -> np.ndarray:
        """The validation set of every cell of the blocks of measurements."""
        return self._packed[2][1]

    @cached_property
    def basis(self) -> np.ndarray:
        """The basis functions of all processes of the misfit (cell, weight of a validation set)."""
        m, found = self._misfit, [np.empty((len(self.eval_of_cell), 0))]
        for (levels, knots, start, *_), at in zip(m["misfit"], m["misfit_level"], strict=True):
            found.append(m["misfit_basis"][start : start + levels * knots].reshape(knots, levels).T[at % levels])
        return np.hstack(found)

    @cached_property
    def basis_of_rows(self) -> list[np.ndarray]:
        """The basis functions of each process at the rows (row, weight)."""
        processes, rows = self.model.processes.values(), self.design.rows
        return [p.basis(rows).transpose("row", p.dim).values[:, : p.sampled] for p in processes]

    def log_law(self, c: np.ndarray) -> np.ndarray:
        """Return the log law in the cells of all blocks of measurements, in a vector of natural values."""
        with np.errstate(all="ignore"):
            return np.log(np.concatenate([b.evaluate(self.model.law, c)[0] for b in self._packed[0]]))

    def log_mean(self, c: np.ndarray) -> np.ndarray:
        """Return the log law with its misfit in the same cells."""
        found, basis, evals = self.log_law(c), self.basis, len(self.design.evals)
        for e in range(evals):
            own, parts = self.eval_of_cell == e, self.weights[e::evals]
            weights = np.concatenate([c[first : first + n] * c[slope] for first, n, slope in parts])
            found[own] += basis[own] @ weights
        return found

    def by_log_mean(self, c: np.ndarray, log_mean: np.ndarray) -> np.ndarray:
        """Return the gradient of the density in the log means of cells, beside a misfit."""
        return gradient_of_errors(self._table[PARAMETERS], self.arrays["likelihood"][0], c, log_mean)

    def misfit(self, c: np.ndarray) -> np.ndarray:
        """Return what the law misses (row, eval), on the log scale, in a vector of natural values."""
        found = np.zeros(self.design.measured.shape)
        for process, basis in zip(self.model.processes.values(), self.basis_of_rows, strict=True):
            weights = c[self.parameters[process.weights].place].reshape(found.shape[1], -1)
            found += c[self.parameters[process.slope].place] * (basis @ weights.T)
        return found

    @cached_property
    def _floors(self) -> list[tuple[str, np.ndarray]]:
        floors = self.model.shape.floors.items()
        return [(k, x.transpose(*self.parameters[k].dims).values.ravel()) for k, x in floors]

    def residuals(self, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return validation set and residual (log loss minus log law and batch noise) of every measurement."""
        row, ev = self.design.cells["row"], self.design.cells["eval"]
        block, cell = self.measured
        loss = block.evaluate(self.model.law, c)[0]
        residual = self.design.log_loss - np.log(loss[cell[row, ev]]) - self.misfit(c)[row, ev]
        if self.model.noise.batch:
            residual -= self.batch(c)[ev, self.design.batches[1][row]]
        return ev, residual

    def expected(self, v: np.ndarray) -> "Density":
        """Return the density had the model predicted every measurement, and errors been Normal.

        It is quadratic in the logarithms of the losses, and the curvature at the vector is the expected one. Robust
        errors give outliers less weight: as much as they have at the vector.
        """
        c = self.parameters.natural(v)[0]
        ev, residual = self.residuals(c)
        row, rows = self.design.cells["row"], self.design.rows
        loss = rows["loss"].transpose("row", "eval")
        fitted, known = loss.values.copy(), self.design.known_error.copy()
        fitted[row, ev] *= np.exp(-residual)
        if self.model.noise.robust:
            sigma = c[self.parameters["sigma"].place.start + ev]
            known[row, ev] = np.hypot(known[row, ev], sigma * np.sqrt(1 / self.attention(residual / sigma) - 1))
        rows = rows.assign(loss=loss.copy(data=fitted), loss_sd=(("row", "eval"), known * fitted))
        model = copy(self.model)
        noise, design = replace(self.model.noise, robust=False), replace(self.design, rows=rows)
        vars(model).update(noise=noise, design=design, processes=self.model.processes)
        found = Density(model)
        vars(found).update({name: getattr(self, name) for name in WITHOUT_LOSSES})
        return found

    def attention(self, z: np.ndarray) -> np.ndarray:
        """Return the weights of measurements, from 0 to 1, by their errors in units of the noise."""
        return np.minimum(6 / (5 + z**2), 1.0) if self.model.noise.robust else np.ones_like(z)

    def batch(self, c: np.ndarray) -> np.ndarray:
        """Return the batch effects (eval, batch) in a vector of natural values; empty without batch noise."""
        place = self.parameters["batch_effect"].place if self.model.noise.batch else slice(0, 0)
        return c[place].reshape(len(self.design.evals), -1)

    def shape_weight(self, v: np.ndarray) -> np.ndarray:
        """Return the density of the shape prior relative to its maximum for many parameter vectors."""
        if self.model.monotone is None:
            return np.ones(len(v))
        named, laws = self.parameters.named(v), self.model.law.coefficients
        coefficients = {k: xr.DataArray(named[k], dims=("draw", *self.parameters[k].dims)) for k in laws}
        with np.errstate(all="ignore"):
            violations = self.model.shape.violations(coefficients)
            total = sum((x**2).sum([d for d in x.dims if d != "draw"]) for x in violations)
        return np.nan_to_num(np.exp(-0.5 * np.asarray(total) / RISE**2), nan=0.0)
