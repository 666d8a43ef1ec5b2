"""First designs: what they cost, what is expected of them, and what cannot be planned."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import ArgumentError, LawError, RangeError, RefitError, UnknownName
from bayeslaw.posterior.draws import posterior_of
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
        least = budget / 2 if sources else budget * (1 - 1e-9)  # a swarm has whole runs
        assert least <= spent <= budget * (1 + 1e-9), label
        model = first_design._model(law, table, {})
        assert model.design.measured.any("eval").all(), label
        assert not table.duplicated(["run", *(["D"] if "D" in table else [])]).any(), label


def test_the_grid_of_the_paper_has_its_sizes_and_shares():
    grid = designs(models.dcpt, models.dcpt.reference(), 1e20, [], 0)["3 sizes x 9 shares (D-CPT)"]
    sizes = np.sort(grid["N"].unique())
    np.testing.assert_allclose(sizes / sizes[-1], [0.125, 0.45, 1.0])
    assert grid["run"].nunique() == 27 and grid["domain_share"].nunique() == 9
    assert grid["D"].max() / grid["N"].max() == pytest.approx(1e10 / 1e9), "the ratio of the reference run"


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
    with pytest.raises(RangeError, match="too little for a single run"):
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
