"""Every public function takes every bad value: it works, or says in one sentence of a typed error why not.

The functions are found, not listed: a new one is tried as soon as `bayeslaw` exports it. It needs a good value for each
of its arguments in `GOOD`, by the name of the argument.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pymc  # noqa: F401  (it changes the recursion limit, which Hypothesis watches)
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib import pyplot

import bayeslaw as bl
from bayeslaw import models, schedules
from bayeslaw.errors import BayeslawError, SamplingError
from bayeslaw.posterior import groups
from bayeslaw.reporting import writing
from bayeslaw.sampler import sampling
from bayeslaw.tables.mixtures import as_weights
from bayeslaw.validation import calibration, evaluation, first_design
from bayeslaw.workflow import Fit
from tests.stand_ins import second_stage, stand_in

WRITTEN: tuple[Any, ...] = (
    None, np.nan, np.inf, -np.inf, -1, 0, 0.0, 1.5, 1e30, 10**12, 10**400, True,
    "", "x", "general", "D", b"x", 1j, [], [np.nan], [-1.0], ["x"], [1, "x"], {},
    {"x": 1}, {1: 2}, {"general": np.nan}, {"web": "x"}, {"domain": "nowhere"}, (),
    np.float32("nan"), np.int64(-1), np.bool_(True), np.array([]), np.array("x"),
)  # fmt: skip
"""Mistakes that are named as they are written."""

BAD: dict[str, Any] = {
    **{repr(value): value for value in WRITTEN},
    "a square": np.zeros((2, 2)),
    "numbers and none": np.array([1.0, None], object),
    "a named array": xr.DataArray([1.0, 2.0], dims="z"),
    "draws": xr.DataArray([1.0, 2.0], dims="chain"),
    "an empty table": pd.DataFrame(),
    "a table": pd.DataFrame({"x": [1.0], "run": ["a"]}),
    "a series": pd.Series([1.0, np.nan]),
    "an object": object(),
    "a function": lambda *_: 1 / 0,
    "a type": int,
    "a path": Path("nowhere/at all"),
    "a law": models.regmix,
    "a fit for something else": models.dcpt.coefficients["E"],
}
"""What users give by mistake."""

INTERNAL = {
    "Fit": {"coefficients", "columns", "error", "errors", "loss", "misfit"},
    "Law": {"inputs", "reference", "value"},
    "Coefficient": {"scaled"},
    "Covariate": {"columns"},
    "Noise": {"at_size", "measured", "one_step_ahead", "priors", "same_step", "sample", "scale", "settled", "spread"},
    "Misfit": {"over", "processes"},
    "Prior": {"along_dims", "create_variable"},
    "Runs": {"select", "sorted_along"},
    "Schedule": {"counted"},
}
"""Methods that one part of the engine calls of another."""

MADE = ("Calibration", "Card", "Column", "Evaluation", "Fit", "Fold", "Plan", "Quantity", "Runs", "Splits")
"""Classes whose objects functions make; only their methods are tried."""

ELSEWHERE = ("datasets.fetch", "Calibration.plot")
"""Functions that wait for the network, or for simulations."""

SIZE, SHARE, MIXED, CURVES, WINDOW = "chinchilla", "dcpt", "nested_data_mixing", "cpt_dynamics", "domain_upsampling"
LAWS = {
    "optimum_shift": MIXED,
    **dict.fromkeys(("best_mixture", "equivalent_compute", "plot_mixture", "plot_regret", "plot_sources"), MIXED),
    **dict.fromkeys(("best_schedule", "curve", "turning_length", "critical_point"), CURVES),
    **dict.fromkeys(("plot_curve", "plot_turning_point"), CURVES),
    "best_duration": WINDOW,
    "tokens_for": SIZE,
    "score": SIZE,
    "compare_memories": "lr_annealing",
    "learnability": "cross_domain_dcpt",
}
"""The law whose fit a function is asked of; by default the D-CPT law."""

AT: dict[str, dict[str, Any]] = {
    SHARE: {"N": 2e9, "D": 1e10, "domain_share": 0.5, "domain": "code"},
    SIZE: {"N": 2e9, "D": 1e10},
    MIXED: {"N": 2e9, "D": 1e10, "mixture": {"web": 0.5, "code": 0.5}, "than": {"books": 1.0}},
}
NEXT: dict[str, Any] = AT[SHARE] | {
    "question": "loss",
    "candidates": {"N": [1e8], "D": [1e10], "domain_share": [0.5], "domain": ["code"]},
}
PLAN, BEFORE = schedules.wsd(400, 3e-4, 100, warmup=20), schedules.cosine(800, 3e-4, warmup=20)
LOG = pd.DataFrame({"run": "a", "step": np.arange(10, 200, 10), "lr": 3e-4, "loss": np.geomspace(4, 3, 19)})
TABLE = pd.DataFrame({"N": np.repeat([1e8, 1e9], 3), "D": np.tile([1e9, 1e10, 3e10], 2), "loss": np.linspace(3, 2, 6)})
CHART = pd.DataFrame({"Step": [1, 2], "a - loss": [3.0, 2.9]})
SCORES = pd.DataFrame({"run": list("abcdef"), "duration": 0.1, "x_score": 0.5})
GOOD: dict[str, Any] = {
    "N": 2e9, "D": 1e10, "domain_share": 0.5, "domain": "code", "tokens": [1e8, 1e9, 1e10], "flops": 1e21,
    "domain_tokens": 5e9, "loss": 2.5, "eval": "domain", "weights": [0.0, 0.5], "target": "domain",
    "general": "general",
    "mixture": {"web": 0.5, "code": 0.5}, "than": {"books": 1.0}, "candidates": {"a": PLAN, "b": BEFORE},
    "schedule": PLAN, "before": BEFORE, "continued": PLAN, "law": models.chinchilla, "prob": 0.5, "path": "out.html",
    "low": 0.1, "high": 1.0, "points": 5, "median": 0.3, "mean": 0.3, "spread": 0.5, "sd": 0.5, "weight": 5.0,
    "steps": 400, "peak": 3e-4, "final": 1e-5, "warmup": 20, "decay": 100, "rates": {100: 1e-4}, "period": 50,
    "step": [1, 2, 3], "lr": [1e-4, 2e-4, 1e-4], "columns": "N", "number": 2, "along": ["D"],
    "splits": bl.splits.by("N"),
    "table": TABLE, "unit": "nats", "meaning": "a loss", "why": "a guess", "prior": bl.real(0.0, 1.0), "name": "E",
    "distribution": "Normal", "n": 2, "one": "a", "title": "A law", "source": "none", "equation": "L = E",
    "function": models.chinchilla.function, "covariates": models.chinchilla.covariates,
    "coefficients": models.chinchilla.coefficients, "fraction": 0.5, "stage2": second_stage(12),
}  # fmt: skip
"""A good value of every argument that a function needs, by its name."""


def calibrated() -> bl.Calibration:
    """A calibration as if it had been computed."""
    rows = pd.DataFrame({"simulation": [1, 2], "quantity": "E", "kind": "coefficient", "true": 1.0, "rank": [3, 60]})
    rows = rows.assign(lower=0.5, upper=1.5, z=0.0, covered=True)
    fits = pd.DataFrame({"simulation": [1, 2], "r_hat": 1.0, "divergences": 0, "ess": 400.0, "seconds": 1.0})
    model = bl.Model(models.chinchilla, bl.read_runs(TABLE))
    return bl.Calibration(model, 0.89, rows, fits, pd.DataFrame())


class Enough(SamplingError):
    """The arguments passed every check, and long work would start."""


@pytest.fixture(scope="session")
def fit_of(table_for: Callable[..., pd.DataFrame]) -> Callable[..., Fit]:
    """A small fit of a law without sampling."""

    @cache
    def make(law: str, draws: int = 12) -> Fit:
        by: dict[str, Any] = {"by": {"E": "domain"}} if law == SHARE else {}
        return stand_in(models.catalogue[law], table_for, draws=draws, **by)

    return make


def functions() -> dict[str, Callable[..., Any]]:
    """All public functions, constructors and methods, by name; a method takes its object first."""
    return dict(_found("", bl, bl.__all__))


def _found(prefix: str, home: Any, names: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in names:
        one = getattr(home, name)
        if isinstance(one, ModuleType):
            yield from _found(f"{name}.", one, one.__all__) if one is not models else ()
        elif inspect.isclass(one) and issubclass(one, BaseException):
            continue
        elif inspect.isclass(one):
            if name not in MADE:
                yield f"{prefix}{name}", one
            named = {m: f for m, f in vars(one).items() if inspect.isfunction(f) and not m.startswith("_")}
            methods = {m for m, f in named.items() if len(inspect.signature(f).parameters) > 1}
            for method in sorted(methods - INTERNAL.get(name, set())):
                if f"{name}.{method}" not in ELSEWHERE:
                    yield f"{name}.{method}", getattr(one, method)
        elif inspect.isfunction(one) and f"{prefix}{name}" not in ELSEWHERE:
            yield f"{prefix}{name}", one


class World:
    """What the functions are asked of, and a good value of each of their arguments."""

    def __init__(self, fit_of: Callable[..., Fit], folder: Path) -> None:
        self.fit_of, self.folder, self.functions = fit_of, folder, functions()
        self.cached = {"saved": fit_of(SHARE).save(folder / "fit.nc")}

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what was made before under that name, or make it."""
        if name not in self.cached:
            self.cached[name] = make()
        return self.cached[name]

    def law(self, function: str) -> str:
        """Return the name of the law whose fit a function is asked of."""
        return LAWS.get(function.rpartition(".")[2], SHARE)

    def owner(self, function: str) -> Any:
        """Return the object of a method."""
        fit = self.fit_of(self.law(function), 40 if function == "Fit.next_runs" else 12)
        ratio = self.once("ratio", lambda: self.fit_of(SHARE).critical_ratio(N=2e9, D=1e10, domain="code"))
        objects = {"Fit": fit, "Model": fit.model, "Quantity": ratio, "Schedule": PLAN, "Law": models.dcpt}
        return objects[function.partition(".")[0]]

    def special(self, function: str) -> dict[str, Any]:
        """Return the good values that only this function takes."""
        law = self.law(function)
        fit = self.fit_of(law)
        columns = AT.get(law, {})
        by_name: dict[str, dict[str, Any]] = {
            "Fit.predict": columns,
            "Fit.checks": {"N": 2e9, "D": 1e10},
            **dict.fromkeys(("Fit.best_schedule", "Fit.curve", "Fit.turning_length"), {"before": BEFORE}),
            **dict.fromkeys(("Fit.best_mixture", "Fit.equivalent_compute"), {"N": 2e9, "D": 1e10}),
            "Fit.optimum_shift": {"N": [1e8, 2e9], "D": 1e10},
            "Fit.allocation": {"domain_share": 0.5, "domain": "code"},
            "Fit.new_domain": {"early_runs": fit.model.runs},
            "Fit.critical_ratio": {"N": 2e9, "D": 1e10, "domain": "code"},
            "Fit.smallest_replay": {"N": 2e9, "D": 1e10, "domain": "code"},
            "Fit.best_ratio": {"N": 2e9, "domain": "code"},
            "Fit.score": {"N": 2e9, "D": 1e10},
            "Fit.next_runs": {"batch": 1, "budget": 1e20, **NEXT},
            "Fit.tokens_for": {"eval": "validation", "loss": 2.5, "N": 2e9},
            "plots.plot_shares": {"N": 2e9, "D": 1e10, "domain": "code"},
            "plots.plot_next_runs": {"found": self.once("next", lambda: self.fit_of(SHARE, 40).next_runs(**NEXT))},
            "plots.plot_calibration": {"calibration": self.once("calibration", calibrated)},
            "plan": {"law": models.chinchilla, "question": "allocation", "budget": 1e20, "flops": 1e22},
            "from_wandb": {"charts": CHART},
            "load": {"path": str(self.cached["saved"])},
            "compare": {"entries": dict.fromkeys(("a", "b"), self.fit_of(SIZE, 60))},
            "stacked": {
                "entries": dict.fromkeys(("a", "b"), self.fit_of(SIZE)),
                "question": lambda fit: fit.predict(N=2e9, D=1e10),
                "weights": {"a": 0.5, "b": 0.5},
            },
            "read_curves": {"table": LOG, "warmup": 0},
            "read_scores": {"table": SCORES},
            "plots.plot_coverage": {"held": {"a": (9, 10)}},
            "plots.plot_intervals": {"answers": {"a": xr.DataArray(np.ones((2, 5)), dims=("chain", "draw"))}},
            "plots.plot_forest": {"fits": {"a": self.fit_of(SHARE)}},
            "plots.plot_along": {"along": "D", "N": 2e9, "domain_share": 0.5, "domain": "code"},
            "plots.plot_turning_point": {"along": "S1", **{c: 1e-4 for c in fit.model.law.columns if c != "S1"}},
            "plots.plot_curve": {"run": fit.model.runs.table["run"].iloc[0]},
            "plots.plot_sources": {"name": "t"},
            "splits.late": {"path": "D"}, "splits.by": {"columns": "N"},
            "splits.segments": {"path": "D"}, "splits.largest": {"column": "N"},
            "datasets.card": {"name": "tinycpt"}, "datasets.load": {"name": "tinycpt"},
            "Model": {"law": models.chinchilla},
        }  # fmt: skip
        return by_name.get(function, {})

    def good(self, function: str) -> dict[str, Any]:
        """Return good values of the arguments that a function needs, and of some others."""
        fit = self.fit_of(self.law(function))
        mine = GOOD | {"fit": fit, "model": fit.model, "runs": fit.model.runs, "fits": fit}
        mine |= {"path": str(self.folder / "out.html"), "axes": None}
        if function in ("Model", "splits.by"):
            mine["runs"] = self.fit_of(SIZE).model.runs
        if "mixture" in function:
            mine["best"] = self.once("best", lambda: self.fit_of(MIXED).best_mixture(N=2e9, D=1e10))
        mine["best"] = mine.get("best") or self.once("best", lambda: self.fit_of(MIXED).best_mixture(N=2e9, D=1e10))
        mine["q"] = mine["ratio"] = self.owner("Quantity.x")
        special = self.special(function)
        for p in self.parameters(function):
            if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name not in special:
                assert p.name in mine, f"{function} takes {p.name}: give a good value of it in GOOD"
                special[p.name] = mine[p.name]
        return special

    def parameters(self, function: str) -> list[inspect.Parameter]:
        """Return the parameters of a function, without the object of a method."""
        found = list(inspect.signature(self.functions[function]).parameters.values())
        return found[1:] if self.is_method(function) else found

    def is_method(self, function: str) -> bool:
        """Return whether it is called on an object."""
        return function[0].isupper() and "." in function

    def arguments(self, function: str) -> list[str]:
        """Return the names of the arguments that may go wrong."""
        named = [p.name for p in self.parameters(function) if p.kind is not p.VAR_KEYWORD]
        return list(dict.fromkeys([*named, *self.special(function)]))

    def ask(self, function: str, **changed: Any) -> Any:
        """Call a function with good values but for those that are changed."""
        given = self.good(function) | changed
        rest = next((p.name for p in self.parameters(function) if p.kind is p.VAR_POSITIONAL), None)
        by_position = [given.pop(p.name) for p in self.parameters(function) if p.kind is p.POSITIONAL_ONLY]
        by_position += [given.pop(rest)] if rest in given else []
        first = [self.owner(function)] if self.is_method(function) else []
        return self.functions[function](*first, *by_position, **given)


@pytest.fixture(scope="module")
def world(fit_of: Callable[[str], Fit], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The functions and what they are asked of; nothing is sampled, and figures are not shown."""
    matplotlib.use("agg")

    def enough(*_: Any, **__: Any) -> Any:
        raise Enough("sampling or writing would start with these arguments")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "sample", enough)
        patch.setattr(calibration, "prior_predictive", enough)
        patch.setattr(evaluation, "finish", enough)
        patch.setattr(groups, "prior_predictive", enough)
        patch.setattr(first_design, "prior_predictive", enough)
        patch.setattr(writing, "content", enough)
        patch.setattr(writing, "several", enough)
        patch.chdir(tmp_path_factory.mktemp("here"))
        yield World(fit_of, tmp_path_factory.mktemp("world"))


def outcome(world: World, function: str, argument: str, value: Any) -> str | None:
    """Return what is wrong with the answer to a bad value; None where it works or is refused in a sentence."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            world.ask(function, **{argument: value})
    except (BayeslawError, TypeError) as e:
        text = str(e)
        if not isinstance(e, BayeslawError) and "argument" not in text:
            return f"{type(e).__name__}: {text}"
        return None if 10 < len(text) < 500 and "\n" not in text else f"no sentence: {text!r}"
    except Exception as e:
        return f"{type(e).__name__}: {e}"
    finally:
        pyplot.close("all")
    return None


@pytest.mark.slow
@pytest.mark.parametrize("function", functions())
def test_good_values_pass_every_check(world, function):
    """Otherwise the bad ones would be refused for another reason than theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if function == "Fit.new_domain":  # needs a sampled fit
            with pytest.raises(BayeslawError, match="populations"):
                world.ask(function)
            return
        try:
            world.ask(function)
        except Enough:
            assert function in LONG
        finally:
            pyplot.close("all")


LONG = ("Fit.extend", "Fit.report", "Model.fit", "calibrate", "evaluate", "plan", "report")
"""Functions that sample or draw many figures, which they do not here."""


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_bad_values_are_refused_in_a_sentence_or_work(world, data):
    function = data.draw(st.sampled_from([name for name in world.functions if world.arguments(name)]))
    argument = data.draw(st.sampled_from(world.arguments(function)))
    value = data.draw(st.sampled_from(list(BAD)))
    assert outcome(world, function, argument, BAD[value]) is None, f"{function}({argument}={value})"


@pytest.mark.slow
@pytest.mark.parametrize("function", functions())
def test_every_bad_value_is_refused_in_a_sentence_or_works(world, function):
    every = {(argument, value): BAD[value] for argument in world.arguments(function) for value in BAD}
    said = {asked: outcome(world, function, asked[0], value) for asked, value in every.items()}
    assert {asked: wrong for asked, wrong in said.items() if wrong} == {}


SAID = {
    "target_accept 0": lambda model, fit: model.fit(target_accept=0.0),
    "target_accept 1.5": lambda model, fit: model.fit(target_accept=1.5),
    "target_accept nan": lambda model, fit: model.fit(target_accept=np.nan),
    "draws 10**12": lambda model, fit: model.fit(draws=10**12),
    "a mean that is none": lambda model, fit: bl.real(np.nan, 1.0),
    "a median below 0": lambda model, fit: bl.positive(-1.0, 0.5),
    "a text for a switch": lambda model, fit: bl.Noise(correlated="x"),  # type: ignore[arg-type]
    "no tokens": lambda model, fit: fit.predict(N=2e9, D=0.0, domain_share=0.5, domain="code"),
    "an empty list": lambda model, fit: fit.critical_ratio(N=2e9, D=[], domain="code"),
    "a law that is none": lambda model, fit: bl.Model(models.chinchilla, model.runs, by=[]),  # type: ignore[arg-type]
    "a baseline that is a table": lambda model, fit: fit.critical_ratio(N=2e9, D=1e10, domain="code", baseline=TABLE),
    "a text in a mapping": lambda model, fit: bl.Model(models.chinchilla, model.runs, priors={"E": 1}),  # type: ignore[dict-item]
    "a report of a number": lambda model, fit: bl.report({"x": 1}, "out.html"),  # type: ignore[dict-item]
    "a validation set that is none": lambda model, fit: bl.plots.plot_learned(fit, eval="x"),
    "a probability in text": lambda model, fit: fit.predict(N=2e9, D=1e10, domain_share=0.5, domain="code").about("x"),
    "a share in text": lambda model, fit: as_weights({"web": "x"}, ["web"]),
    "no mixtures": lambda model, fit: as_weights(pd.DataFrame(), ["web"]),
    "axes that are none": lambda model, fit: bl.plots.plot_calibration(calibrated(), axes=[1, "x"]),  # type: ignore[list-item]
    "no chart": lambda model, fit: bl.from_wandb(pd.DataFrame()),
    "a dim of draws": lambda model, fit: fit.predict(
        N=2e9, D=xr.DataArray([1e9, 1e10], dims="chain"), domain_share=0.5, domain="code"
    ),
}


@pytest.mark.parametrize("call", SAID.values(), ids=SAID)
def test_values_that_no_argument_can_be_are_refused(fit_of, call):
    with pytest.raises(BayeslawError) as caught:
        call(fit_of(SHARE).model, fit_of(SHARE))
    assert "\n" not in str(caught.value) and ":" in str(caught.value)
