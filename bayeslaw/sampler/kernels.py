"""A law and its partial derivatives as one compiled function over blocks of points crossed with levels.

PyTensor traces the law at one cell, differentiates and simplifies it. The result is written as loops: an expression
without covariates is computed once per point, one of tokens alone once per level of the tokens, the others in every
cell. Numba compiles the loops and caches them on disk.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np
import pytensor.tensor as pt
from numba import carray, cfunc, types
from pytensor.gradient import grad
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import MergeOptimizer, in2out, node_rewriter
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.link.numba.cache import compile_numba_function_src

from bayeslaw.declare.laws import Law
from bayeslaw.errors import LawError

__all__ = ["kernel"]

OPERATORS = {"Add": "+", "Sub": "-", "Mul": "*", "TrueDiv": "/", "Pow": "**"}
OPERATORS |= {"EQ": "==", "NEQ": "!=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}
ELEMENTARY = ("Cosh", "Cos", "Erf", "Exp", "Expm1", "Log", "Log1p", "Sinh", "Sin", "Sqrt", "Tanh")
FUNCTIONS = {name: f"math.{name.lower()}({{}})" for name in ELEMENTARY} | {
    "Abs": "abs({})",
    "AND": "({} and {})",
    "Cast": "{}",
    "Identity": "{}",
    "Maximum": "max({}, {})",
    "Minimum": "min({}, {})",
    "Neg": "-{}",
    "OR": "({} or {})",
    "Reciprocal": "1.0 / {}",
    "Sigmoid": "1.0 / (1.0 + math.exp(-{}))",
    "Sign": "np.sign({})",
    "Softplus": "np.logaddexp(0.0, {})",
    "Sqr": "{0} * {0}",
    "Switch": "({1} if {0} else {2})",
}
"""Python source of the operations that a law may use, by the name of PyTensor's scalar operation."""

_COMPILED: dict[tuple[Callable[..., Any], int], Any] = {}


def kernel(law: Law, over: int = 0) -> int:
    """Return the address of a compiled function that fills in a law's loss and its derivatives on a block.

    Its arguments are pointers: the numbers of points and of the levels of every covariate; the covariates (level,
    point), one after the other; the coefficients (coefficient, point); and the array to fill, (1 + coefficient, point,
    level of the first covariate, ...), the loss in nats first, then its derivatives in the coefficients, in the order
    of the card. A covariate or coefficient with a dim of its own has one entry for each of the `over` labels.

    Raises
    ------
    LawError
        The law uses an operation that cannot be compiled.
    """
    if (law.function, over) not in _COMPILED:
        source = _source(law, over)
        key = hashlib.sha256(f"{__name__}\n{source}".encode()).hexdigest()
        function = compile_numba_function_src(
            source, "law_on_block", {"__name__": __name__, "carray": carray, "math": math, "np": np}, cache_key=key
        )
        numbers = types.CPointer(types.float64)
        signature = types.void(types.CPointer(types.int64), numbers, numbers, numbers)
        _COMPILED[law.function, over] = cfunc(signature, cache=True, error_model="numpy")(function)
    address: int = _COMPILED[law.function, over].address
    return address


def _traced(law: Law, over: int) -> tuple[list[tuple[Variable, int]], list[Variable], FunctionGraph]:
    """Return scalar covariates with their axes, coefficients, and the graph of the loss and its derivatives."""
    vectors = {*law.vectors, *(k for k, c in law.coefficients.items() if c.over)}
    covariates, coefficients = (
        {k: [pt.dscalar(k) for _ in range(over if k in vectors else 1)] for k in names}
        for names in (law.covariates, law.coefficients)
    )
    symbols = (covariates | coefficients).items()
    at = {k: np.array([*v, None], dtype=object)[:-1] if k in vectors else v[0] for k, v in symbols}
    loss = law(*(at[k] for k in covariates), **{k: at[k] for k in coefficients})
    flat = [c for entries in coefficients.values() for c in entries]
    slopes: Any = grad(loss, flat, disconnected_inputs="ignore")
    graph = FunctionGraph(outputs=[loss, *slopes], clone=False)
    rewrite_graph(graph, include=("canonicalize", "stabilize", "specialize"), exclude=("cxx_only",))
    in2out(_power, ignore_newtrees=True).rewrite(graph)
    MergeOptimizer().rewrite(graph)
    axes = [(x, axis) for axis, entries in enumerate(covariates.values()) for x in entries]
    return axes, flat, graph


@node_rewriter([pt.pow])
def _power(fgraph: FunctionGraph, node: Any) -> list[Variable] | None:
    """Write a power as the exponential of a logarithm, which its derivative also uses."""
    base, exponent = node.inputs
    return None if isinstance(exponent, Constant) else [pt.exp(exponent * pt.log(base))]


def _source(law: Law, over: int) -> str:
    """Write the kernel: a loop over points, within it one loop nest per set of axes that some expression needs."""
    covariates, coefficients, graph = _traced(law, over)
    axes = tuple(range(len(law.covariates)))
    text: dict[Variable, str] = {}
    scope: dict[Variable, tuple[int, ...]] = {}
    given: dict[Variable, str] = {}
    body: dict[tuple[int, ...], list[str]] = {(): []}
    for number, c in enumerate(coefficients):
        text[c], scope[c] = f"c{number}", ()
        body[()].append(f"c{number} = coefficients[{number}, p]")
    for number, (x, axis) in enumerate(covariates):
        text[x], scope[x] = f"x{number}", (axis,)
        given[x] = f"x{number}_at[i{axis}, p]"
        body.setdefault((axis,), []).append(f"{text[x]} = {given[x]}")
    kept: dict[Variable, None] = {}

    def slot(x: Variable) -> str:
        return f"{text[x]}_at[{', '.join(f'i{a}' for a in scope[x])}]"

    def use(x: Variable, where: tuple[int, ...]) -> str:
        if isinstance(x, Constant):
            return f"({float(x.data)!r})" if np.isfinite(x.data) else f"float('{x.data}')"
        if scope[x] in (where, ()):
            return text[x]
        if x in given:
            return given[x]
        kept[x] = None
        return slot(x)

    names = (f"t{n}" for n in count())
    for node in graph.toposort():
        own = tuple(sorted({a for x in node.inputs if not isinstance(x, Constant) for a in scope[x]}))
        (out,) = node.outputs
        text[out], scope[out] = next(names), own
        line = _expression(law, node.op, [use(x, own) for x in node.inputs])
        body.setdefault(own, []).append(f"{text[out]} = {line}")
    cell = ", ".join(f"i{a}" for a in axes)
    body.setdefault(axes, []).extend(f"out[{n}, p, {cell}] = {use(x, axes)}" for n, x in enumerate(graph.outputs))
    lines = ["def law_on_block(shape, x, c, loss):", "    points, end = shape[0], 0"]
    lines += [f"    n{a} = shape[{a + 1}]" for a in axes]
    lines += [f"    every = carray(x, (points * ({' + '.join(f'n{axis}' for _, axis in covariates)}),))"]
    for number, (_, axis) in enumerate(covariates):
        lines += [f"    x{number}_at = every[end : end + n{axis} * points].reshape((n{axis}, points))"]
        lines += [f"    end += n{axis} * points"]
    lines += [f"    coefficients = carray(c, ({len(coefficients)}, points))"]
    lines += [f"    out = carray(loss, ({len(graph.outputs)}, points, {', '.join(f'n{a}' for a in axes)}))"]
    lines += [f"    {text[x]}_at = np.empty(({', '.join(f'n{a}' for a in scope[x])},))" for x in kept]
    lines += ["    for p in range(points):"]
    for where in sorted(body, key=lambda s: (len(s), s)):
        indent = "        "
        for a in where:
            lines.append(f"{indent}for i{a} in range(n{a}):")
            indent += "    "
        lines += [indent + line for line in body[where]]
        lines += [f"{indent}{slot(x)} = {text[x]}" for x in kept if scope[x] == where]
    return "\n".join(lines) + "\n"


def _expression(law: Law, op: Any, inputs: Sequence[str]) -> str:
    name = type(getattr(op, "scalar_op", op)).__name__
    if name in OPERATORS:
        return f" {OPERATORS[name]} ".join(inputs)
    if name in FUNCTIONS:
        return FUNCTIONS[name].format(*inputs)
    raise LawError(
        f"law {law.name} uses {name}, which the sampler cannot compile: write it with + - * / ** and the functions of "
        "bayeslaw.declare, or sample model.pymc_model with PyMC"
    )
