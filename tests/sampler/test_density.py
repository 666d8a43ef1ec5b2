"""The density the sampler evaluates: against PyMC's own, against central differences and against dense matrices."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.declare import product
from bayeslaw.errors import LawError
from bayeslaw.sampler.coordinates import Coordinates
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.error_density import CELL, KEPT, SUMS, begin, close, collect, evaluate_pack, patterns
from bayeslaw.sampler.frame import conditionals, first_guess
from bayeslaw.sampler.lanes import LANES
from bayeslaw.sampler.least_squares import estimate
from bayeslaw.sampler.maps import alone
from bayeslaw.sampler.softened import Softened
from bayeslaw.sampler.splits import Splits
from bayeslaw.sampler.widths import Widths
from bayeslaw.tables.runs import Runs, read_runs
from tests.stand_ins import curve_runs

TRUTH = dict(E=1.6, A=0.3, alpha=0.3, B=0.05, beta=0.3, eta=1.2, C=0.4, gamma=0.4, eps=0.1)


def table() -> pd.DataFrame:
    """A small ragged study: two sizes, two domains, some cells missing, all noise known."""
    levels: list[Any] = [[5e8, 4e9], [3e8, 1e9, 1e10], [0.1, 0.4, 0.9], ["code", "law"]]
    rows = pd.MultiIndex.from_product(levels, names=["N", "D", "domain_share", "domain"]).to_frame(index=False)
    rng = np.random.default_rng(7)
    for name in ("general", "domain"):
        share = 1 - rows["domain_share"] if name == "general" else rows["domain_share"]
        loss = models.dcpt(rows["N"] / 1e9, rows["D"] / 1e10, share, **TRUTH)
        rows[f"{name}_loss"] = loss * np.exp(rng.normal(0, 0.01, len(rows)))
    return rows.drop(index=[3, 10, 22])


def grid_of_sizes() -> pd.DataFrame:
    """Three sizes crossed with four numbers of tokens."""
    levels: list[Any] = [[1e8, 4e8, 1e9], [1e9, 3e9, 1e10, 5e10]]
    rows = pd.MultiIndex.from_product(levels, names=["N", "D"]).to_frame(index=False)
    noise = np.random.default_rng(8).normal(0, 0.01, len(rows))
    return rows.assign(loss=(1.7 + 0.4 * (rows["N"] / 1e9) ** -0.3 + 0.3 * (rows["D"] / 2e10) ** -0.3) * np.exp(noise))


def measured() -> pd.DataFrame:
    """The same, the error of measuring some of it known."""
    rows = table()
    return rows.assign(general_loss_sd=np.resize([0.0, 0.002, 0.01], len(rows)))


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """The same, runs of two data orders; one run's is not known."""
    order = np.where(rows["domain_share"] < 0.5, "first", "second").astype(object)
    order[((rows["domain_share"] == 0.9) & (rows["N"] == 4e9) & (rows["domain"] == "law")).to_numpy()] = None
    return rows.assign(data_order=order)


def spreads_that_may_be_0() -> dict[str, bl.Prior]:
    """Coefficients pooled over domains; each spread has another prior, that of alpha is fixed."""
    spreads: dict[str, Any] = {
        "E": bl.Prior("Gamma", alpha=2.0, beta=10.0, dims="eval"),
        "C": bl.Prior("HalfNormal", sigma=0.5, dims="eval"),
        "gamma": bl.Prior("Exponential", lam=4.0, dims="eval"),
        "eps": bl.positive(0.2, spread=0.5, dims="eval"),
        "alpha": 0.2,
    }
    location = bl.Prior("Normal", mu=-1.0, sigma=0.7, dims="eval")
    return {k: bl.Prior("LogNormal", mu=location, sigma=v, dims=("eval", "domain")) for k, v in spreads.items()}


def simulated_curves() -> Runs:
    """Curves of three schedules with losses that fall."""
    runs = curve_runs(models.lr_annealing)
    rng, table = np.random.default_rng(0), runs.table
    loss = 2.8 + 0.4 * table["S1"] ** -0.5 - 400 * table["annealed"] + rng.normal(0, 0.01, len(table))
    return replace(runs, table=table.assign(**dict.fromkeys(runs.loss_columns, loss)))


BY_SIZE = bl.real(0.3, sd=0.4)
MODELS: dict[str, Callable[[], bl.Model]] = {
    "scale by size": lambda: bl.Model(
        models.dcpt, read_runs(table()), noise=bl.Noise(size_exponent=BY_SIZE), by={"E": "domain"}, misfit=None
    ),
    "scale by size, robust, known errors": lambda: bl.Model(
        models.dcpt,
        read_runs(measured()),
        noise=bl.Noise(correlated=False, robust=True, size_exponent=BY_SIZE),
        misfit=None,
    ),
    "scale by size, joint only": lambda: bl.Model(
        models.dcpt,
        read_runs(table()),
        noise=bl.Noise(correlated=False, joint=True, size_exponent=BY_SIZE),
        misfit=None,
    ),
    "batch noise": lambda: bl.Model(models.dcpt, read_runs(in_order(table())), by={"E": "domain"}, misfit=None),
    "batch noise, independent, robust, scale by size, known errors": lambda: bl.Model(
        models.dcpt,
        read_runs(in_order(measured())),
        noise=bl.Noise(correlated=False, robust=True, size_exponent=BY_SIZE),
        misfit=None,
    ),
    "batch noise, scale by size, joint": lambda: bl.Model(
        models.dcpt, read_runs(in_order(table())), noise=bl.Noise(size_exponent=BY_SIZE), misfit=None
    ),
    "misfit, ragged": lambda: bl.Model(models.dcpt, read_runs(table()), by={"E": "domain"}, misfit="scales"),
    "misfit, grid": lambda: bl.Model(
        models.chinchilla, read_runs(grid_of_sizes()), noise=bl.Noise(correlated=False), misfit="scales"
    ),
    "misfit, curves": lambda: bl.Model(models.lr_annealing, simulated_curves(), misfit="scales"),
    "the paper's shape": lambda: bl.Model(
        models.dcpt,
        read_runs(table()),
        by={"C": "domain"},
        monotone="paper",
        priors={"eta": bl.real(0.9, sd=0.3), "B": bl.positive(1.0, spread=0.5)},
        misfit=None,
    ),
    "known errors": lambda: bl.Model(models.dcpt, read_runs(measured()), noise=bl.Noise(correlated=False), misfit=None),
    "known errors, robust": lambda: bl.Model(
        models.dcpt,
        read_runs(measured()),
        noise=bl.Noise(correlated=False, robust=True),
        by={"E": "domain"},
        misfit=None,
    ),
    "correlated, joint, pooled, shape": lambda: bl.Model(
        models.dcpt,
        read_runs(table()),
        by={"E": "domain", "C": "domain", "alpha": "domain"},
        outside="include",
        misfit=None,
    ),
    "bent groups": lambda: bl.Model(
        models.dcpt,
        read_runs(table()),
        by=dict.fromkeys(("E", "C", "gamma", "eps"), "domain"),
        monotone=None,
        misfit=None,
    ),
    "groups by a covariate": lambda: bl.Model(
        models.dcpt,
        read_runs(table()),
        by={"B": "N", "C": "N"},
        priors={"E": bl.positive(1.5, spread=0.5, dims="N")},
        misfit=None,
    ),
    "robust": lambda: bl.Model(
        models.dcpt, read_runs(table()), noise=bl.Noise(robust=True), by={"eta": "domain"}, misfit=None
    ),
    "independent, no shape": lambda: bl.Model(
        models.dcpt, read_runs(table()), noise=bl.Noise(correlated=False, joint=False), monotone=None, misfit=None
    ),
    "joint only, real population": lambda: bl.Model(
        models.dcpt,
        read_runs(table()),
        noise=bl.Noise(correlated=False, joint=True),
        priors={"eta": bl.real(1.2, 0.3)},
        by={"eta": "domain"},
        misfit=None,
    ),
    "spreads that may be 0": lambda: bl.Model(
        models.dcpt, read_runs(table()), priors=spreads_that_may_be_0(), monotone=None, misfit=None
    ),
    "Gamma, Beta, Exponential, Uniform": lambda: bl.Model(
        models.dcpt,
        read_runs(table()),
        noise=bl.Noise(correlated=False, joint=False),
        priors={
            "A": bl.Prior("Gamma", alpha=2.0, beta=5.0),
            "alpha": bl.Prior("Beta", alpha=3.0, beta=7.0),
            "B": bl.Prior("Exponential", lam=8.0),
            "beta": bl.Prior("Uniform", lower=0.1, upper=0.9),
            "gamma": bl.Prior("HalfNormal", sigma=0.6),
            "eta": bl.real(1.2, 0.3),
            "C": bl.Prior("LogNormal", mu=-1.0, sigma=0.5, dims="domain"),
        },
        misfit=None,
    ),
}


def mixtures() -> pd.DataFrame:
    """Losses of a few mixtures of three sources (simulated)."""
    rng = np.random.default_rng(3)
    shares = rng.dirichlet(np.ones(3) * 3, 12)
    rows = pd.DataFrame(shares, columns=["weight_web", "weight_code", "weight_books"])
    for name, t in (("a", [-1.0, -3.0, 0.0]), ("b", [-2.0, -0.5, -1.0])):
        rows[f"{name}_loss"] = (2 + np.exp(shares @ np.array(t))) * np.exp(rng.normal(0, 0.003, len(rows)))
    return rows


MODELS["shares of a mixture, floors"] = lambda: bl.Model(
    models.data_mixing, read_runs(mixtures(), loss={"a": "a_loss", "b": "b_loss"}), by={"t": "source"}, misfit=None
)


def four_sets() -> pd.DataFrame:
    """The small study with two general sets more."""
    rows = table()
    return rows.assign(pile_loss=1.1 * rows["general_loss"], web_loss=0.9 * rows["general_loss"] + 0.1)


GENERAL = {"pile": "general", "web": "general"}
MODELS["pooled over validation sets, another by domain, joint, correlated"] = lambda: bl.Model(
    models.dcpt, read_runs(four_sets()), roles=GENERAL, by={"E": "eval", "gamma": "eval", "C": "domain"}, misfit=None
)
MODELS["pooled over sets of one role"] = lambda: bl.Model(
    models.dcpt,
    read_runs(four_sets().drop(columns="domain_loss")),
    roles=GENERAL,
    by={"eta": "eval"},
    noise=bl.Noise(correlated=False, joint=False),
    priors={"eta": bl.real(1.2, 0.3)},
    misfit=None,
)


@bl.law(
    title="A product of shares",
    source="none",
    equation="L = c + t r_1 r_2 r_3",
    covariates={"weight": models.data_mixing.covariates["weight"]},
    coefficients={
        "c": bl.Coefficient(bl.positive(2.0, spread=0.5), "nats", "floor", "a test"),
        "t": bl.Coefficient(bl.real(0.0, sd=3.0), "nats", "what mixing does", "a test"),
    },
)
def mixed(weight, /, *, c, t):
    return c + t * product(weight, "source")


MODELS["a product over the sources"] = lambda: bl.Model(mixed, read_runs(mixtures(), loss={"a": "a_loss"}), misfit=None)


@pytest.fixture(scope="module", params=MODELS)
def density(request: Any) -> Density:
    model = MODELS[request.param]()
    return Density(model)


def vectors(density: Density, count: int, spread: float = 0.3) -> np.ndarray:
    """Random parameter vectors around a plausible one."""
    rng = np.random.default_rng(0)
    if any(block.scale == "interval" for name, block in density.parameters.items() if name in TRUTH):
        guess = np.median(density.parameters.draw(1000, rng), axis=0)
    else:
        guess = first_guess(density, estimate(density.model, regularised=True))
    guess[density.parameters["sigma"].place] = np.log(0.02)
    return guess + spread * rng.standard_normal((count, density.size))


def differences(function: Callable[[np.ndarray], Any], at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences (fourth order); the last axis is the input's."""
    columns = []
    for i in range(len(at)):
        h = np.zeros(len(at))
        h[i] = step
        near, far = (np.asarray(function(at + k * h)) - np.asarray(function(at - k * h)) for k in (1, 2))
        columns.append((8 * near - far) / (12 * step))
    return np.stack(columns, axis=-1)


# ------------------------------------------------------------------------------------------------------------ density
def test_the_value_is_pymcs_up_to_one_constant(density):
    graph = density.model.pymc_model
    logp = graph.compile_logp(mode="FAST_COMPILE", sum=False)  # a sum of more than 32 terms has no Python version
    assert {rv.name for rv in graph.free_RVs} == set(density.parameters)
    offsets = []
    for v in vectors(density, 8):
        point, jacobian = {}, 0.0
        for rv, value in graph.rvs_to_values.items():
            if rv.name in density.parameters:
                block = density.parameters[rv.name]
                assert graph.named_vars_to_dims.get(rv.name, ()) == block.dims
                point[value.name] = v[block.place].reshape(block.shape)
                if block.scale == "level":  # PyMC moves its logarithm
                    point[value.name] = np.log(point[value.name])
                    jacobian += float(point[value.name].sum())
        offsets.append(sum(map(np.sum, logp(point))) - jacobian - density(v)[0])
    assert np.isfinite(offsets).all()
    assert np.ptp(offsets) < 1e-6 * max(1, abs(offsets[0]))


def test_the_gradient_is_that_of_central_differences(density):
    for v in vectors(density, 4):
        found, expected = density(v)[1], differences(lambda x: density(x)[0], v, 1e-4)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * abs(expected).max())


def test_the_prior_is_drawn_as_it_is_stated(density):
    v = density.parameters.draw(4000, np.random.default_rng(0))
    assert v.shape == (4000, density.size) and np.isfinite(v).all()
    named = density.parameters.named(v)
    block = density.parameters["sigma"]
    assert np.median(named["sigma"]) == pytest.approx(0.005, rel=0.1)
    assert block.prior.distribution == "LogNormal" and (named["sigma"] > 0).all()
    for name, block in density.parameters.items():
        x = v[:, block.place]
        np.testing.assert_allclose(block.unconstrained(block.natural(x)), x, rtol=1e-6, atol=1e-6, err_msg=name)


def test_vectors_without_a_loss_have_no_density(density):
    v = vectors(density, 1)[0]
    floor = next(name for name in ("c", "L0", "E") if name in density.parameters)
    v[density.parameters[floor].place] = np.inf
    with np.errstate(all="ignore"):
        assert density(v)[0] == -np.inf


@pytest.mark.parametrize(
    "prior", [bl.Prior("StudentT", nu=4, mu=0, sigma=1), bl.Prior("Normal", mu=0, sigma=1, transform="exp")], ids=str
)
def test_priors_it_has_no_derivative_for_are_refused(prior):
    m = bl.Model(models.dcpt, read_runs(table()), priors={"eta": prior}, misfit=None)
    with pytest.raises(LawError, match="cannot sample eta.*LogNormal.*pymc_model"):
        _ = Density(m).size


def test_the_start_lies_inside_the_priors():
    m = MODELS["Gamma, Beta, Exponential, Uniform"]()
    d = Density(m)
    with np.errstate(all="ignore"):
        assert np.isfinite(first_guess(d, estimate(m, regularised=True))).all()


def test_below_the_bend_the_prior_of_a_level_goes_on_smoothly_and_falls():
    m = MODELS["independent, no shape"]()
    parameters = Density(m).parameters
    block = parameters["E"]
    assert block.bend == pytest.approx(1.5 * np.exp(-4 * 0.5))

    def at(level: float) -> float:
        v = np.zeros(parameters.size)
        v[block.place] = (level, 1.5)
        return parameters.log_prior(v, *parameters.natural(v), np.zeros(parameters.size))

    grid = np.linspace(-0.5, 2 * block.bend, 41)
    values = np.array([at(x) for x in grid])
    assert (np.diff(values) > 0).all() and at(1.5) - at(block.bend) > 5
    assert at(block.bend * (1 - 1e-9)) == pytest.approx(at(block.bend), abs=1e-6)


def test_a_level_may_have_a_population_of_known_location():
    prior = bl.Prior("LogNormal", mu=0.4, sigma=bl.Prior("HalfNormal", sigma=0.5), dims="domain")
    parameters = Density(bl.Model(models.dcpt, read_runs(table()), priors={"E": prior}, misfit=None)).parameters
    assert parameters["E"].bend == pytest.approx(np.exp(0.4 - 4 * 0.67 * 0.5))


# -------------------------------------------------------------------------------------------------------- coordinates
@pytest.fixture(scope="module", params=["plain", "conditionals", "sums, widths and softened logs"])
def coordinates(density: Any, request: Any) -> Coordinates:
    plain = Coordinates(density)
    if request.param == "plain":
        return plain
    if request.param == "conditionals":
        return Coordinates(density, conditionals(density, vectors(density, 1)[0]))
    pairs = np.unique(plain.plan[0][:2, 0])[: 2 * (len(plain.amplitudes) > 1)].reshape(-1, 2)
    sigma, own = density.parameters["sigma"].place.start, np.unique(density.entries(density.labels))[:4]
    entries = np.column_stack([own, np.full(len(own), sigma)])
    widths = Widths(entries, np.linspace(0.2, 0.99, len(own)), plain.inverse(vectors(density, 1)[0])[entries] + 0.1)
    logs = np.concatenate([b.entries for b in density.parameters.values() if b.scale == "log"])
    logs = np.setdiff1d(logs, [*own, *pairs.ravel(), *plain.plan[0].ravel(), sigma])[:3]
    softened = Softened(logs, np.array([-2.0, 0.5, 3.0])[: len(logs)])
    return replace(plain, splits=Splits(pairs, np.full(len(pairs), 0.3)), widths=widths, softened=softened)


def test_there_and_back_again(coordinates):
    for v in vectors(coordinates.density, 4):
        back, jacobian = coordinates.forward(coordinates.inverse(v))
        assert np.isfinite(jacobian)
        np.testing.assert_allclose(back, v, rtol=1e-8, atol=1e-8)


def test_the_jacobian_is_that_of_the_numeric_matrix(coordinates):
    for v in vectors(coordinates.density, 2):
        u = coordinates.inverse(v)
        sign, expected = np.linalg.slogdet(differences(lambda x: coordinates.forward(x)[0], u))
        assert sign > 0
        assert coordinates.forward(u)[1] == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_the_gradient_in_the_coordinates(coordinates):
    for v in vectors(coordinates.density, 3):
        u = coordinates.inverse(v)
        value, found = coordinates(u)
        assert value == pytest.approx(coordinates.density(v)[0] + coordinates.forward(u)[1], rel=1e-8)
        expected = differences(lambda x: coordinates(x)[0], u)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * abs(expected).max())


def test_an_amplitude_moves_by_its_drop_also_where_the_first_cell_has_no_weight():
    plain = Coordinates(Density(bl.Model(models.chinchilla, read_runs(grid_of_sizes()), misfit=None)))
    contrasts = plain.contrasts.copy()
    contrasts[:, 0] = 0.0
    found = replace(plain, determined=(plain.plan[-1], contrasts))
    for v in vectors(plain.density, 2):
        values = found.evaluate_units(v)
        alone(values, found.plan[0])
        falls = (contrasts * values.reshape(3, -1)[:2]).sum(axis=1)
        own = found.plan[0][:, 0]
        np.testing.assert_allclose(found.inverse(v)[own], v[own] + np.log(falls))
        np.testing.assert_allclose(found.forward(found.inverse(v))[0], v)


def test_amplitudes_that_their_population_ties_follow_their_exponents():
    """Moving an exponent of one group by a standard deviation does not part its amplitude from the population's."""
    density = Density(MODELS["bent groups"]())
    parameters = density.parameters
    v = vectors(density, 1, 0.0)[0]
    v[parameters["C_sigma"].place] = np.log(1e-3)
    tied = Coordinates(density, conditionals(density, v))
    u = tied.inverse(v)
    u[parameters["gamma"].entries[0]] += 1.0
    moved = tied.forward(u)[0]
    away = moved[parameters["C"].place].reshape(2, 2) - moved[parameters["C_mu"].place][:, None]
    before = v[parameters["C"].place].reshape(2, 2) - v[parameters["C_mu"].place][:, None]
    assert abs(moved - v)[parameters["gamma"].place].max() > 0.05
    np.testing.assert_allclose(away, before, atol=3e-3)


# -------------------------------------------------------------------------------------------------------------- errors
SIGMA = np.array([0.01, 0.03, 0.02])
PATHS = [np.log([1e8, 2e8, 9e8, 4e9]), np.log([5e8]), np.log([1e8, 1e9]), np.log([3e8, 3.1e8, 8e8, 1e9, 7e10])]


def ragged(holes: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Errors, what was measured, gaps, first rows and log tokens of runs of four lengths."""
    path, start = np.concatenate(PATHS), np.repeat(np.cumsum([0] + [len(p) for p in PATHS[:-1]]), list(map(len, PATHS)))
    measured = np.ones((len(path), 3), bool)
    if holes:
        measured[[0, 1, 4, 8], [1, 0, 2, 2]] = False
        measured[7, :2] = False
    gap = np.full(measured.shape, 1e3)
    for v in range(3):
        for i in range(len(path)):
            before = [j for j in range(start[i], i) if measured[j, v]]
            if before:
                gap[i, v] = path[i] - path[before[-1]]
    error = np.random.default_rng(5).normal(0, 0.03, measured.shape) * measured
    return error, measured, gap, start, path


def density_of_errors(
    e: np.ndarray, measured: np.ndarray, gap: np.ndarray, start: np.ndarray, x: np.ndarray, robust: bool
) -> tuple[float, np.ndarray, np.ndarray]:
    """Density, its gradient in the errors, and that in sigmas, w, ell and rho; each run a pack of its own."""
    (seen, gaps, begins, times), first, pattern = patterns(measured, gap, start)
    evals, rows = seen.shape[1], len(e)
    kept, before = np.zeros((KEPT, *seen.shape)), np.zeros(seen.shape, int)
    by, g_error, g_sigma = np.zeros((SUMS, *seen.shape)), np.zeros_like(e), np.zeros(evals)
    of_pattern, by_own = np.zeros(rows * evals * SUMS * LANES), np.zeros(evals * LANES)
    memory, of_pack = np.zeros(rows * evals * CELL), np.zeros(2 * evals * LANES)
    sigma, (w, ell, rho) = x[:evals], x[evals:]
    value = begin(seen, gaps, begins, times, sigma, w, ell, rho, kept, before)
    for n, t in enumerate(pattern):
        own = slice(first[n], first[n + 1])
        length = first[n + 1] - first[n]
        error, by_error = np.zeros((2, length, evals, LANES))
        error[..., n % LANES] = e[own]
        value += evaluate_pack(
            error.ravel(), by_error.ravel(), t, length, seen, before, kept, sigma, w, robust, memory, of_pack,
            of_pattern, by_own,
        )  # fmt: skip
        g_error[own] = by_error[..., n % LANES]
        collect(of_pattern, t, length, by)
    g_others = close(seen, gaps, times, before, kept, by, by_own, sigma, w, ell, rho, g_sigma)
    return value, g_error, np.array([*g_sigma, *g_others])


def evaluate(e: np.ndarray, x: np.ndarray, holes: bool, robust: bool) -> tuple[float, np.ndarray]:
    """Density and its gradient in the errors, then in x: three log sigmas, w, ell, rho."""
    _, measured, gap, start, _ = ragged(holes)
    natural = np.array([*np.exp(x[:3]), *x[3:]])
    value, g_error, g_x = density_of_errors(e, measured, gap, start, natural, robust)
    return value, np.concatenate([g_error[measured], g_x[:3] * natural[:3], g_x[3:]])


X = np.array([*np.log(SIGMA), 0.35, 0.7, 0.45])


def dense(e: np.ndarray, x: np.ndarray, holes: bool) -> float:
    _, measured, _, start, path = ragged(holes)
    sigma, w, ell, rho = np.exp(x[:3]), x[3], x[4], x[5]
    same_run = start[:, None] == start
    along = same_run * (w + (1 - w) * np.exp(-abs(path[:, None] - path) / ell))
    across = np.where(np.eye(3) == 1, 1.0, rho) * np.outer(sigma, sigma)
    keep = measured.T.ravel()
    covariance = np.kron(across, along)[np.ix_(keep, keep)]
    return float(multivariate_normal(cov=covariance).logpdf(e.T.ravel()[keep]))


def test_errors_have_the_dense_normal_density_up_to_a_constant():
    e, *_ = ragged(False)
    rng = np.random.default_rng(1)
    offsets = []
    for _ in range(6):
        x = X + rng.normal(0, 0.1, 6)
        e = rng.normal(0, 0.03, e.shape)
        offsets.append(dense(e, x, False) - evaluate(e, x, False, False)[0])
    np.testing.assert_allclose(offsets, -0.5 * e.size * np.log(2 * np.pi), rtol=1e-9)


def test_one_validation_set_with_holes_has_the_dense_normal_density():
    rng = np.random.default_rng(2)
    _, measured, gap, start, path = ragged(True)
    for v in range(3):
        seen = measured[:, v]
        e = rng.normal(0, 0.03, (len(path), 1)) * seen[:, None]
        sigma, w, ell = SIGMA[[v]], 0.35, 0.7
        x = np.array([*sigma, w, ell, 0.0])
        value, *_ = density_of_errors(e, seen[:, None], gap[:, [v]], start, x, False)
        along = (start[:, None] == start) * (w + (1 - w) * np.exp(-abs(path[:, None] - path) / ell)) * sigma**2
        expected = multivariate_normal(cov=along[np.ix_(seen, seen)]).logpdf(e[seen, 0])
        assert value - 0.5 * seen.sum() * np.log(2 * np.pi) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("robust", [False, True], ids=["normal", "Student-t"])
@pytest.mark.parametrize("holes", [False, True], ids=["full", "holes"])
def test_derivatives_of_the_errors_density(holes, robust):
    e, measured, *_ = ragged(holes)

    def at(y: np.ndarray) -> float:
        changed = e.copy()
        changed[measured] = y[:-6]
        return evaluate(changed, y[-6:], holes, robust)[0]

    y = np.concatenate([e[measured], X])
    expected = differences(at, y, 1e-5)
    np.testing.assert_allclose(evaluate(e, X, holes, robust)[1], expected, rtol=1e-5, atol=1e-7 * abs(expected).max())


def test_robust_errors_cost_less_far_out():
    e, *_ = ragged(False)
    e[2, 1] = 0.5
    normal, robust = (evaluate(e, X, False, r)[0] for r in (False, True))
    assert robust > normal + 50
