"""First designs: what they cost, what is expected of them, and what cannot be planned."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.cli.planning import questions
from bayeslaw.errors import ArgumentError, LawError, RangeError, RefitError, UnknownName
from bayeslaw.posterior.draws import posterior_of
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.validation import first_design
from bayeslaw.validation.designs import cost_of, designs, unit_of

PLANNED: dict[str, tuple[float, str, list[str]]] = {
    "dcpt": (1e20, "FLOPs", []),
    "chinchilla": (1e19, "FLOPs", []),
    "cmr": (3e11, "tokens", []),
    "cmr_ratio": (7, "runs", []),
    "power_law": (3e11, "tokens", []),
    "data_mixing": (20, "runs", ["web", "code", "books"]),
    "nested_data_mixing": (1e21, "FLOPs", ["web", "code", "books"]),
}


@pytest.mark.parametrize("name", PLANNED)
def test_every_design_costs_the_budget_within_the_range_of_the_law(name):
    law, (budget, unit, sources) = models.catalogue[name], PLANNED[name]
    found = designs(law, law.reference(), budget, sources, seed=0)
    assert found and unit_of(law) == unit
    for label, table in found.items():
        spent = cost_of(law, table)
        least = budget / 2 if sources else budget * (1 - 1e-5)  # a swarm has whole runs; parameters are whole numbers
        assert least <= spent <= budget * (1 + 1e-9), label
        model = first_design._model(law, table, {})
        assert model.design.measured.any("eval").all(), label
        assert all(pd.api.types.is_integer_dtype(table[c]) for c in ("N", "D") if c in table and not sources), label
        assert not table.duplicated(["run", *(["D"] if "D" in table else [])]).any(), label


def test_the_grid_of_the_paper_has_its_sizes_and_shares():
    grid = designs(models.dcpt, models.dcpt.reference(), 1e20, [], 0)["3 sizes x 9 shares (D-CPT)"]
    sizes = np.sort(grid["N"].unique())
    np.testing.assert_allclose(sizes / sizes[-1], [0.125, 0.45, 1.0], rtol=1e-6)  # whole numbers of parameters
    assert grid["run"].nunique() == 27 and grid["domain_share"].nunique() == 9
    assert grid["D"].max() / grid["N"].max() == pytest.approx(1e10 / 1e9, rel=1e-6), "the ratio of the reference run"


def test_a_design_names_only_what_the_law_has():
    """The power law in tokens has neither shares nor sizes; a law of sizes alone has no shares."""
    tokens = designs(models.power_law, models.power_law.reference(), 1e12, [], 0)
    assert list(tokens) == ["one run", "4 runs of one length", "4 lengths, one run each"]
    lengths = {name: table.groupby("run")["D"].max().nunique() for name, table in tokens.items()}
    assert list(lengths.values()) == [1, 1, 4] and tokens["4 runs of one length"]["run"].nunique() == 4

    sizes = {"N": bl.Covariate("parameters", "model size", reference=1e9)}
    floor = {"E": bl.Coefficient(bl.positive(2, spread=0.5), "nats", "floor", why="a test")}

    @bl.law(title="of sizes", source="a test", equation="E", covariates=sizes, coefficients=floor)
    def of_size(N, /, *, E):
        return E + 0 * N

    (name, table), *others = designs(of_size, of_size.reference(), 5, [], 0).items()
    assert name == "5 sizes, one run each" and table["N"].nunique() == 5 and not others


def test_more_runs_are_expected_to_narrow_the_answer():
    ask: dict[str, Any] = {"question": "loss", "domain_share": 0.6, "simulations": 3, "progress": False}
    few, many = (bl.plan(models.cmr_ratio, budget=budget, **ask) for budget in (3, 24))
    for found in (few, many):
        assert found.cost_unit == "runs" and found.unit == "nats per token" and len(found.frame()) == 1
        assert found.table["width"].iloc[0] < found.before
        assert found.table["fits"].iloc[0] == 3 and 0 <= found.table["covered"].iloc[0] <= 1
    assert many.table["width"].iloc[0] < few.table["width"].iloc[0]
    assert few.as_json()["best"] == few.best and few.designs[few.best]["run"].nunique() == 3
    assert "over 3 tables simulated from the prior and fitted" in repr(few)


def test_your_own_design_stands_beside_the_others(monkeypatch):
    """Runs near the question narrow it more than runs far away, truth by truth."""
    monkeypatch.setattr(first_design, "known_designs", lambda *_: {})
    at = {"near": np.linspace(0.5, 0.7, 5), "far": np.linspace(0.06, 0.1, 5)}
    own = {name: pd.DataFrame({"domain_share": shares}) for name, shares in at.items()}
    found = bl.plan(models.cmr_ratio, "loss", 5, designs=own, domain_share=0.6, simulations=3, progress=False)
    assert found.best == "near" and list(found.table["design"]) == ["near", "far"]
    assert found.table["behind"].tolist()[0] == 0 and found.table["behind"].tolist()[1] > 0


def test_a_plan_says_what_it_does_from_the_start_on(monkeypatch):
    """Drawing truths from the prior and asking them takes a while, before the first simulated table is fitted."""
    said: list[Any] = []

    @contextmanager
    def spoken(what: str, *_: Any, show: bool) -> Iterator[Any]:
        said.append((what, show))
        yield SimpleNamespace(step=lambda: said.append("a step"))

    monkeypatch.setattr(first_design, "bar", spoken)
    draw = first_design.prior_predictive

    def drawn(*args: Any, **settings: Any) -> Any:
        said.append("drawn")
        return draw(*args, **settings)

    monkeypatch.setattr(first_design, "prior_predictive", drawn)
    monkeypatch.setattr(first_design, "_fitted", lambda *_: None)
    for progress in (True, False):
        said.clear()
        with pytest.raises(RefitError, match="cannot be fitted: give it more runs"):
            bl.plan(models.cmr_ratio, "loss", 4, domain_share=0.6, simulations=2, progress=progress)
        drawing, fitting = ("truths drawn from the prior", progress), ("simulated tables fitted", progress)
        assert said == [drawing, "drawn", "a step", "a step", fitting, "a step", "a step"]


def test_the_baseline_of_a_simulated_study_is_crossed_inside():
    table = designs(models.dcpt, models.dcpt.reference(), 1e20, [], 0)["one size x 9 shares"]
    model = first_design._model(models.dcpt, table, {})
    prior = first_design.prior_predictive(model, draws=6, seed=1).posterior
    _, _, asks = first_design._asker(models.dcpt, "critical-ratio", {"N": 1e9, "D": 1e10, "max_rise": 0.02})
    low, high = first_design.CROSSINGS
    for number in range(6):
        rng = np.random.default_rng(number)
        truth = posterior_of(model, first_design._tree(prior.isel(draw=[number])), {}, 0.0)
        ratio = asks(truth, rng)(truth).draws.item()
        assert low - 1e-6 <= ratio <= high + 1e-6


def test_what_cannot_be_planned_is_refused_in_a_sentence():
    with pytest.raises(LawError, match="no first design is known for laws of S1, annealed"):
        bl.plan(models.lr_annealing, "loss", 10)
    with pytest.raises(LawError, match="data_mixing is a law of mixtures: name the sources"):
        bl.plan(models.data_mixing, "best-mixture", 10)
    with pytest.raises(RangeError, match="budget is 1e18 FLOPs, less than 4 runs of the reference run"):
        bl.plan(models.nested_data_mixing, "best-mixture", 1e18, sources=["web", "code"])
    with pytest.raises(RangeError, match="budget is 0: give what a design may cost, a number of FLOPs above 0"):
        bl.plan(models.dcpt, "critical-ratio", 0)
    with pytest.raises(RangeError, match="budget is 10 FLOPs, too little for the smallest run of .* give at least "):
        bl.plan(models.chinchilla, "loss", 10.0, N=1e9, D=1e10)
    with pytest.raises(LawError, match="the law chinchilla does not answer critical-ratio: ask allocation"):
        bl.plan(models.chinchilla, "critical-ratio", 1e20)
    with pytest.raises(UnknownName, match="no question 'alocation'; did you mean 'allocation'"):
        bl.plan(models.chinchilla, "alocation", 1e20)
    with pytest.raises(RangeError, match="simulations is 1: give at least 2"):
        bl.plan(models.chinchilla, "allocation", 1e20, flops=1e21, simulations=1)
    with pytest.raises(ArgumentError, match="is 7: give a pandas DataFrame"):
        bl.plan(models.chinchilla, "allocation", 1e20, designs={"mine": 7})  # type: ignore[dict-item]


def test_the_cost_of_whole_numbers_is_not_cut_off():
    """6 N D of a large run does not fit in 64 bits."""
    table = pd.DataFrame({"run": ["a", "a", "b"], "N": [2_000_000_000] * 3, "D": [10**11, 10**12, 10**12]})
    assert cost_of(models.chinchilla, table) == pytest.approx(2 * 6 * 2e9 * 1e12)


@pytest.mark.parametrize("name", ["dcpt", "chinchilla", "cmr", "power_law"])
def test_a_budget_too_small_is_told_with_the_least_that_works(name):
    """Not "N is 257 in row 0: give parameters, not billions"."""
    law = models.catalogue[name]
    with pytest.raises(RangeError, match=f"budget is 1000 {unit_of(law)}, too little for the smallest run of") as told:
        bl.plan(law, "loss", 1000, progress=False)
    least = float(str(told.value).rpartition("at least ")[2])
    for table in designs(law, law.reference(), least, [], 0).values():
        assert first_design._model(law, table, {}).design.measured.any()
    with pytest.raises(RangeError, match="too little"):
        designs(law, law.reference(), least / 1.3, [], 0)


def test_runs_far_from_the_question_are_refused_before_a_fit(monkeypatch):
    """Not "baseline is 3.38, and the measured losses lie between 9 and 12": nobody gave a baseline."""
    monkeypatch.setattr(first_design, "_fitted", lambda *_: pytest.fail("a fit before the budget was checked"))
    with pytest.raises(RangeError, match="budget is 1e16 FLOPs, too little for this question: simulated runs of"):
        bl.plan(models.dcpt, "critical-ratio", 1e16, N=1.8e9, D=1e10, max_rise=0.02, progress=False)


def test_the_same_seed_in_python_and_on_the_command_line():
    command = questions()["loss"]
    seed = next(option.default for option in command.params if option.name == "seed")
    assert inspect.signature(bl.plan).parameters["seed"].default == seed == 1


def planned(misfit: tuple[str, ...] = (), **columns: Any) -> bl.Plan:
    names = ["L: 9 shares, 6 sizes at half", "6 sizes", "one size"]
    table = pd.DataFrame({"design": names, "width": [1.0, 1.1, 2.0], "runs": 3, "rows": 3, "cost": 3.0})
    table = table.assign(width_error=0.1, covered=1.0, fits=4, behind=[0.0, 0.1, 1.0], behind_error=[0.0, 0.1, 0.1])
    more: dict[str, Any] = {"narrowing": [1.1, 1.0, 0.1], "narrowing_error": 0.2, **columns}
    table = table.assign(**more)
    return bl.Plan(models.cmr_ratio, "loss", {}, table, 3, "runs", 2.1, 0.15, "nats", 0.9, 4, misfit)


def test_a_plan_says_what_was_simulated_and_which_design_narrows_nothing():
    said = repr(planned())
    assert "2.1 nats before any run (Monte Carlo error 0.15)" in said
    assert "narrowest: 'L: 9 shares, 6 sizes at half'; so few tables do not separate it from '6 sizes'. " in said
    assert "Not narrower than before any run beyond the Monte Carlo error: 'one size'. " in said
    assert said.endswith("The simulations assume that the law is true")
    along = repr(planned(misfit=("N", "D")))
    assert along.endswith("the law is true, but for a misfit along N, D drawn from its prior")
    assert "Not narrower" not in repr(planned(narrowing=1.0))


def test_the_width_before_is_of_the_same_truths_and_has_an_error():
    before, widths = pd.Series([2.0, 4.0, 9.0]), pd.Series([1.0, 3.0])  # the third table could not be fitted
    found = first_design._expected(widths, widths, before, of_draws=0.3)
    assert found["narrowing"] == 1 and found["narrowing_error"] == pytest.approx(0.3)
    assert found["width_per_prior"] == pytest.approx(2 / 3)
    rng, widths_seen, errors = np.random.default_rng(1), [], []
    for _ in range(60):
        draws = xr.DataArray(rng.normal(size=(1, 200, 2)), dims=("chain", "draw", "eval"))
        answers = [Quantity("loss", draws + shift, "nats", "mean law") for shift in (0, 1)]
        widths_seen.append(first_design._width(answers[0], np.asarray, 0.9))
        errors.append(first_design._error_of_draws(answers, np.asarray, 0.9, rng))
    assert np.mean(errors) == pytest.approx(np.std(widths_seen), rel=0.3)


def test_the_simulated_misfit_is_named():
    found = bl.plan(models.cmr_ratio, "loss", 5, domain_share=0.6, simulations=2, progress=False)
    table, along = found.designs[found.best], ", ".join(found.misfit)
    model = first_design._model(models.cmr_ratio, table, {})
    assert found.misfit == tuple(model.processes) and (f"misfit along {along}" in repr(found)) == bool(along)
    assert found.before_error > 0 and found.as_json()["width_before_error"] == found.before_error
    losses: list[str] = [str(c) for c in table if str(c).endswith("_loss")]
    assert losses and table[losses].isna().all(axis=None), "columns of losses to fill in"
    assert bl.read_runs(table.assign(**dict.fromkeys(losses, 2.5))).loss_columns == losses
