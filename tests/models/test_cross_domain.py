"""The cross-domain D-CPT law: its formula, the features of early training, predictions for domains, learnability."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure
from typer.testing import CliRunner

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.cli import app
from bayeslaw.errors import DataError, LawError, RangeError, UnknownName
from bayeslaw.plots import plot_forest
from bayeslaw.validation.evaluation import convergence

DOMAINS = {"code": (1.2, 0.6), "law": (2.0, 0.35), "math": (1.7, 0.5), "music": (1.0, 0.8)}
"""k1 and k2 in nats."""

SHARED = dict(A=0.4, alpha=0.3, B=0.06, beta=0.3, eta=1.2, C=0.4, gamma=0.4, eps=0.08)
TRUTH = SHARED | dict(E=0.8, F=0.7, mu=1.1, w=0.6)
CELL: dict[str, Any] = {"N": 5e8, "domain_share": 0.5}
TOKENS = (1e8, 5e8, 1e9)


def simulated(domains: dict[str, tuple[float, float]] = DOMAINS) -> pd.DataFrame:
    """Domain losses of domains without error, with their features as columns."""
    levels: list[Any] = [domains, [5e8, 2e9, 4e9], [0.1, 0.3, 0.5, 0.9], [1e9, 4e9, 2e10]]
    rows = pd.MultiIndex.from_product(levels, names=["domain", "N", "domain_share", "D"]).to_frame(index=False)
    for i, name in enumerate(("k1", "k2")):
        rows[name] = rows["domain"].map({d: k[i] for d, k in domains.items()})
    at = rows["N"] / 1e9, rows["D"] / 1e10, rows["domain_share"], rows["k1"] / 2, rows["k2"] / 0.5
    return rows.assign(domain_loss=models.cross_domain_dcpt(*at, **TRUTH))


def early() -> pd.DataFrame:
    """Two domains from before training to 10,000 steps, at two shares, without features."""
    rows = []
    for domain, losses in {"code": (2.0, 1.5, 1.3, 1.2), "law": (3.0, 2.4, 2.2, 2.1)}.items():
        for share in (0.5, 0.9):
            for D, loss in zip((0.0, *TOKENS), losses, strict=True):
                rows.append((domain, 5e8, share, D, 2.5, loss - 0.1 * (share > 0.5) * (D > 0)))
    return pd.DataFrame(rows, columns=["domain", "N", "domain_share", "D", "general_loss", "domain_loss"])


# ------------------------------------------------------------------------------------------------------------------ law
@pytest.mark.parametrize(
    ("name", "K"),
    [
        ("cross_domain_dcpt", lambda k1, k2, k3, w, v: w[0] / k1 + w[1] * k2),
        ("cross_domain_dcpt_k1", lambda k1, k2, k3, w, v: 2.0 / k1),
        ("cross_domain_dcpt_k2", lambda k1, k2, k3, w, v: k2 / 0.5),
        ("cross_domain_dcpt_k4", lambda k1, k2, k3, w, v: w[0] / k1 + v[0] * k2 + v[1] / k3),
    ],
)
def test_the_representations_are_the_papers(name, K):
    """With the paper's weights: w1 of 1 / k1, w2 of k2, w3 of 1 / k3, tied so that K = 1 at the reference."""
    law, share_of_k1, share_of_k2 = models.catalogue[name], 0.6, 0.3
    k = {"k1": 1.4, "k2": 0.7, "k3": 0.2}
    weights = (2.0 * share_of_k1, (1 - share_of_k1) / 0.5)
    rest = ((1 - share_of_k1) * share_of_k2 / 0.5, (1 - share_of_k1) * (1 - share_of_k2) * 0.4)
    coefficients = TRUTH | {"w": share_of_k1, "v": share_of_k2}
    given = {c: coefficients[c] for c in law.coefficients}
    reference = law.reference()
    at = [k[c] / reference[c] for c in law.covariates if c in k]
    expected = (
        models.dcpt(1.8, 0.7, 0.4, **SHARED, E=TRUTH["E"]) + TRUTH["F"] / K(**k, w=weights, v=rest) ** TRUTH["mu"]
    )
    assert law(1.8, 0.7, 0.4, *at, **given) == pytest.approx(expected, rel=1e-12)


def test_a_domain_that_is_learned_easily_has_the_lower_loss():
    at = [1.8, 0.7, 0.4]
    easy, hard = (models.cross_domain_dcpt(*at, k1, k2, **TRUTH) for k1, k2 in ((0.6, 1.5), (1.2, 0.5)))
    assert easy < hard and "larger K means a lower loss" in models.cross_domain_dcpt.card()


def test_least_squares_recovers_the_surface_and_a_domain_from_its_features():
    """Of E, F, mu and w, four domains are the fewest that determine all."""
    rows = simulated(DOMAINS | {"prose": (1.2, 0.9), "chat": (3.1, 0.6)})
    left_out = rows["domain"] == "math"
    model = bl.Model(
        models.cross_domain_dcpt, bl.read_runs(rows[~left_out]), noise=bl.Noise(correlated=False), misfit=None
    )
    fit = model.fit(method="mle", seed=1)
    for which, columns in ((~left_out, ["domain"]), (left_out, ["k1", "k2"])):
        at: dict[str, Any] = {
            c: xr.DataArray(rows.loc[which, c], dims="row") for c in ["N", "D", "domain_share", *columns]
        }
        found = fit.predict(**at).draws.squeeze(["chain", "draw", "eval"])
        np.testing.assert_allclose(found, rows.loc[which, "domain_loss"], atol=1e-3)


def test_predictions_look_the_features_up():
    fit = bl.Model(
        models.cross_domain_dcpt, bl.read_runs(simulated()), by={"E": "domain"}, misfit=None
    ).prior_predictive(draws=20)
    ask: dict[str, Any] = {"N": 1e9, "D": 1e10, "domain_share": [0.2, 0.8]}
    looked_up = fit.predict(**ask, domain="law").draws
    np.testing.assert_array_equal(looked_up, fit.predict(**ask, domain="law", k1=2.0, k2=0.35).draws)
    both = fit.predict(**ask, domain=["code", "law"]).draws
    np.testing.assert_allclose(both.sel(domain="law"), looked_up)
    assert fit.best_ratio(N=1e9, domain_tokens=5e9, domain="law").draws.notnull().all()
    unseen = fit.predict(**ask, domain=bl.UNSEEN, k1=1.5, k2=0.5).draws
    assert unseen.sizes["domain_share"] == 2
    with pytest.raises(DataError, match="k1 is missing"):
        fit.predict(**ask, domain=bl.UNSEEN)


# ------------------------------------------------------------------------------------------------------- early features
def test_features_by_hand_and_no_loss_counted_twice():
    runs = bl.read_runs(early())
    found = bl.early_features(runs, **CELL, tokens=TOKENS)
    by_domain = found.table.groupby("domain")[["k1", "k2", "k3"]].first()
    np.testing.assert_allclose(by_domain.loc["code"], [1.5, 0.7, 2.0 - 2 * 1.3 + 1.2])
    np.testing.assert_allclose(by_domain.loc["law"], [2.4, 0.8, 3.0 - 2 * 2.2 + 2.1])
    assert len(found.table) == len(runs.table) - 6 and not np.isclose(found.table["domain_share"], 0.5).any()
    assert len(found.baseline) == 4 and "6 rows became features" in found.note
    simplified = bl.early_features(runs, **CELL, tokens=TOKENS, k3="simplified").table
    np.testing.assert_allclose(simplified.groupby("domain")["k3"].first(), [2.0 - 1.2, 3.0 - 2.1])
    two = bl.early_features(runs, **CELL, tokens=TOKENS[:2]).table
    assert "k3" not in two and len(two) == len(runs.table) - 4
    general = early().assign(general_loss=lambda t: 2.5 - t["D"] / 1e10)
    of_general = bl.early_features(bl.read_runs(general), **CELL, tokens=TOKENS[:2], eval="general").table
    assert of_general["k1"].iloc[0] == pytest.approx(2.49) and of_general["k2"].iloc[0] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("change", "ask", "error", "words"),
    [
        (
            lambda t: t[(t["domain"] != "law") | (t["D"] != 5e8)],
            {},
            DataError,
            "domain 'law' was not measured at N 5e8",
        ),
        (lambda t: t, {"domain_share": 0.3}, DataError, "domain 'code' was not measured at .* domain_share 0.3"),
        (
            lambda t: t[(t["D"] > 0) | (t["domain"] == "code")],
            {},
            DataError,
            "'law' has no row at D = 0 .*before training",
        ),
        (lambda t: t.drop(columns="domain"), {}, DataError, "no column 'domain'"),
        (
            lambda t: t.assign(domain_loss=2.0),
            {},
            DataError,
            "k2 of the domain 'code' is 0: its domain loss does not fall",
        ),
        (lambda t: t, {"eval": "domian"}, UnknownName, "did you mean 'domain'"),
        (lambda t: t, {"k3": "simple"}, UnknownName, "did you mean 'simplified'"),
        (lambda t: t, {"tokens": (1e8,)}, DataError, "after 1,000 and 5,000 steps"),
    ],
    ids=["a gap", "another cell", "no baseline", "no domains", "flat", "eval", "k3", "tokens"],
)
def test_features_that_cannot_be_read(change, ask, error, words):
    table = change(early())
    if "domain" not in table:
        table = table.assign(run=np.repeat(["a", "b", "c", "d"], 4))
    with pytest.raises(error, match=words) as caught:
        bl.early_features(bl.read_runs(table), **{**CELL, "tokens": TOKENS, **ask})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda t: t.assign(k1=100 * t["k1"]),
            "k1 of the domain 'code' is 120, and .* takes 0.1 to 10 nats: convert it",
        ),
        (lambda t: t.assign(k2=t["k2"] - 0.4), "k2 of the domain 'law' is -0.05, .*nats per token"),
        (
            lambda t: t.assign(k1=t["k1"] + t["D"] / 1e11),
            "k1 of the domain 'code' is 1.21 in one row and .* in another",
        ),
        (lambda t: t.assign(k1=t["k1"].where(t["domain"] != "law")), "k1 is missing in row 36"),
        (lambda t: t.drop(columns="k2"), "needs a column 'k2', which the table does not have"),
    ],
    ids=["percent", "a rise", "not a feature", "a domain without", "no column"],
)
def test_features_that_no_law_can_take(change, words):
    with pytest.raises(DataError, match=words) as caught:
        _ = bl.Model(models.cross_domain_dcpt, bl.read_runs(change(simulated())), misfit=None).design
    assert "\n" not in str(caught.value)


# --------------------------------------------------------------------------------------------------------- learnability
@pytest.mark.parametrize("name", ["cross_domain_dcpt", "cross_domain_dcpt_k1", "cross_domain_dcpt_k2"])
def test_learnability_is_read_off_the_losses(name):
    law = models.catalogue[name]
    fit = bl.Model(law, bl.read_runs(simulated()), by={"E": "domain"}, misfit=None).prior_predictive(draws=400)
    found = bl.learnability(fit)
    weight: Any = {"cross_domain_dcpt_k1": 1.0, "cross_domain_dcpt_k2": 0.0}.get(name, fit.posterior.get("w"))
    for domain, (k1, k2) in DOMAINS.items():
        by_hand = weight * 2.0 / k1 + (1 - weight) * k2 / 0.5
        np.testing.assert_allclose(found.K.draws.sel(domain=domain), by_hand + xr.zeros_like(fit.posterior["mu"]))
    np.testing.assert_allclose(found.part.draws, fit.posterior["F"] * found.K.draws ** -fit.posterior["mu"])
    assert found.to_frame()["domain"].tolist() == ["music", "code", "math", "law"], "the easiest first"
    assert "larger K means a lower loss" in repr(found) and "music is learned most easily" in repr(found)
    assert (found.moved["contraction"].abs() < 0.5).all(), "draws of the prior: nothing but the shape was said"
    assert "Of mu (domain loss): prior 1 [0.45, 2.22], posterior" in repr(found)


def test_learnability_that_the_data_told():
    """A posterior far narrower than its prior, and one in between."""
    fit = bl.Model(models.cross_domain_dcpt, bl.read_runs(simulated()), misfit=None).prior_predictive(draws=100)
    narrow = fit.posterior.assign(mu=fit.posterior["mu"] ** 0.01, w=0.5 + 0.7 * (fit.posterior["w"] - 0.5))
    fit.idata["posterior"] = xr.DataTree(narrow)
    verdicts = bl.learnability(fit).moved.set_index("coefficient")["verdict"]
    assert verdicts["mu"] == "the data determine it" and verdicts["w"] == "the data inform it in part"


def test_laws_and_tables_without_learnability():
    with pytest.raises(LawError, match="dcpt has no learnability of domains: .* such as cross_domain_dcpt"):
        bl.learnability(bl.Model(models.dcpt, bl.read_runs(simulated()), misfit=None).prior_predictive(draws=2))
    rows = simulated().drop(columns="domain")
    with pytest.raises(LawError, match="the runs have no domains"):
        bl.learnability(bl.Model(models.cross_domain_dcpt, bl.read_runs(rows), misfit=None).prior_predictive(draws=2))


# --------------------------------------------------------------------------------------------------------------- forest
def test_a_forest_has_every_fit_beside_every_domain():
    runs = bl.read_runs(simulated())
    separate = bl.positive(1.5, spread=0.5, dims="domain")
    fits = {
        "pooled": bl.Model(models.dcpt, runs, misfit=None).prior_predictive(draws=20),
        "partial": bl.Model(models.dcpt, runs, by={"E": "domain"}, misfit=None).prior_predictive(draws=20),
        "separate": bl.Model(models.dcpt, runs, priors={"E": separate}, misfit=None).prior_predictive(draws=20),
    }
    ax = plot_forest(fits, "E", Figure().subplots())
    assert [t.get_text() for t in ax.get_yticklabels()] == list(DOMAINS) and ax.get_xlabel() == "E (nats)"
    pooled, partial, _ = (np.asarray(line.get_xdata()) for line in ax.lines)
    assert len(set(pooled)) == 1 and len(set(partial)) == 4
    law = fits["partial"].posterior["E"].sel(domain="law", eval="domain")
    assert partial[1] == pytest.approx(float(law.median()))
    with pytest.raises(UnknownName, match="coefficient of pooled"):
        plot_forest(fits, "Z", Figure().subplots())
    with pytest.raises(UnknownName, match="validation set of pooled"):
        plot_forest(fits, "E", Figure().subplots(), eval="general")
    with pytest.raises(RangeError, match="A is the same for all groups in every fit"):
        plot_forest(fits, "A", Figure().subplots())


# ------------------------------------------------------------------------------------------------------------- sampling
def noisy(seed: int) -> pd.DataFrame:
    """Floors that scatter by 5 % around what early training tells, and errors of 0.4 %."""
    rng, rows = np.random.default_rng(seed), simulated()
    scatter = rows["domain"].map({d: 0.05 * z for d, z in zip(DOMAINS, rng.standard_normal(4), strict=True)})
    floor = TRUTH["E"] * np.expm1(scatter)
    return rows.assign(domain_loss=(rows["domain_loss"] + floor) * np.exp(rng.normal(0, 0.004, len(rows))))


@pytest.mark.slow
def test_nuts_finds_the_losses_and_hardly_the_weights():
    rows = noisy(seed=1)
    left_out = rows["domain"] == "math"
    noise = bl.Noise(correlated=False)
    model = bl.Model(
        models.cross_domain_dcpt, bl.read_runs(rows[~left_out]), by={"E": "domain"}, noise=noise, misfit=None
    )
    fit = model.fit(draws=1000, tune=500, chains=2, seed=1, progress=False)
    assert convergence(fit)["r_hat"] < 1.02 and convergence(fit)["divergences"] <= 4
    ask: dict[str, Any] = {"N": [5e8, 4e9], "D": [1e9, 2e10], "domain_share": [0.1, 0.9]}
    for domain in ("code", "law", "music"):
        assert float(fit.predict(**ask, domain=domain).draws.std(["chain", "draw"]).max()) < 0.02
    told = fit.predict(N=2e9, D=4e9, domain_share=0.3, domain=bl.UNSEEN, k1=1.7, k2=0.5).draws
    at = left_out & (rows["N"] == 2e9) & (rows["D"] == 4e9) & (rows["domain_share"] == 0.3)
    lower, upper = np.quantile(told, [0.005, 0.995])
    assert lower < rows.loc[at, "domain_loss"].item() < upper
    found = bl.learnability(fit)
    contraction = found.moved.set_index("coefficient")["contraction"]
    assert contraction["w"] < 0.8, "three domains cannot tell two features apart"


def test_the_command_line_fits_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit = bl.Model.fit
    monkeypatch.setattr(bl.Model, "fit", lambda model, **settings: fit(model, **settings | {"tune": 150}))
    noisy(seed=2).to_csv("runs.csv", index=False)
    words = "fit cross_domain_dcpt runs.csv --by E=domain -o fit.nc --draws 40 --chains 1 --seed 1"
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 0, done.output
    assert "Cross-domain D-CPT law (K3)" in done.stdout and "E by domain" in done.stdout
    assert set(bl.load("fit.nc").posterior["E"]["domain"].values) == set(DOMAINS)
    noisy(seed=2).assign(k1=150.0).to_csv("percent.csv", index=False)
    wrong = CliRunner().invoke(app, words.replace("runs.csv", "percent.csv").split())
    assert wrong.exit_code == 2 and wrong.stderr.count("\n") == 1 and "k1 of the domain 'code' is 150" in wrong.stderr
