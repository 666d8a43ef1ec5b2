"""Mixture laws on published tables: least squares, and the mode under the card's priors."""

import inspect
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import brentq, least_squares
from scipy.stats import spearmanr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.checks.mixtures import sources_left_out
from bayeslaw.decisions.domain_alignment import alignment
from bayeslaw.declare.laws import Law
from bayeslaw.tables.mixtures import sources
from bayeslaw.tables.runs import read_runs
from bayeslaw.workflow import Fit

DATA = Path(os.environ.get("BAYESLAW_TABLES", Path(__file__).parents[3] / "shared/data"))


def read(name: str) -> pd.DataFrame:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"no file {path}: this published table is not part of the package")
    return pd.read_csv(path)


def paper(law: Law) -> Law:
    """Return a mixing law as its paper has it: without the term for a source that is left out."""

    def function(*covariates: Any, **coefficients: Any) -> Any:
        return law.function(*covariates, **coefficients, lack=np.zeros((1, 1)))

    names = {k: c for k, c in law.coefficients.items() if k != "lack"}
    signature = inspect.signature(law.function)
    without = [p for p in signature.parameters.values() if p.name != "lack"]
    function.__signature__ = signature.replace(parameters=without)  # type: ignore[attr-defined]
    function.__name__ = law.name
    return replace(law, function=function, coefficients=names)


M4 = paper(models.data_mixing)


class Fitted:
    """A law at its least squares, or at its mode: log losses with a given error, priors as on the card."""

    def __init__(self, law: Law, covariates: list[np.ndarray], loss: np.ndarray, **settings: Any) -> None:
        self.law = law
        self.theta = self.center = np.zeros(0)
        size = len(covariates[-1]) if "weight" in law.covariates else 0
        self.place: dict[str, slice] = {}
        scale: list[float] = []
        for name, c in law.coefficients.items():
            n, p = (size if c.over else 1), c.prior.parameters
            self.place[name] = slice(len(scale), len(scale) + n)
            self.center = np.append(self.center, np.full(n, p["mu"]))
            scale += [p["sigma"]] * n
        error, starts = settings.get("error"), settings.get("starts", [self.center])

        def residual(theta: np.ndarray) -> np.ndarray:
            with np.errstate(all="ignore"):
                found = self.law.function(*covariates, **self.coefficients(theta))
                if error is None:
                    parts = found - loss
                else:
                    parts = np.append((np.log(found) - np.log(loss)) / error, (theta - self.center) / scale)
            miss: np.ndarray = np.nan_to_num(parts, nan=1e3, posinf=1e3, neginf=-1e3)
            return miss

        found = [least_squares(residual, s, method="lm", x_scale="jac", max_nfev=20_000) for s in starts]
        self.theta = min(found, key=lambda o: o.cost).x

    def coefficients(self, theta: np.ndarray) -> dict[str, Any]:
        """Plain arrays, the sources first."""
        result = {}
        for name, c in self.law.coefficients.items():
            values = theta[self.place[name]]
            values = np.exp(np.minimum(values, 30)) if c.prior.distribution == "LogNormal" else values
            result[name] = values[:, None] if c.over else values[0]
        return result

    def __call__(self, *covariates: np.ndarray) -> np.ndarray:
        loss: np.ndarray = self.law.function(*covariates, **self.coefficients(self.theta))
        return loss

    def __getitem__(self, name: str) -> Any:
        return np.squeeze(self.coefficients(self.theta)[name])


def mixing_starts(lowest: float, count: int) -> list[np.ndarray]:
    """Floors just below the lowest loss: where it lies and how steep the rest is can be traded."""
    return [np.r_[np.log(share * lowest), np.full(count, -1.0)] for share in (0.8, 0.95, 0.99)]


# ------------------------------------------------------------------------------------------------ 410M, three domains
@pytest.fixture(scope="module")
def three() -> tuple[np.ndarray, pd.DataFrame]:
    table = read("data_mixing_laws/3mix_410M_step60000.csv")
    return table[["r_github", "r_books3", "r_pilecc"]].to_numpy(), table


@pytest.mark.parametrize(
    ("domain", "mae", "c", "t"),
    [
        ("github", 0.0039, 0.903, (-3.24, -0.58, -0.84)),
        ("books3", 0.0047, 2.899, (-0.76, -3.44, -2.33)),
        ("pilecc", 0.0042, 2.920, (-0.63, -0.86, -2.80)),
    ],
)
def test_interior_mixtures_of_three_domains(three, domain, mae, c, t):
    shares, table = three
    interior = (shares > 0).all(axis=1)
    assert interior.sum() == 20
    x, loss = shares[interior].T, table[f"loss_{domain}"].to_numpy()[interior]
    fit = Fitted(M4, [x], loss, starts=mixing_starts(loss.min(), 3))
    assert abs(fit(x) - loss).mean() == pytest.approx(mae, abs=5e-5)
    assert fit["c"] == pytest.approx(c, abs=1.5e-3)
    np.testing.assert_allclose(fit["t"], t, atol=6e-3)


def test_the_law_jumps_where_a_source_is_left_out(three):
    """GitHub loss: the law of the other mixtures is a nat too low without any code; M1 bends further."""
    shares, table = three
    loss, without = table["loss_github"].to_numpy(), shares[:, 0] == 0
    fit = Fitted(M4, [shares[~without].T], loss[~without], starts=mixing_starts(loss.min(), 3))
    assert (~without).sum() == 26 and abs(fit(shares[~without].T) - loss[~without]).mean() < 0.005
    assert np.median(loss[without] - fit(shares[without].T)) > 0.8

    whole = Fitted(M4, [shares.T], loss, starts=mixing_starts(loss.min(), 3))
    start = np.r_[np.log(0.8), np.full(3, -2.0), np.full(3, -3.0)]
    bent = Fitted(models.data_mixing_m1, [shares.T], loss, starts=[start])
    errors = [abs(f(shares.T) - loss).mean() for f in (whole, bent)]
    assert errors[0] > 0.05 and errors[1] < errors[0] / 2


def test_the_check_names_the_source_that_was_left_out(three):
    shares, table = three
    domains = ["github", "books3", "pilecc"]
    runs = read_runs(
        table.rename(columns={f"r_{d}": f"weight_{d}" for d in domains}).drop(columns="id"),
        loss={d: f"loss_{d}" for d in domains},
    )
    interior, draws = (shares > 0).all(axis=1), {}
    for d in domains:
        loss = table[f"loss_{d}"].to_numpy()[interior]
        draws[d] = Fitted(M4, [shares[interior].T], loss, starts=mixing_starts(loss.min(), 3))
    posterior = xr.Dataset(
        {
            "c": (("chain", "draw", "eval"), [[[draws[d]["c"] for d in domains]] * 2]),
            "t": (("chain", "draw", "eval", "source"), [[[draws[d]["t"] for d in domains]] * 2]),
            "sigma": (("chain", "draw", "eval"), np.full((1, 2, 3), 0.004)),
        },
        coords={"chain": [0], "draw": [0, 1], "eval": domains, "source": domains},
    )
    found: Any = sources_left_out(Fit(bl.Model(M4, runs, misfit=None), xr.DataTree.from_dict({"posterior": posterior})))
    assert not found.passed and "at_least=" in found.text
    assert "the github loss without github, measured 1.04 nats above it in 6 rows" in found.text


# ------------------------------------------------------------------------------------------------- 70M, five domains
PUBLISHED = {  # log c, log k, t in the order of the shares; MAE and R2 over the 26 mixtures
    "academic": ([0.9750, -2.1391, -10.0864, 2.7140, 2.7106, 2.6083, 1.5866], 0.0281, 0.986),
    "prose": ([1.2624, -2.1656, 1.3930, -4.6811, 0.7855, 1.8719, 0.5734], 0.0119, 0.971),
    "dialogue": ([1.1375, -7.1017, 6.7135, 6.2643, -31.8621, 6.6423, 6.2053], 0.0261, 0.969),
    "symbolic": ([0.4750, -3.6546, 3.3289, 3.6705, 3.1127, -16.4217, 3.1591], 0.0150, 0.996),
    "internet": ([1.2402, -1.9510, 1.1897, 0.8697, -0.5184, 1.7122, -3.0870], 0.0097, 0.987),
}


@pytest.mark.parametrize("domain", PUBLISHED)
def test_published_coefficients_of_five_domains(domain):
    """The notebook's law, its k absorbed in t, misses the measured losses by as much as it does."""
    table = read("data_mixing_laws/5mix_step30000.csv").query("size == '70M'")
    shares = table[[f"r_{d}" for d in PUBLISHED]].to_numpy().T
    loss = table[f"loss_{domain}"].to_numpy()
    (log_c, log_k, *t), mae, r2 = PUBLISHED[domain]
    found = M4(shares, c=np.exp(log_c), t=np.add(t, log_k)[:, None])
    assert len(loss) == 26
    assert abs(found - loss).mean() == pytest.approx(mae, abs=1e-4)
    assert 1 - ((found - loss) ** 2).sum() / ((loss - loss.mean()) ** 2).sum() == pytest.approx(r2, abs=1e-3)


def test_the_term_for_a_source_left_out_follows_the_jumps():
    """18 of 26 mixtures leave a source out: at its mode the law misses each loss by less than the paper's law does."""
    table = read("data_mixing_laws/5mix_step30000.csv").query("size == '70M'")
    shares, misses = table[[f"r_{d}" for d in PUBLISHED]].to_numpy().T, []
    assert (shares == 0).any(axis=0).sum() == 18
    for domain in PUBLISHED:
        loss = table[f"loss_{domain}"].to_numpy()
        fits = [Fitted(law, [shares], loss, error=0.005) for law in (M4, models.data_mixing)]
        misses.append([abs(fit(shares) - loss).mean() for fit in fits])
    plain, own = np.transpose(misses)
    assert (own < 0.6 * plain).all() and own.mean() < 0.4 * plain.mean() and own.max() < 0.01


# ----------------------------------------------------------------------------------------------- continual pre-training
def test_the_share_that_avoids_forgetting():
    """Pythia 70M on Pile and Python: the Pile share that keeps the loss of 2.873368 before it.

    The paper finds 0.28623 and trains a check run at 0.28516, which ends at 2.87207; it looks for c by the straightness
    of log(L - c), which moves c and the slope more than the answer.
    """
    table = read("pythia70m_cpt/ct_pythia70m_pile_python.csv").query("step == 10000")
    check = np.isclose(table["r_pile"], 0.28515625)
    assert check.sum() == 1
    x, loss = table[["r_pile", "r_domain"]].to_numpy().T, table["pile_loss"].to_numpy()
    fit = Fitted(M4, [x[:, ~check]], loss[~check], starts=mixing_starts(loss.min(), 2))
    critical = brentq(lambda r: fit(np.array([[r], [1 - r]]))[0] - 2.873368, 0.125, 0.5)
    assert critical == pytest.approx(0.28623, abs=0.004)
    assert fit(x[:, check]).item() == pytest.approx(loss[check].item(), abs=1e-3)


# --------------------------------------------------------------------------------------------------------------- RegMix
@pytest.fixture(scope="module")
def regmix() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Shares (source, mixture) and Pile-CC losses of 512 mixtures and two tests, through the door of the package."""
    result = {}
    for name, kind, size in (("train", "train", "1m"), ("1M", "test", "1m"), ("60M", "test", "60m")):
        table = read(f"regmix/{kind}_mixture_{size}.csv").drop(columns="index")
        table.columns = table.columns.str.replace("train_the_pile_", "weight_")
        table["loss"] = read(f"regmix/{kind}_pile_loss_{size}.csv")["metric/the_pile_pile_cc_val_loss"]
        runs = read_runs(table.assign(run=table.index))
        assert "were divided by them" in runs.note and len(sources(runs.table)) == 17
        result[name] = (runs.dataset["weight"].values.T, runs.dataset["loss"].values[:, 0])
    return result


def rank_correlations(fit: Fitted, data: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    return tuple(float(spearmanr(fit(data[k][0]), data[k][1]).statistic) for k in ("1M", "60M"))  # type: ignore[return-value]


def test_regmix_linear_ranks_as_published(regmix):
    """Rank correlation of linear regression: .902 on the 1M test mixtures, .893 on those of 60M."""
    x, loss = regmix["train"]
    fit = Fitted(models.regmix, [x], loss)
    assert rank_correlations(fit, regmix) == pytest.approx((0.9018, 0.8929), abs=5e-4)
    assert rank_correlations(Fitted(models.regmix, [x], loss, error=0.027), regmix) == pytest.approx(
        (0.90, 0.89), abs=5e-3
    )


def test_mixing_laws_rank_better_than_a_line(regmix):
    """M4 ranks the test mixtures at .966 and .960 by least squares; M1, which bends more, better at its mode."""
    x, loss = regmix["train"]
    fit = Fitted(M4, [x], loss)
    assert rank_correlations(fit, regmix) == pytest.approx((0.9659, 0.9602), abs=5e-4)
    assert fit["c"] == pytest.approx(
        5.244, abs=1e-3
    )  # above the lowest loss that was measured: the law cannot follow it
    assert loss.min() == pytest.approx(5.082, abs=1e-3)
    bent = Fitted(models.data_mixing_m1, [x], loss, error=0.015)
    first, second = rank_correlations(bent, regmix)
    assert first >= 0.975 and second >= 0.965


def test_the_term_for_a_source_left_out_ranks_unseen_mixtures(regmix):
    """45 % of the shares are 0. With the term for them the law ranks as the boosted trees do (.985 and .986)."""
    x, loss = regmix["train"]
    own = Fitted(models.data_mixing, [x], loss, error=0.01)
    assert min(rank_correlations(own, regmix)) >= 0.98
    x, loss = regmix["1M"]
    assert abs(own(x) - loss).mean() < 0.04


# --------------------------------------------------------------------------------------------- size, tokens and mixture
@pytest.fixture(scope="module")
def grid() -> pd.DataFrame:
    table = read("slimpajama_grid/upto_680M.csv").rename(columns={"model_size": "N", "n_tokens": "D"})
    longest = table.groupby([*(f"weight_{s}" for s in sources(table)), "N"])["D"].transform("max")
    return table.assign(early=table["D"] <= 0.6 * longest, small=table["N"] < 5e8)


@pytest.mark.parametrize(("known", "median"), [("early", 0.77), ("small", 0.92)])
def test_the_nested_law_extrapolates_in_tokens_and_size(grid, known, median):
    """Tokens up to 60 % of each run, then the rest; 122M and 310M, then 680M. Median relative errors in %."""
    columns = [f"weight_{s}" for s in sources(grid)]
    errors = []
    for loss in grid.columns[grid.columns.str.endswith("_loss")]:
        rows = grid.dropna(subset=loss)
        parts = []
        for part in (rows[rows[known]], rows[~rows[known]]):
            parts.append([part["N"].to_numpy() / 1e9, part["D"].to_numpy() / 1e10, part[columns].to_numpy().T])
        seen, unseen = rows.loc[rows[known], loss].to_numpy(), rows.loc[~rows[known], loss].to_numpy()
        fit = Fitted(paper(models.nested_data_mixing), parts[0], seen, error=0.005)
        errors.append(100 * np.median(abs(fit(*parts[1]) / unseen - 1)))
    assert len(errors) == 8 and max(errors) < 1.3
    assert np.median(errors) == pytest.approx(median, abs=0.02)


# ------------------------------------------------------------------------------------------------------- domain vectors
def test_mixtures_of_the_pile_are_found_again_from_published_domain_vectors():
    """60 of the 260 coordinates are printed; the rest of each vector is one more. The Pile's own mixture comes back."""
    vectors = read("domain2vec/fig1_vectors.csv").set_index("meta_domain")
    assert vectors.shape == (60, 17)
    assert vectors["DM Mathematics"].sum() == pytest.approx(0.975, abs=1e-3)
    assert vectors["EuroParl"].sum() == pytest.approx(0.973, abs=1e-3)
    assert vectors.sum().min() > 0.405 and vectors.sum().max() < 0.985
    vectors.index = vectors.index.astype(str)
    vectors.loc["rest"] = 1 - vectors.sum()
    pile = [0.142, 0.136, 0.134, 0.054, 0.049, 0.118, 0.053, 0.107, 0.025]
    pile += [0.117, 0.025, 0.009, 0.005, 0.01, 0.003, 0.007, 0.004]
    planted = pd.Series(pile, index=vectors.columns) / sum(pile)
    found = alignment(vectors, vectors @ planted)
    assert found.note == ""
    np.testing.assert_allclose(found.draws.squeeze(), planted, atol=2e-3)
