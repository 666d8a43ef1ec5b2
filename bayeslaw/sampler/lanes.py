"""Eight numbers at a time: a type of Numba for the vector instructions of the processor.

Numba writes vector instructions only where it can prove that arrays do not overlap, which it cannot here. Arithmetic
with lanes is such instructions, and a number meets lanes as eight equal ones.
"""

import math
import operator
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import extending, types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, lower_cast, models, register_model

from bayeslaw.sampler.stored import inner

__all__ = [
    "LANES",
    "add",
    "gather",
    "lanes_at",
    "largest",
    "log_ratio",
    "log_total",
    "put",
    "spread",
    "take_from",
    "total",
]

intrinsic: Any = extending.intrinsic

LANES = 8

NEAR = 1 / 256
"""Square of (a - b) / (a + b) up to which the series of the logarithm of a / b is exact to rounding."""


class _Lanes(types.Type):
    pass


_lanes = _Lanes("lanes")
_vector = ir.VectorType(ir.DoubleType(), LANES)


@register_model(_Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _vector)


@lower_cast(types.Float, _Lanes)
def _spread(context: Any, builder: Any, given: Any, to: Any, value: Any) -> Any:
    first = builder.insert_element(ir.Constant(_vector, ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def _operation(which: Any, instruction: str) -> None:
    @infer_global(which)
    class Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            return signature(_lanes, _lanes, _lanes) if _lanes in args else None

    @lower_builtin(which, _Lanes, _Lanes)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args, flags=["contract"])


for _which, _instruction in (("add", "fadd"), ("sub", "fsub"), ("mul", "fmul"), ("truediv", "fdiv")):
    _operation(getattr(operator, _which), _instruction)


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, value=array).data, [index])


@intrinsic
def spread(typingctx: Any, number: Any) -> Any:
    """Return eight equal numbers."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _spread(context, builder, None, None, args[0])

    return _lanes(types.float64), codegen


@intrinsic
def lanes_at(typingctx: Any, array: Any, index: Any) -> Any:
    """Return eight numbers of an array from a place on."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        at = _place(context, builder, sig.args[0], *args)
        return builder.load(builder.bitcast(at, _vector.as_pointer()), align=8)

    return _lanes(array, types.int64), codegen


@intrinsic
def put(typingctx: Any, array: Any, index: Any, lanes: Any) -> Any:
    """Put lanes into an array from a place on."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        at = _place(context, builder, sig.args[0], *args[:2])
        builder.store(args[2], builder.bitcast(at, _vector.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(array, types.int64, _lanes), codegen


@intrinsic
def gather(typingctx: Any, array: Any, indices: Any, index: Any) -> Any:
    """Return the numbers of an array at eight indices, which another array holds from a place on."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        found = ir.Constant(_vector, ir.Undefined)
        for n in range(LANES):
            of = builder.add(args[2], args[2].type(n))
            at = builder.load(_place(context, builder, sig.args[1], args[1], of))
            number = builder.load(_place(context, builder, sig.args[0], args[0], at))
            found = builder.insert_element(found, number, ir.IntType(32)(n))
        return found

    return _lanes(array, indices, types.int64), codegen


@intrinsic
def take_from(typingctx: Any, array: Any, indices: Any, index: Any, lanes: Any) -> Any:
    """Subtract lanes from the numbers of an array at eight indices, some of which may be equal."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        for n in range(LANES):
            of = builder.add(args[2], args[2].type(n))
            at = _place(
                context, builder, sig.args[0], args[0], builder.load(_place(context, builder, sig.args[1], args[1], of))
            )
            builder.store(builder.fsub(builder.load(at), builder.extract_element(args[3], ir.IntType(32)(n))), at)
        return context.get_dummy_value()

    return types.void(array, indices, types.int64, _lanes), codegen


def _reduced(name: str, *first: float) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        double = ir.DoubleType()
        kind = ir.FunctionType(double, [double] * len(first) + [_vector])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.{name}.v{LANES}f64")
        return builder.call(function, [*map(double, first), args[0]], fastmath=["reassoc"])

    return codegen


@intrinsic
def total(typingctx: Any, lanes: Any) -> Any:
    """Return the sum of the lanes."""
    return types.float64(_lanes), _reduced("fadd", 0.0)


@intrinsic
def largest(typingctx: Any, lanes: Any) -> Any:
    """Return the largest lane."""
    return types.float64(_lanes), _reduced("fmax")


@intrinsic
def square_root(typingctx: Any, lanes: Any) -> Any:
    """Return the square roots."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(_vector, [_vector])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.sqrt.v{LANES}f64"), args)

    return _lanes(_lanes), codegen


@inner
def add(array, index, lanes):  # type: ignore[no-untyped-def]
    """Add lanes to eight numbers of an array from a place on."""
    put(array, index, lanes_at(array, index) + lanes)


@inner
def log_ratio(above, below, memory):  # type: ignore[no-untyped-def]
    """Return log(above / below), by the series of the inverse hyperbolic tangent where they are near each other."""
    x = (above - below) / (above + below)
    square = x * x
    if largest(square) < NEAR:
        series = 2 / 9 + square * (2 / 11 + square * (2 / 13))
        return x * (2.0 + square * (2 / 3 + square * (2 / 5 + square * (2 / 7 + square * series))))
    put(memory, 0, above / below)
    for n in range(LANES):
        memory[n] = math.log(memory[n])
    return lanes_at(memory, 0)


@inner
def log_total(lanes, count, memory):  # type: ignore[no-untyped-def]
    """Return the sum of the logarithms of the first lanes."""
    put(memory, 0, lanes)
    found = 0.0
    for n in range(count):
        found += math.log(memory[n])
    return found
