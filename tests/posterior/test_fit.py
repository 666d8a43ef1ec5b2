"""A fit of a simulated study: the truth inside the bands, predictions, files, and errors in words."""

import math
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import ArgumentError, DataError, LawError, RangeError, StoreError, UnknownName
from bayeslaw.posterior import store
from bayeslaw.tables.runs import read_runs
from bayeslaw.workflow import Fit

TRUTH = dict(E=1.6, A=0.3, alpha=0.3, B=0.05, beta=0.3, eta=1.2, C=0.5, gamma=0.4, eps=0.1)
INDEPENDENT = bl.Noise(correlated=False, joint=False)
TINY = dict(draws=20, tune=30, chains=1, progress=False)
FLOORS = {"code": 0.9, "law": 1.0, "music": 1.1}


def truth(N: Any, D: Any, domain_share: Any, name: str, floor: Any = 1.0) -> Any:
    share = 1 - domain_share if name == "general" else domain_share
    return models.dcpt(N / 1e9, D / 1e10, share, **{**TRUTH, "E": TRUTH["E"] * (floor if name == "domain" else 1.0)})


def simulated(N: list[float], D: list[float], domains: tuple[str, ...]) -> pd.DataFrame:
    levels = [N, D, [0.1, 0.3, 0.5, 0.7, 0.9], domains]
    rows = pd.MultiIndex.from_product(levels, names=["N", "D", "domain_share", "domain"]).to_frame(index=False)
    rng = np.random.default_rng(0)
    floor = rows["domain"].map(FLOORS) if len(domains) > 1 else 1.0
    for name in ("general", "domain"):
        mean = truth(rows["N"], rows["D"], rows["domain_share"], name, floor)
        rows[f"{name}_loss"] = mean * np.exp(rng.normal(0, 0.003, len(rows)))
    return rows


@pytest.fixture(scope="session")
def model() -> bl.Model:
    table = simulated([5e8, 1.8e9, 4e9], [5e8, 1e9, 2e9, 5e9, 1e10, 2e10], ("code",))
    return bl.Model(models.dcpt, read_runs(table), noise=INDEPENDENT, misfit=None)


@pytest.fixture(scope="session")
def long(model: Any) -> Fit:
    return model.fit(draws=2000, progress=False)


@pytest.fixture(scope="session")
def fitted(long: Any) -> Fit:
    """Every tenth of its draws."""
    return replace(long, idata=long.idata.isel(draw=slice(None, None, 10)))


@pytest.fixture(scope="session")
def pooled() -> Fit:
    levels: list[Any] = [[2e8, 1e9, 5e9], [1e9, 1e10, 1e11], list(FLOORS)]
    table = pd.MultiIndex.from_product(levels, names=["N", "D", "domain"]).to_frame(index=False)
    noise = np.exp(np.random.default_rng(0).normal(0, 0.003, len(table)))
    table["loss"] = chinchilla(table["N"], table["D"], table["domain"].map(FLOORS)) * noise
    m = bl.Model(models.chinchilla, read_runs(table), by={"E": "domain"}, noise=INDEPENDENT, misfit=None)
    return m.fit(draws=300, tune=400, chains=2, progress=False)


def chinchilla(N: Any, D: Any, floor: Any) -> Any:
    return models.chinchilla(N / 1e9, D / 1e10, E=1.8 * floor, A=0.35, alpha=0.35, B=0.4, beta=0.37)


def at_rows(fit: Fit) -> xr.Dataset:
    rows = fit.model.runs.table
    return xr.Dataset({c: ("row", rows[c].to_numpy()) for c in ("N", "D", "domain_share", "domain")})


# ---------------------------------------------------------------------------------------------------- what is recovered
def test_the_chains_agree(long):
    assert long.summary().astype(float)["r_hat"].max() <= 1.01


def test_nothing_diverges(fitted):
    assert int(fitted.idata["sample_stats"]["diverging"].sum()) == 0


def test_the_true_losses_lie_in_the_bands(fitted):
    columns = at_rows(fitted)
    loss = fitted.loss(columns)
    assert loss.dims == ("chain", "draw", "eval", "row")
    low, high = (loss.quantile(q, ["chain", "draw"]) for q in (0.055, 0.945))
    true = np.array([truth(columns["N"], columns["D"], columns["domain_share"], e).values for e in fitted.evals])
    held = (low.transpose("eval", "row").values <= true) & (true <= high.transpose("eval", "row").values)
    assert held.mean() >= 0.75
    assert abs(loss.median(["chain", "draw"]).transpose("eval", "row").values - true).max() < 0.01


def test_the_noise_is_recovered(fitted):
    np.testing.assert_allclose(fitted.posterior["sigma"].mean(["chain", "draw"]), 0.003, rtol=0.25)


def test_the_papers_units_come_along(fitted):
    posterior, reference = fitted.posterior, fitted.model.reference
    expected = posterior["A"] * (reference["N"] / 1e9) ** posterior["alpha"]
    xr.testing.assert_allclose(posterior["A_paper"], expected)
    expected = posterior["B"] * (reference["D"] / 1e9) ** posterior["beta"]
    xr.testing.assert_allclose(posterior["B_paper"], expected)


def test_pooled_domains_have_their_own_floor(pooled):
    found = pooled.predict(N=2e9, D=5e9, domain=list(FLOORS)).median().squeeze("eval")
    for domain, floor in FLOORS.items():
        assert float(found.sel(domain=domain)) == pytest.approx(chinchilla(2e9, 5e9, floor), abs=0.02)


def test_an_unseen_domain_is_drawn_from_the_population(pooled):
    seen, unseen = (pooled.predict(N=2e9, D=5e9, domain=d) for d in ("law", bl.UNSEEN))
    assert float(unseen.sd().squeeze()) > 5 * float(seen.sd().squeeze())
    interval = unseen.interval().squeeze("eval")
    assert float(interval["lower"]) < chinchilla(2e9, 5e9, 1.0) < float(interval["upper"])
    both = pooled.predict(N=2e9, D=5e9, domain=["code", bl.UNSEEN])
    assert both.draws.sizes["domain"] == 2 and np.isfinite(both.draws).all()


def test_an_unseen_group_that_is_not_pooled_is_refused(pooled):
    priors = {"E": bl.Prior("LogNormal", mu=0.4, sigma=0.5, dims="domain")}
    separate = bl.Model(models.chinchilla, pooled.model.runs, priors=priors, noise=INDEPENDENT, misfit=None).fit(
        method="mle"
    )
    with pytest.raises(RangeError, match="E is separate by domain and was not fitted at.*pool it with by="):
        separate.predict(N=2e9, D=5e9, domain=bl.UNSEEN)


# ---------------------------------------------------------------------------------------------------------- predictions
def test_arrays_become_dims_and_numbers_do_not(fitted):
    q = fitted.predict(N=1.8e9, D=[1e9, 1e10], domain_share=bl.grid(0.1, 0.9, 5))
    assert set(q.draws.dims) == {"chain", "draw", "eval", "D", "domain_share"}
    assert q.draws.sizes["D"] == 2 and q.draws.sizes["domain_share"] == 5
    np.testing.assert_allclose(q.draws["domain_share"], [0.1, 0.3, 0.5, 0.7, 0.9])
    assert list(q.draws["eval"].values) == ["general", "domain"]
    assert q.unit == "nats per token" and q.inputs["N"] == 1.8e9
    plain = fitted.predict(N=1.8e9, D=1e10, domain_share=0.5)
    assert plain.draws.dims == ("chain", "draw", "eval")
    np.testing.assert_allclose(plain.draws, q.draws.sel(D=1e10).isel(domain_share=2))


def test_named_dims_pair_columns_up(fitted):
    runs = {k: xr.DataArray(v, dims="run") for k, v in {"N": [5e8, 4e9], "D": [1e9, 1e10]}.items()}
    q = fitted.predict(**runs, domain_share=0.5)
    assert dict(q.draws.sizes) == {"chain": 4, "draw": 200, "eval": 2, "run": 2}


def test_a_new_run_is_less_certain_than_the_law(fitted):
    question = dict(N=1.8e9, D=[1e9, 1e10], domain_share=0.5)
    law, run = (fitted.predict(new_run=n, **question) for n in (False, True))
    assert (law.what, run.what) == ("mean law", "new run")
    assert (run.sd() > 1.5 * law.sd()).all()
    np.testing.assert_allclose(run.median(), law.median(), atol=0.003)
    again, other = (fitted.predict(new_run=True, seed=s, **question).draws for s in (0, 1))
    assert again.equals(run.draws) and not other.equals(run.draws)


def test_errors_of_a_new_run_have_the_spread_of_sigma(fitted):
    error = fitted.error()
    assert error.dims == fitted.posterior["sigma"].dims
    np.testing.assert_allclose(error.std(), 0.003, rtol=0.3)


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (dict(N=1e9, D=1e10, domian="law"), UnknownName, "did you mean 'domain'"),
        (dict(N=1e9, domain="law"), DataError, "D is missing.*needs N, D"),
        (dict(N=1e9, D=np.ones((2, 2)), domain="law"), DataError, "D has 2 dimensions.*DataArray"),
        (dict(N=1e9, D=1e10), DataError, "domain is missing: give one of code, law, music"),
        (dict(N=1e9, D=1e10, domain="musik"), UnknownName, "did you mean 'music'"),
        (dict(N=1e9, D=1e10, domain=["law", "cod"]), UnknownName, "did you mean 'code'"),
        (dict(N="big", D=1e10, domain="law"), DataError, "N is 'big', which is not a number"),
        (dict(N=-1, D=1e10, domain="law"), RangeError, "N is -1: give a number of parameters"),
        (dict(N=1e9, D=[1e10, float("nan")], domain="law"), RangeError, "D is nan: give a number of tokens"),
    ],
)
def test_columns_are_checked(pooled, given, kind, words):
    with pytest.raises(kind, match=words):
        pooled.predict(**given)


def test_a_domain_that_needs_no_choice_may_be_left_out(fitted):
    question = dict(N=1e9, D=1e10, domain_share=0.5)
    assert fitted.predict(domain="code", **question).draws.equals(fitted.predict(**question).draws)
    assert fitted.predict(domain=None, **question).draws.equals(fitted.predict(**question).draws)


# -------------------------------------------------------------------------------------------------- other ways to fit
def test_maximum_likelihood_is_close_to_the_posterior_mean(model, fitted):
    best = model.fit(method="mle")
    assert dict(best.posterior.sizes) == {"chain": 1, "draw": 1, "eval": 2}
    columns = at_rows(fitted)
    difference = best.loss(columns).squeeze(["chain", "draw"]) - fitted.loss(columns).mean(["chain", "draw"])
    assert float(abs(difference).median()) < 0.01
    assert "maximum likelihood" in repr(best)
    assert float(best.predict(N=1e9, D=1e10, domain_share=0.5).sd().max()) == 0


def test_the_same_seed_gives_the_same_draws(model):
    first, again, other = (model.fit(seed=s, **TINY).posterior for s in (3, 3, 4))
    xr.testing.assert_identical(first, again)
    assert not first.equals(other)


def test_settings_are_checked(model):
    with pytest.raises(UnknownName, match="did you mean 'nuts'"):
        model.fit(method="nut")
    with pytest.raises(RangeError, match="at least 1"):
        model.fit(draws=0)


def test_what_the_priors_say_before_data(model):
    before = model.prior_predictive(draws=200, seed=1)
    assert dict(before.posterior.sizes) == {"chain": 1, "draw": 200, "eval": 2}
    levels = dict(N=[5e8, 1.8e9, 4e9], D=[5e8, 2e9, 2e10], domain_share=[0.1, 0.5, 0.9])
    loss = before.predict(**levels).draws
    assert np.isfinite(loss).all() and (loss > 0).all()
    assert float(loss.diff("N").max()) <= 0.05
    assert float(loss.diff("D").max()) <= 0.05
    assert float(loss.sel(eval="general").diff("domain_share").min()) >= -0.05
    assert float(loss.sel(eval="domain").diff("domain_share").max()) <= 0.05
    again = model.prior_predictive(draws=200, seed=1)
    assert again.posterior.equals(before.posterior)


# --------------------------------------------------------------------------------------------------------------- files
QUESTION: dict[str, Any] = dict(N=1.8e9, D=[1e9, 1e10], domain_share=0.5)


@pytest.fixture(scope="session")
def file(fitted: Any, tmp_path_factory: Any) -> Path:
    return fitted.save(tmp_path_factory.mktemp("fits") / "fit.nc")


def test_a_saved_fit_answers_the_same(fitted, file):
    back = bl.load(file)
    assert repr(back.model) == repr(fitted.model) and repr(back) == repr(fitted)
    for new_run in (False, True):
        one, two = (f.predict(new_run=new_run, **QUESTION).draws for f in (fitted, back))
        np.testing.assert_array_equal(one, two)
    assert back.provenance() == fitted.provenance()
    assert [p.name for p in file.parent.iterdir()] == ["fit.nc"]


def test_a_saved_pooled_fit_answers_the_same(pooled, tmp_path):
    back = bl.load(pooled.save(tmp_path / "pooled.nc"))
    assert back.model.table().equals(pooled.model.table())
    for domain in ("law", bl.UNSEEN):
        one, two = (f.predict(domain=domain, N=1.8e9, D=[1e9, 1e10]).draws for f in (pooled, back))
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "foreign", "text", "folder"])
def test_files_that_are_no_fits_are_refused(file, tmp_path, damage):
    path = tmp_path / "fit.nc"
    if damage == "empty":
        path.touch()
    elif damage == "truncated":
        content = file.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif damage == "foreign":
        xr.Dataset({"x": ("t", [1.0, 2.0])}).to_netcdf(path, engine="h5netcdf")
    elif damage == "text":
        path.write_text("N,D,loss\n")
    elif damage == "folder":
        path.mkdir()
    words = "check the path" if damage in ("missing", "folder") else "written by fit.save"
    with pytest.raises(StoreError, match=words):
        bl.load(path)


def test_a_law_that_has_changed_is_said(file, fitted, monkeypatch):
    monkeypatch.setattr(store, "fingerprint", lambda law: "0" * 16)
    with pytest.warns(UserWarning, match="the law dcpt has changed since fit.nc was made"):
        back = bl.load(file)
    assert back.posterior.equals(fitted.posterior)


def test_a_law_that_left_the_catalogue_is_passed_to_load(file, fitted, monkeypatch):
    law = models.catalogue["dcpt"]
    others = {name: law for name, law in models.catalogue.items() if name != "dcpt"}
    monkeypatch.setattr(models, "catalogue", others)
    with pytest.raises(
        UnknownName,
        match=r"the law 'dcpt' of .*fit.nc is not in the catalogue of this version: give it, load\(path, law=...\)",
    ):
        bl.load(file)
    assert bl.load(file, law=law).posterior.equals(fitted.posterior)


def test_a_folder_is_made_and_one_that_cannot_be_is_said(fitted, tmp_path):
    assert fitted.save(tmp_path / "new" / "fit.nc").is_file()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose a folder that exists or can be made"):
        fitted.save(tmp_path / "file" / "fit.nc")


def test_saving_over_a_fit_replaces_it(fitted, tmp_path):
    path = tmp_path / "fit.nc"
    path.write_text("an older file")
    fitted.save(path)
    assert bl.load(path).posterior.equals(fitted.posterior)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_fit_says_what_it_is_and_what_made_it(fitted):
    assert "Fit of dcpt: 4 x 200 draws" in repr(fitted) and "checks passed" in repr(fitted)
    assert "<table" in fitted._repr_html_()
    facts = fitted.provenance()
    assert fitted.model.runs.hash in facts["data"] and "seed 0" in facts["settings"] and "pymc" in facts["versions"]
    assert math.isfinite(fitted.seconds)


def test_an_unseen_size_is_drawn_from_the_sizes_and_does_not_depend_on_how_it_is_written(model):
    by_size = bl.Model(
        models.cmr_general, read_runs(model.runs.table.drop(columns="domain_loss")), by={"h": "N"}, misfit=None
    )
    fit = by_size.prior_predictive(draws=40)
    ask: dict[str, Any] = {"D": 1e10, "domain_share": 0.5}
    of_none = fit.predict(**ask, N=bl.UNSEEN).draws
    assert np.isfinite(of_none).all() and not np.allclose(of_none, fit.predict(**ask, N=5e8).draws)
    several = fit.predict(**ask, N=[bl.UNSEEN, 5e8]).draws
    np.testing.assert_allclose(several.isel(N=0), of_none)
    known = bl.Model(models.chinchilla, read_runs(chinchilla_table()), by={"E": "N"}, misfit=None).prior_predictive(
        draws=40
    )
    whole, written = (known.predict(N=n, D=1e10).draws.values for n in (2_000_000, 2e6))
    np.testing.assert_array_equal(whole, written)


def test_no_size_is_chosen_where_coefficients_are_each_sizes_own():
    fit = bl.Model(models.chinchilla, read_runs(chinchilla_table()), by={"E": "N"}, misfit=None).prior_predictive(
        draws=20
    )
    with pytest.raises(
        LawError, match="E have one value for each N, and the fit knows no other N than those of its runs"
    ):
        fit.allocation(flops=1e21)


def chinchilla_table() -> pd.DataFrame:
    rows = pd.MultiIndex.from_product([[1e8, 1e9, 1e10], [2e9, 2e10]], names=["N", "D"]).to_frame(index=False)
    return rows.assign(loss=[3.2, 3.0, 2.7, 2.5, 2.4, 2.1])


def test_rows_are_no_checkpoints_of_one_run(fitted):
    rows = {c: xr.DataArray(v, dims="row") for c, v in {"N": [1e9, 2e9], "D": [1e9, 2e9]}.items()}
    fit = replace(fitted, model=replace(fitted.model, noise=bl.Noise(correlated=True)))
    wide = fitted.posterior.assign(run_weight=fitted.posterior["sigma"].isel(eval=0, drop=True) * 0 + 0.9)
    wide = wide.assign(correlation_length=wide["run_weight"], eval_correlation=wide["run_weight"] * 0)
    fit = replace(fit, idata=xr.DataTree.from_dict({"posterior": wide}))
    error = np.log(
        fit.predict(**rows, domain_share=0.5, new_run=True).draws / fit.predict(**rows, domain_share=0.5).draws
    )
    apart = error.sel(eval="general").values.reshape(-1, 2)
    assert abs(np.corrcoef(apart.T)[0, 1]) < 0.2
    along = np.log(
        fit.predict(N=1e9, D=[1e9, 2e9], domain_share=0.5, new_run=True).draws
        / fit.predict(N=1e9, D=[1e9, 2e9], domain_share=0.5).draws
    )
    assert np.corrcoef(along.sel(eval="general").values.reshape(-1, 2).T)[0, 1] > 0.8


def test_columns_of_any_name_survive_a_file(fitted, tmp_path):
    table = fitted.model.runs.table.assign(**{"train/loss": 1.0, "tokens/sec": 2.0})
    named = replace(fitted, model=replace(fitted.model, runs=read_runs(table)))
    again = bl.load(named.save(tmp_path / "fit.nc"))
    pd.testing.assert_frame_equal(again.model.runs.table, named.model.runs.table)


def test_a_prior_is_shown_without_checks(model):
    assert "pass" not in repr(model.prior_predictive(draws=10)) and "FAIL" not in repr(model.prior_predictive(draws=10))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"runs": pd.DataFrame({"N": [1e9]})}, "runs is a DataFrame: give Runs, bl.read_runs"),
        ({"noise": None}, "noise is None: give an error model, bl.Noise"),
        ({"by": {"E": ["N"]}}, r"by\['E'\] is \['N'\]: give a text"),
        ({"by": "N"}, "by is 'N': give a mapping"),
    ],
)
def test_arguments_of_another_kind_are_refused(settings, words, model):
    with pytest.raises(ArgumentError, match=words):
        bl.Model(models.dcpt, **{"runs": model.runs, **settings}, misfit=None)
    with pytest.raises(ArgumentError, match="sigma is 0.01: give a prior"):
        bl.Noise(sigma=0.01)  # type: ignore[arg-type]


def test_the_papers_condition_is_sampled(model):
    priors = {"eta": bl.real(1.05, sd=0.1), "B": bl.positive(0.02, spread=0.3), "C": bl.positive(0.5, spread=0.2)}
    held = replace(model, monotone="paper", priors=priors).prior_predictive(draws=300).posterior
    assert float((held["eta"] > 0.97).mean()) == 1.0


def test_a_law_is_known_by_what_it_does():
    law, same = models.dcpt, store.fingerprint(models.dcpt)
    assert store.fingerprint(replace(law, notes=("other words",), title="another title")) == same
    wider = replace(law.coefficients["E"], prior=bl.positive(1.5, spread=0.9))
    assert store.fingerprint(replace(law, coefficients={**law.coefficients, "E": wider})) != same
    others = [replace(law, function=other(law.function)), replace(law, falls_in=())]
    assert len({same, *map(store.fingerprint, [*others, *models.catalogue.values()])}) == len(models.catalogue) + 2


def other(function: Any) -> Any:
    @wraps(function)
    def doubled(*covariates: Any, **coefficients: Any) -> Any:
        return 2 * function(*covariates, **coefficients)

    return doubled
