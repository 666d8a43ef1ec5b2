"""Every law of the catalogue: one body for numbers, named arrays and the PyMC graph; cards; declarations."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytest
import xarray as xr
from matplotlib.mathtext import MathTextParser
from pytensor.graph import rewrite_graph
from pytensor.graph.replace import graph_replace

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.cli.options import read_prior
from bayeslaw.declare import priors
from bayeslaw.declare.laws import Law
from bayeslaw.declare.populations import SPREAD_OF_SPREADS, pooled
from bayeslaw.declare.priors import describe
from bayeslaw.errors import BayeslawError, LawError, RangeError, UnknownName
from bayeslaw.spec.noise import Noise
from bayeslaw.tables.runs import read_runs
from bayeslaw.workflow import Model

LAWS = list(models.catalogue.values())
each_law = pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
ROOT = Path(__file__).parents[2]
DRAWS = 100


def shape(law: Law) -> tuple[bool, ...]:
    """What the code that arranges and evaluates a law distinguishes."""
    covariates, coefficients = law.covariates.values(), law.coefficients.values()
    return (
        len(law.columns) == 1,
        bool(law.vectors),
        any(c.derive for c in covariates),
        any(c.of for c in covariates),
        any(c.floor for c in coefficients),
        any(c.over for c in coefficients),
        law.paper_units is not None,
    )


ONE_OF_EACH_SHAPE = {shape(law): law.name for law in reversed(LAWS)}.values()


def each_law_with(names: str, **settings: tuple[Any, ...]) -> pytest.MarkDecorator:
    """Every law with every setting: slow, but for the last setting of a law and the first of one law of each shape."""
    first, *_, last = settings
    fast = [(name, last) for name in models.catalogue] + [(name, first) for name in ONE_OF_EACH_SHAPE]
    return pytest.mark.parametrize(
        f"law, {names}",
        [
            pytest.param(
                law,
                *values,
                id=f"{law.name}, {setting}",
                marks=[] if (law.name, setting) in fast else pytest.mark.slow,
            )
            for law in LAWS
            for setting, values in settings.items()
        ],
    )


MU = 1
"""Where a normal random variable has its mean among its inputs (after the generator)."""


def draws_of(model: Model, count: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Prior draws of every free variable, by name."""
    free = model.pymc_model.free_RVs
    values = pm.draw(free, draws=count, mode="FAST_COMPILE", random_seed=seed)
    return {rv.name: value for rv, value in zip(free, values, strict=True)}


def unconstrained(model: Model, draws: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The same draws on the scale of the model's value variables."""
    to: dict[str, Callable[[Any], Any]] = {
        "NoneType": np.asarray,
        "LogTransform": np.log,
        "LogOddsTransform": lambda x: np.log(x) - np.log1p(-x),
    }
    transforms = model.pymc_model.rvs_to_transforms
    return [to[type(transforms[rv]).__name__](draws[rv.name]) for rv in model.pymc_model.free_RVs]


# ------------------------------------------------------------------------------------------------------------ agreement
def graph_losses(model: Model, draws: dict[str, np.ndarray]) -> np.ndarray:
    """Losses by measurement that the PyMC graph computes, one row per draw."""
    graph = model.pymc_model
    inputs = {graph[name]: graph[name].type(name) for name in model.law.coefficients}
    log_mean = graph_replace(graph["log_loss"].owner.inputs[MU], inputs)
    mean = pytensor.function(
        list(inputs.values()), rewrite_graph(log_mean, include=("lower_xtensor",)), mode="FAST_COMPILE"
    )
    given = [draws[name] for name in model.law.coefficients]
    return np.exp([np.asarray(mean(*values)) for values in zip(*given, strict=True)])


@each_law_with(
    "crossed, pooled",
    grid_shared=(True, False),
    grid_by_domain=(True, True),
    rows_shared=(False, False),
    rows_by_domain=(False, True),
)
def test_numbers_named_arrays_and_graph_agree(law, crossed, pooled, table_for):
    by = dict.fromkeys(list(law.coefficients)[:2], "domain") if pooled else {}
    runs = read_runs(table_for(law, crossed))
    model = Model(law, runs, by=by, noise=Noise(correlated=False, joint=False), outside="include", misfit=None)
    design = model.design
    used = [column for name, covariate in law.covariates.items() for column in covariate.columns(name)]
    one_each = all(covariate.columns(name) for name, covariate in law.covariates.items())
    apart = one_each and len(set(used)) == len(used) and "weight" not in used
    assert design.on_grid is ((crossed or len(law.columns) == 1) and apart)
    draws = draws_of(model, 3)
    dims = {name: ("draw", *(prior.dims or ())) for name, prior in model.coefficient_priors.items()}
    coords: dict[str, Any] = {"eval": design.evals, **design.groups, **design.over}
    named = {name: xr.DataArray(draws[name], dims=d, coords={k: coords[k] for k in d[1:]}) for name, d in dims.items()}

    by_row = law.inputs(design.rows, design.reference)
    per_row = {
        k: c.sel(domain=design.rows["domain"]).drop_vars("domain") if "domain" in c.dims else c
        for k, c in named.items()
    }
    arrays = law(*by_row.values(), **per_row).transpose("draw", "row", "eval")

    row, ev = design.cells["row"], design.cells["eval"]
    plain = np.empty((3, len(row)))
    for draw in range(3):
        for cell, (r, e) in enumerate(zip(row, ev, strict=True)):
            x = [v.isel(row=r, eval=e, missing_dims="ignore").values for v in by_row.values()]
            here: dict[Any, Any] = {"eval": design.evals[e], "domain": design.rows["domain"].item(r)}
            c = {k: v[draw].sel({d: here[d] for d in v.dims if d in here}).values for k, v in named.items()}
            plain[draw, cell] = law(*x, **c)
    assert np.isfinite(plain).all() and (plain > 0).all()
    np.testing.assert_allclose(arrays.values[:, row, ev], plain, rtol=1e-9)
    np.testing.assert_allclose(graph_losses(model, draws), plain, rtol=1e-9)


@each_law
def test_named_arrays_with_other_labels_are_refused(law):
    one = {name: xr.DataArray([1.0, 1.0], coords={"domain": ["code", "law"]}) for name in law.coefficients}
    if len(one) == 1:
        pytest.skip("a single coefficient agrees with itself")
    first = next(iter(one))
    one[first] = xr.DataArray([1.0, 1.0], coords={"domain": ["code", "math"]})
    with pytest.raises(ValueError, match="domain"):
        law(*(1.0 for _ in law.covariates), **one)


def test_own_share_is_that_of_the_corpus_whose_loss_is_predicted():
    rows = xr.Dataset(
        {"N": 1e9, "D": 1e10, "domain_share": ("row", [0.0, 0.25, 1.0])}, coords={"eval": ["general", "domain"]}
    )
    share = models.dcpt.inputs(rows, models.dcpt.reference())["share"]
    np.testing.assert_array_equal(share.sel(eval="general"), [1.0, 0.75, 0.0])
    np.testing.assert_array_equal(share.sel(eval="domain"), [0.0, 0.25, 1.0])


def test_paper_units_give_the_same_loss():
    c = dict(E=1.5, A=0.4, alpha=0.3, B=0.15, beta=0.35, eta=1.2, C=0.3, gamma=0.4, eps=0.1)
    reference = {"N": 3e9, "D": 2e10, "share": 1.0}
    in_billions, raw_units = models.dcpt.paper_units, models.chinchilla.paper_units
    assert in_billions and raw_units
    paper = c | dict(in_billions(reference, A=c["A"], alpha=c["alpha"], B=c["B"], beta=c["beta"]))
    assert models.dcpt(7e9 / 3e9, 5e9 / 2e10, 0.3, **c) == pytest.approx(models.dcpt(7.0, 5.0, 0.3, **paper), rel=1e-12)
    raw = dict(E=1.817, alpha=0.348, beta=0.366)
    back = raw_units({"N": 1e9, "D": 1e10}, A=0.4, B=0.5, alpha=0.348, beta=0.366)
    ours = models.chinchilla(70e9 / 1e9, 1.4e12 / 1e10, A=0.4, B=0.5, **raw)
    assert ours == pytest.approx(models.chinchilla(70e9, 1.4e12, **back, **raw), rel=1e-12)


# ------------------------------------------------------------------------------------------------- density at the prior
@each_law_with("crossed, outside", grid_exclude=(True, "exclude"), rows_include=(False, "include"))
def test_density_and_gradient_are_finite_at_prior_draws(law, outside, crossed, table_for):
    """At 100 draws, by PyTensor; the gradient is that of the density.

    Shares of 0 and 1 are among the rows, or among the cells of the grid that no row picks.
    """
    table = table_for(law, crossed, domains=("code",))
    model = Model(law, read_runs(table), noise=Noise(correlated=False, joint=False), outside=outside, misfit=None)
    if "domain_share" in law.columns and "replay" not in law.covariates:
        assert {0.0, 1.0} <= set(model.design.levels["domain_share"])
    values = model.pymc_model.value_vars
    density: Any = rewrite_graph(model.pymc_model.logp(), include=("lower_xtensor",))
    gradients: Any = pytensor.grad(density, values)
    evaluate = pytensor.function(values, [density, *gradients], mode="FAST_COMPILE")
    points = unconstrained(model, draws_of(model, DRAWS))
    for i in range(DRAWS):
        for name, out in zip(["density", *(v.name for v in values)], evaluate(*(p[i] for p in points)), strict=True):
            assert np.isfinite(out).all(), (i, name)

    middle = [np.asarray(np.median(p, axis=0)) for p in points]
    gradient = evaluate(*middle)[1:]
    for k, p in enumerate(middle):
        for cell in np.ndindex(p.shape):
            ends = []
            for step in (-1e-5, 1e-5):
                moved = [x.copy() for x in middle]
                moved[k][cell] += step
                ends.append(float(evaluate(*moved)[0]))
            assert (ends[1] - ends[0]) / 2e-5 == pytest.approx(
                gradient[k][cell], rel=1e-3, abs=1e-2 + 1e-7 * abs(ends[0])
            )


@each_law
def test_prior_losses_look_like_losses(law, table_for):
    """Positive and finite over the whole table, mostly between a tenth of a nat and 20 nats; error rates below 1."""
    model = Model(law, read_runs(table_for(law)), noise=Noise(False, False), outside="include", misfit=None)
    losses = graph_losses(model, draws_of(model, 8 * DRAWS))  # a share of 0.951, of one law, takes that many
    assert np.isfinite(losses[:DRAWS]).all() and (losses[:DRAWS] > 0).all()
    assert (losses <= 1).all() if law.kind == "score" else ((losses > 0.1) & (losses < 20)).mean() > 0.95


# ---------------------------------------------------------------------------------------------------------------- cards
@each_law
def test_cards_say_what_a_reader_needs(law):
    assert law.name == law.function.__name__ and getattr(models, law.name) is law
    assert law.title and re.search(r"arXiv:\d{4}\.\d{5}", law.source)
    assert law.notes
    card = law.card()
    assert law.title in card and law.source in card and f"$$ {law.equation} $$" in card
    for name, c in law.coefficients.items():
        assert c.unit and len(c.meaning) > 5 and len(c.why) > 15, name
        assert f"| {name} | {c.unit} | {describe(c.prior)} | {c.meaning} | {c.why} |" in card
        assert (
            "89 %" in describe(c.prior) or "sd" in describe(c.prior) or c.prior.distribution in str(describe(c.prior))
        )
        assert c.between > 0
        assert c.seen_along in (None, "level", *law.covariates)
    for name, cov in law.covariates.items():
        assert cov.unit and cov.meaning and cov.reference > 0 and cov.valid[0] < cov.valid[1]
        assert f"| {name} | {cov.unit} |" in card
    assert set(law.falls_in) <= set(law.covariates)
    assert {c for pair in law.falls_faster for c in pair} <= set(law.covariates)
    assert law._repr_markdown_() == card and law.name in repr(law)


@each_law
def test_cards_are_tables_that_markdown_can_read(law):
    tables = [line for line in law.card().splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {6}


@each_law
def test_equations_are_latex(law):
    assert " = " in law.equation
    MathTextParser("path").parse(f"${law.equation}$")


@each_law
def test_amplitudes_enter_linearly(law):
    """What `seen_along` promises: the loss is linear in every such coefficient.

    The factor of the level is the same where the terms are smaller, and it is 1 but for BiMix, whose power of the share
    stands before floor and term.
    """
    rng = np.random.default_rng(0)
    x = [0.3 + 0.5 * rng.random() for _ in law.covariates]
    c = {name: 0.2 + rng.random() for name in law.coefficients}
    for name, coefficient in law.coefficients.items():
        if coefficient.seen_along:
            zero, one, three = (law(*x, **c | {name: v}) for v in (0.0, 1.0, 3.0))
            assert three - zero == pytest.approx(3 * (one - zero), rel=1e-9)
            if coefficient.seen_along == "level":
                terms = {c.seen_along for c in law.coefficients.values()}
                further = [1.1 * v if covariate in terms else v for covariate, v in zip(law.covariates, x, strict=True)]
                there = law(*further, **c | {name: 1.0}) - law(*further, **c | {name: 0.0})
                assert one - zero == pytest.approx(there)
                assert one - zero == pytest.approx(1.0) or law.name == "bimix"


# --------------------------------------------------------------------------------------------------------- declarations
COVARIATES = {"N": bl.Covariate("parameters", "size")}
COEFFICIENTS = {"E": bl.Coefficient(bl.positive(1, 1), "nats", "floor", why="a test")}
CARD = dict(title="t", source="s", equation="L = E", covariates=COVARIATES, coefficients=COEFFICIENTS)


def test_a_signature_is_the_declaration():
    @bl.law(**CARD)
    def flat(N, /, *, E):
        return E + 0 * N

    assert flat.name == "flat" and flat(2.0, E=1.5) == 1.5 and flat.columns == ("N",)


def no_prior(N, /, *, E, A):
    return E + A / N


def no_coefficient(N, /):
    return N


def no_covariate(*, E):
    return E


def other_covariate(D, /, *, E):
    return E + D


def covariate_by_name(N, *, E):
    return E + N


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_prior, ("no_prior", "without a prior ['A']")),
        (no_coefficient, ("no_coefficient", "priors without a coefficient ['E']")),
        (no_covariate, ("no_covariate", "takes no covariate", "(N, /, *, E)")),
        (other_covariate, ("other_covariate", "('D',)", "('N',)", "in the same order")),
        (covariate_by_name, ("covariate_by_name", "neither positional-only")),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_a_signature_that_differs_from_the_card_is_refused(function, words):
    with pytest.raises(LawError) as caught:
        bl.law(**CARD)(function)
    for word in words:
        assert word in str(caught.value)


def test_covariates_in_another_order_are_refused():
    covariates = {"D": bl.Covariate("tokens", "tokens"), **COVARIATES}
    with pytest.raises(LawError, match="in the same order"):
        bl.law(**CARD | {"covariates": covariates})(lambda N, D, /, *, E: E)


@each_law
def test_references_are_checked(law):
    name = next(iter(law.covariates))
    assert law.reference({name: 7.0})[name] == 7.0
    with pytest.raises(UnknownName, match="covariate of"):
        law.reference({f"{name}x": 7.0})
    for value in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(RangeError, match=f"reference of {name}"):
            law.reference({name: value})


# -------------------------------------------------------------------------------------------------------- the catalogue
def test_an_unknown_law_suggests_the_nearest():
    with pytest.raises(AttributeError, match="no law 'dcptt'; did you mean 'dcpt'") as caught:
        _ = models.dcptt
    assert isinstance(caught.value, BayeslawError)
    assert not hasattr(models, "dcptt") and not hasattr(models, "__wrapped__")


def test_there_is_only_one_copy_of_the_laws():
    """From the repository root, `models` is importable by accident: it says no, and `bayeslaw.models` works."""
    done = subprocess.run([sys.executable, "-c", "import models"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: import bayeslaw.models instead of models")


def test_law_files_know_nothing_of_the_engine():
    for path in (ROOT / "models").glob("*.py"):
        if path.name != "__init__.py":
            imports = re.findall(r"^\s*(?:from|import) (\S+)", path.read_text(), re.M)
            assert set(imports) <= {
                "bayeslaw.declare",
                "bayeslaw.models.chinchilla",
                "bayeslaw.models.dcpt",
                "bayeslaw.models.skaling",
                "dataclasses",
            }, path.name


# --------------------------------------------------------------------------------------------------------------- priors
def test_priors_say_what_they_are():
    p = priors.positive(0.35, spread=0.3)
    assert (p.distribution, p.parameters["sigma"]) == ("LogNormal", 0.3)
    assert np.exp(p.parameters["mu"]) == pytest.approx(0.35)
    assert describe(p) == "log-normal, median 0.35 (89 %: 0.22 to 0.57)"
    assert describe(priors.real(-1, sd=2)) == "normal, mean -1, sd 2"
    beta = priors.share(0.4, weight=5)
    assert (beta.distribution, beta.parameters) == ("Beta", {"alpha": 2.0, "beta": 3.0})


def test_a_written_prior_is_read():
    assert read_prior("0.35:0.3") == priors.positive(0.35, 0.3)
    assert read_prior(" 1e-2 : 2 ") == priors.positive(0.01, 2)


@pytest.mark.parametrize("text", ["", "0.35", "a:b", "1:2:3", "0.35:", "-1:0.3", "0:1", "0.35:0", "0.35:-0.3", "nan:1"])
def test_a_badly_written_prior_is_refused(text):
    with pytest.raises((LawError, RangeError), match="median") as caught:
        read_prior(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: priors.positive(0, 1), "median"),
        (lambda: priors.positive(1, 0), "spread"),
        (lambda: priors.real(0, 0), "standard deviation"),
        (lambda: priors.share(1, 5), "mean inside"),
        (lambda: priors.share(0.5, 0), "weight"),
        (
            lambda: pooled("E", priors.share(0.5, 4), ("domain",), ("eval",), 0.3),
            "cannot pool E over domain",
        ),
    ],
)
def test_impossible_priors_are_refused(build, word):
    with pytest.raises(LawError, match=word):
        build()


def test_a_pooled_prior_keeps_its_location_in_the_population():
    p = pooled("E", priors.positive(1.5, 0.5), ("domain",), ("eval",), 0.3)
    assert p.dims == ("eval", "domain")
    assert p.parameters["mu"].dims == p.parameters["sigma"].dims == ("eval",)
    assert p.parameters["mu"].parameters == {"mu": pytest.approx(np.log(1.5)), "sigma": 0.5}
    assert p.parameters["sigma"].parameters == {
        "mu": pytest.approx(np.log(0.3)),
        "sigma": SPREAD_OF_SPREADS,
    }
