"""Any number of validation sets in one law: their roles, pooling within a role, and answers by set and together."""

from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import ArgumentError, BayeslawError, DataError, LawError, RangeError, UnknownName

ROLES = {"pile": "general", "web": "general", "wiki": "general", "code": "domain"}
COMMON = dict(A=0.4, alpha=0.3, B=0.08, beta=0.3, eta=1.05, C=0.4, gamma=0.4, eps=0.1)
TRUTH: dict[str, dict[str, float]] = {
    "pile": COMMON | {"E": 1.9},
    "web": COMMON | {"E": 2.2, "C": 0.5},
    "wiki": COMMON | {"E": 1.7, "gamma": 0.3},
    "code": COMMON | {"E": 0.8, "C": 0.3, "eta": 1.2},
}
STARTED = {"pile": 0.75, "web": 0.7, "wiki": 0.8}
"""General shares at which continual pre-training reaches the loss before it, at 1e9 parameters and 1e10 tokens."""


def loss(name: str, N: Any, D: Any, domain_share: Any) -> Any:
    """The law by hand."""
    own = domain_share if name == "code" else 1 - domain_share
    return models.dcpt(N / 1e9, D / 1e10, own, **TRUTH[name])


def table(sets: tuple[str, ...] = tuple(TRUTH), error: float = 0.002) -> pd.DataFrame:
    """Simulated runs of three sizes, five shares and two token counts."""
    levels: list[Any] = [[3e8, 1e9, 4e9], [0.1, 0.3, 0.5, 0.7, 0.9], [3e9, 1e10]]
    rows = pd.MultiIndex.from_product(levels, names=["N", "domain_share", "D"]).to_frame(index=False)
    rng = np.random.default_rng(5)
    for name in sets:
        exact = loss(name, rows["N"], rows["D"], rows["domain_share"])
        rows[f"{name}_loss"] = exact * np.exp(error * rng.standard_normal(len(rows)))
    return rows.assign(run=[f"run {i}" for i in range(len(rows))])


def model(**settings: Any) -> bl.Model:
    return bl.Model(models.dcpt, bl.read_runs(table()), **{"roles": ROLES, **settings}, misfit=None)


QUESTION: dict[str, Any] = {
    "N": 1e9,
    "D": 1e10,
    "baseline": {name: float(loss(name, 1e9, 1e10, 1 - own)) for name, own in STARTED.items()},
}
TRUE_RATIOS = {name: 1 - own for name, own in STARTED.items()}


POOLED = {"E": "eval", "C": "eval", "gamma": "eval"}


@pytest.fixture(scope="module")
def fit() -> bl.Fit:
    return model().fit(seed=2, progress=False)


@pytest.fixture(scope="module")
def pooled() -> bl.Fit:
    return model(by=POOLED).fit(seed=2, progress=False)


@pytest.fixture(scope="module")
def small() -> bl.Fit:
    return model(by=POOLED).fit(draws=30, tune=60, chains=2, seed=2, progress=False)


@pytest.mark.parametrize("name", ["fit", pytest.param("pooled", marks=pytest.mark.slow)])
def test_four_sets_are_recovered(name, request):
    found = request.getfixturevalue(name)
    assert float(az.rhat(found.idata["posterior"].dataset[list(models.dcpt.coefficients)]).to_array().max()) <= 1.01
    for e in TRUTH:
        at = {"N": 1e9, "D": 1e10, "domain_share": np.array([0.1, 0.3, 0.5, 0.7, 0.9])}
        draws = found.loss(found.columns(**at)).sel(eval=e)
        off = (draws.mean(("chain", "draw")) - loss(e, 1e9, 1e10, at["domain_share"])) / draws.std(("chain", "draw"))
        assert (abs(off) < 3).all(), f"{e} is off by {off.values} posterior standard deviations"


@pytest.mark.parametrize("name", ["fit", pytest.param("pooled", marks=pytest.mark.slow)])
def test_ratios_by_set_and_together_hold_the_truth(name, request):
    found = request.getfixturevalue(name)
    by_set, together = found.critical_ratio(**QUESTION), found.critical_ratio(**QUESTION, together=True)
    for e, true in TRUE_RATIOS.items():
        low, high = (float(v.sel(eval=e)) for v in by_set.interval(0.99).values())
        assert low < true < high, e
    low, high = (float(v) for v in together.interval(0.99).values())
    assert low < min(TRUE_RATIOS.values()) < high
    assert (together.draws == by_set.draws.min("eval")).all(), "of one posterior, draw by draw"


def test_a_ratio_of_one_set_is_that_of_all_at_this_set(fit):
    by_set = fit.critical_ratio(**QUESTION)
    alone = fit.critical_ratio(**QUESTION | {"baseline": QUESTION["baseline"]["web"]}, eval="web")
    assert (alone.draws == by_set.draws.sel(eval="web")).all()
    two = fit.critical_ratio(
        **QUESTION | {"baseline": {k: QUESTION["baseline"][k] for k in ("web", "pile")}}, eval=["web", "pile"]
    )
    assert list(two.draws["eval"].values) == ["web", "pile"]
    assert "the pile, web and wiki losses, each not above the baseline" in repr(by_set)


def test_the_domain_set_is_meant_where_one_is(fit):
    assert fit.best_ratio(N=1e9, domain_tokens=5e9).inputs["eval"] == "code"
    assert fit.tokens_for(loss=1.5, N=1e9, domain_share=0.5).inputs["eval"] == "code"


MISTAKES = {
    "one baseline of three": ({"baseline": 2.5}, RangeError, "3 losses are limited.*baseline={'pile': ...}"),
    "unknown baseline": ({"baseline": {"pil": 2.5}}, UnknownName, "did you mean 'pile'"),
    "two roles": ({"eval": ["pile", "code"]}, RangeError, "'pile' and 'code' have different roles"),
    "unknown set": ({"eval": "cod"}, UnknownName, "did you mean 'code'"),
}


@pytest.mark.parametrize(("asked", "error", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_ambiguous_questions_end_in_one_sentence(asked, error, sentence, fit):
    with pytest.raises(error, match=sentence):
        fit.critical_ratio(**QUESTION | asked)


def test_a_role_of_several_sets_is_no_single_loss(fit):
    with pytest.raises(RangeError, match="the fit has several losses: name one, eval='pile' or 'web' or 'wiki'"):
        fit.best_ratio(N=1e9, domain_tokens=5e9, eval="general")


def test_roles_are_kept_in_the_file(small, tmp_path):
    again = bl.load(small.save(tmp_path / "fit.nc"))
    assert again.model.roles == ROLES
    assert again.model.coefficient_priors["E"].parameters["mu"].own_dims == ("eval_role",)
    assert list(again.posterior["E_mu"]["eval_role"].values) == ["general", "domain"]
    asked = {**QUESTION, "together": True}
    assert (again.critical_ratio(**asked).draws == small.critical_ratio(**asked).draws).all()
    assert "general" in again.provenance()["roles"]


REFUSED: dict[str, tuple[dict[str, Any], type[BayeslawError], str]] = {
    "no role": (
        {"roles": {"pile": "general"}},
        DataError,
        r"role of 'web', 'wiki', 'code': give each general or domain, for example roles={'pile': 'general', "
        r"'web': 'general', 'wiki': 'general', 'code': 'domain'} \(--role web=general --role wiki=general --role code=",
    ),
    "pooled over no dim": ({"by": {"E": "evals"}}, UnknownName, "did you mean 'eval'. .known: .*domain_share, eval"),
    "unknown set": ({"roles": ROLES | {"x": "general"}}, UnknownName, r"roles=\) 'x'"),
    "unknown role": ({"roles": ROLES | {"code": "domian"}}, UnknownName, "role of dcpt 'domian'; did you mean"),
    "two columns": ({"by": {"E": ["eval", "domain"]}}, ArgumentError, r"by\['E'\] is .*: give a text"),
    "a law that takes all alike": ({"law": models.chinchilla}, LawError, "gives all validation sets the same role"),
}


@pytest.mark.parametrize(("changed", "error", "sentence"), REFUSED.values(), ids=REFUSED)
def test_roles_that_make_no_sense_are_refused(changed, error, sentence):
    settings = {"law": models.dcpt, "runs": bl.read_runs(table()), "roles": ROLES, **changed}
    with pytest.raises(error, match=sentence):
        bl.Model(**settings)


def test_pooling_over_sets_takes_two_of_a_role():
    two = bl.read_runs(table(("pile", "code")))
    with pytest.raises(LawError, match="E is to be pooled over validation sets, and no two of pile, code"):
        bl.Model(models.dcpt, two, roles={"pile": "general", "code": "domain"}, by={"E": "eval"}, misfit=None)


def test_names_that_are_roles_need_none():
    renamed = table(("pile", "code")).rename(columns={"pile_loss": "general_loss", "code_loss": "domain_loss"})
    named = bl.Model(models.dcpt, bl.read_runs(renamed), misfit=None)
    mapped = bl.Model(
        models.dcpt, bl.read_runs(table(("pile", "code"))), roles={"pile": "general", "code": "domain"}, misfit=None
    )
    for one, other in zip(named.design.inputs().values(), mapped.design.inputs().values(), strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    assert named.design.roles == mapped.design.roles == ["general", "domain"]
    assert named.coords.keys() == mapped.coords.keys() == {"eval"}


def test_refits_keep_roles(small):
    found = bl.evaluate(small.model, bl.splits.by("N"), draws=10, tune=30, chains=1, seed=1)
    assert set(found.rows["eval"]) == set(TRUTH) and len(found.rows) == len(TRUTH) * len(table())
