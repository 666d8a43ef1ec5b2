"""The source of a law's kernel on disk: found again for the same formula, and for no other."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bayeslaw import models
from bayeslaw.declare import Coefficient, Covariate, Law, exp, law, maximum, positive, where
from bayeslaw.errors import LawError
from bayeslaw.sampler import kernels
from bayeslaw.sampler.blocks import Block
from bayeslaw.sampler.formulas import formula_of
from bayeslaw.sampler.sources import source_of

LAWS = list(models.catalogue.values())

SCALE = 2.0


def declared(function: Callable[..., Any]) -> Law:
    return law(
        title="", source="", equation="",
        covariates={"N": Covariate("1", "size")},
        coefficients={k: Coefficient(positive(1.0, spread=1.0), "1", "", "") for k in ("E", "A")},
    )(function)  # fmt: skip


def scaled(x):
    return SCALE * x


def direct(N, /, *, E, A):
    return E + A * exp(-(2.0 * N))


def by_helper(N, /, *, E, A):
    decay = exp(-scaled(N))
    return E + A * decay


def test_every_law_has_a_formula_and_equal_formulas_have_equal_kernels():
    by_formula: dict[str | None, list[Law]] = {}
    for known in LAWS:
        by_formula.setdefault(formula_of(known, 3), []).append(known)
    assert None not in by_formula
    alike = [same for same in by_formula.values() if len(same) > 1]
    assert [[known.name for known in same] for same in alike] == [["lr_annealing", "multi_power"]]
    first, second = (source_of(known, 0, derivatives=True) for known in alike[0])
    assert first == second


def test_mixtures_of_other_numbers_of_sources_have_other_formulas():
    assert len({formula_of(models.data_mixing, n) for n in (2, 3, 4)}) == 3


def test_a_formula_is_what_is_computed_however_it_is_written(monkeypatch):
    one, other = declared(direct), declared(by_helper)
    assert formula_of(one, 0) == formula_of(other, 0)
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert formula_of(one, 0) != formula_of(other, 0)
    assert formula_of(declared(lambda N, /, *, E, A: A + E * exp(-(2.0 * N))), 0) != formula_of(one, 0)


def test_selections_and_limits_are_part_of_a_formula():
    found = {
        formula_of(declared(f), 0)
        for f in (
            lambda N, /, *, E, A: where(N > 1.0, E, A),
            lambda N, /, *, E, A: where(N > 1.5, E, A),
            lambda N, /, *, E, A: where(N > 1.0, A, E),
            lambda N, /, *, E, A: maximum(N, E) + A,
            lambda N, /, *, E, A: maximum(N, A) + E,
        )
    }
    assert len(found) == 5 and None not in found


@pytest.mark.parametrize(
    "function",
    [
        lambda N, /, *, E, A: E if A > 1 else N,  # the law of a number, not of symbols
        lambda N, /, *, E, A: E + A * N * np.array([1.0, 2.0]),
        lambda N, /, *, E, A: E + A * float(N),
    ],
)
def test_what_cannot_be_told_has_no_formula(function):
    assert formula_of(declared(function), 0) is None


def at_one(known: Law) -> float:
    block = Block((np.ones((1, 1)),), np.array([[0], [1]]))
    loss, _ = block.evaluate(known, np.array([0.5, 3.0]))
    return float(loss[0])


def test_a_kernel_is_traced_once_for_a_formula_and_anew_for_another(monkeypatch, tmp_path):
    monkeypatch.setattr(kernels, "folder", lambda: tmp_path)
    traced, new_source = [], kernels._new_source

    def noted(known: Law, *given: Any) -> str:
        traced.append(known.name)
        return new_source(known, *given)

    monkeypatch.setattr(kernels, "_new_source", noted)
    assert at_one(declared(direct)) == pytest.approx(0.5 + 3 * np.exp(-2), rel=1e-14)
    assert at_one(declared(by_helper)) == pytest.approx(0.5 + 3 * np.exp(-2), rel=1e-14)
    assert traced == ["direct"] and len(list(tmp_path.iterdir())) == 1

    def changed(N, /, *, E, A):
        return E + A * exp(-scaled(N))

    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert at_one(declared(changed)) == pytest.approx(0.5 + 3 * np.exp(-3), rel=1e-14)
    assert traced == ["direct", "changed"] and len(list(tmp_path.iterdir())) == 2


def test_a_law_that_cannot_be_compiled_leaves_nothing_on_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(kernels, "folder", lambda: tmp_path)
    with pytest.raises(LawError, match="cannot compile"):
        at_one(declared(lambda N, /, *, E, A: E + A * np.arctan(N)))
    assert not list(tmp_path.iterdir())
