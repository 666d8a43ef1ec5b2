"""The warm-up of the default: real runs of tiny models, as README fits them."""

from typing import Any

import arviz as az
import numpy as np
import pytest

from tests.benchmarks.readme import model as readme


@pytest.mark.parametrize(
    ("settings", "ess", "steps"), [({"misfit": None}, 800, 26), ({}, 600, 32)], ids=["the law alone", "with its misfit"]
)
def test_a_posterior_of_real_runs_converges_after_the_default_warm_up(
    settings: dict[str, Any], ess: int, steps: int
) -> None:
    fit = readme(**settings).fit(seed=1, progress=False)
    stats = fit.idata["sample_stats"].to_dataset()
    assert fit.settings["tune"] <= 300
    assert int(stats["diverging"].sum()) <= 2  # where E nears 0, see docs/explanation/sampling.md
    assert max(float(v.max()) for v in az.rhat(fit.posterior).data_vars.values()) <= 1.01
    assert min(float(v.min()) for v in az.ess(fit.posterior).data_vars.values()) >= ess
    assert np.mean(stats["n_steps"]) < steps  # 30 where the term of size moves by its amplitude
