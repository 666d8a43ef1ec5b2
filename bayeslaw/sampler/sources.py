"""The source of a law's kernel: the law and its partial derivatives as loops.

PyTensor traces the law at one cell, differentiates and simplifies it. The result is written as loops: an expression
without covariates is computed once per point, one of tokens alone once per level of the tokens, the others in every
cell.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import grad
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import MergeOptimizer, in2out, node_rewriter
from pytensor.graph.rewriting.utils import rewrite_graph

from bayeslaw.declare.laws import Law
from bayeslaw.errors import LawError

__all__ = ["source_of"]

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

VECTOR = FUNCTIONS | {"Exp": "exp({})", "Log": "log({})"}
"""The same, for loops that become vector instructions."""

POINTS = -1
"""The axis of the points, beside those of the covariates."""

TOGETHER = 128
"""Points whose losses are computed together by vector instructions."""


def source_of(law: Law, over: int, derivatives: bool) -> str:
    """Return the source of a function `law_on_block`: one loop nest per set of axes that some expression needs.

    With derivatives all nests are within one loop over points. Without, what needs no points comes first, and the
    innermost loop of all others is over points.
    """
    covariates, coefficients, graph = _traced(law, over, derivatives)
    axes = tuple(range(len(law.covariates)))
    index = {POINTS: "p"} | {a: f"i{a}" for a in axes}
    size = {POINTS: "points"} | {a: f"n{a}" for a in axes}
    text: dict[Variable, str] = {}
    scope: dict[Variable, tuple[int, ...]] = {}
    given: dict[Variable, str] = {}
    body: dict[tuple[int, ...], list[str]] = {(POINTS,): []}
    for number, c in enumerate(coefficients):
        text[c], scope[c], given[c] = f"c{number}", (POINTS,), f"coefficients[{number}, p]"
        body[POINTS,].append(f"c{number} = {given[c]}")
    along = {axis: (axis, POINTS) if derivatives else (axis,) for axis in axes}
    for number, (x, axis) in enumerate(covariates):
        text[x], scope[x] = f"x{number}", tuple(sorted(along[axis]))
        given[x] = f"x{number}_at[{', '.join(index[a] for a in along[axis])}]"
        body.setdefault(scope[x], []).append(f"{text[x]} = {given[x]}")
    kept: dict[Variable, None] = {}

    def held(x: Variable, names: dict[int, str], point: str) -> str:
        own = [names[a] for a in scope[x] if a != POINTS] + [point] * (not derivatives and POINTS in scope[x])
        return ", ".join(own)

    def slot(x: Variable) -> str:
        return f"{text[x]}_at[{held(x, index, 'q')}]"

    def use(x: Variable, where: tuple[int, ...]) -> str:
        if isinstance(x, Constant):
            return f"({float(x.data)!r})" if np.isfinite(x.data) else f"float('{x.data}')"
        if scope[x] in (where, ()) or (derivatives and scope[x] == (POINTS,)):
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
        line = _expression(law, node.op, [use(x, own) for x in node.inputs], FUNCTIONS if derivatives else VECTOR)
        body.setdefault(own, []).append(f"{text[out]} = {line}")
    cell = (POINTS, *axes)
    order = cell if derivatives else (*axes, POINTS)
    at = ", ".join(index[a] for a in order)
    body.setdefault(cell, []).extend(f"out[{n}, {at}] = {use(x, cell)}" for n, x in enumerate(graph.outputs))
    length = {axis: " * ".join(size[a] for a in along[axis]) for axis in axes}
    lines = ["def law_on_block(shape, x, c, loss):", "    points, end = shape[0], 0"]
    lines += [f"    n{a} = shape[{a + 1}]" for a in axes]
    lines += [f"    every = carray(x, ({' + '.join(length[axis] for _, axis in covariates)},))"]
    for number, (_, axis) in enumerate(covariates):
        lines += [f"    x{number}_at = every[end : end + {length[axis]}].reshape(({length[axis].replace(' *', ',')},))"]
        lines += [f"    end += {length[axis]}"]
    lines += [f"    coefficients = carray(c, ({len(coefficients)}, points))"]
    lines += [f"    out = carray(loss, ({len(graph.outputs)}, {', '.join(size[a] for a in order)}))"]
    lines += [f"    {text[x]}_at = np.empty(({held(x, size, str(TOGETHER))},))" for x in kept]
    started = False
    for where in sorted(body, key=lambda s: (POINTS in s, len(s), s)):
        if POINTS in where and not started:
            started = True
            loop = ["for p in range(points):"] if derivatives else [f"for start in range(0, points, {TOGETHER}):"]
            lines += ["    " + loop[0]]
        indent = "    " * (1 + started)
        for a in (a for a in where if a != POINTS):
            lines.append(f"{indent}for i{a} in range(n{a}):")
            indent += "    "
        if started and not derivatives:
            lines.append(f"{indent}for q in range(min({TOGETHER}, points - start)):")
            indent += "    "
            lines.append(f"{indent}p = np.uint64(start) + np.uint64(q)")
        lines += [indent + line for line in body[where]]
        lines += [f"{indent}{slot(x)} = {text[x]}" for x in kept if scope[x] == where]
    return "\n".join(lines) + "\n"


def _traced(law: Law, over: int, derivatives: bool) -> tuple[list[tuple[Variable, int]], list[Variable], FunctionGraph]:
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
    slopes: Any = grad(loss, flat, disconnected_inputs="ignore") if derivatives else []
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


def _expression(law: Law, op: Any, inputs: Sequence[str], functions: Mapping[str, str]) -> str:
    name = type(getattr(op, "scalar_op", op)).__name__
    if name in OPERATORS:
        return f" {OPERATORS[name]} ".join(inputs)
    if name in functions:
        return functions[name].format(*inputs)
    raise LawError(
        f"law {law.name} uses {name}, which the sampler cannot compile: write it with + - * / ** and the functions of "
        "bayeslaw.declare, or sample model.pymc_model with PyMC"
    )
