"""Numbers in billions where units are counted: one sentence wherever sizes and tokens are asked for."""

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import RangeError


@pytest.fixture(scope="module")
def fit():
    cells = pd.MultiIndex.from_product(
        [[5e8, 2e9], [1e9, 1e10, 1e11], [0.2, 0.5, 0.8]], names=["N", "D", "domain_share"]
    )
    table = cells.to_frame(index=False)
    size, tokens, share = table["N"] / 1e9, table["D"] / 1e10, table["domain_share"]
    level = 1.5 + 0.35 * size**-0.3
    general = level + 0.05 * (1 - share) * tokens**-0.3 + 0.1 * (1.08 - share) ** -0.35
    domain = level + 0.15 * share**1.2 * tokens**-0.3 + 0.3 * (share + 0.08) ** -0.35
    noise = np.exp(np.random.default_rng(0).normal(0, 0.003, (2, len(table))))
    runs = bl.read_runs(table.assign(general_loss=general * noise[0], domain_loss=domain * noise[1]))
    return bl.Model(models.dcpt, runs).fit(method="mle")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda fit: fit.predict(N=7, D=1e11, domain_share=0.5), "N is 7: give parameters"),
        (lambda fit: fit.predict(N=7e9, D=100, domain_share=0.5), "D is 100: give tokens"),
        (lambda fit: fit.predict(N=7e9, D=[1e11, 200], domain_share=0.5), "D is 200: give tokens"),
        (lambda fit: fit.predict(pd.DataFrame({"N": [1.8], "D": 1e11, "domain_share": 0.5})), "N is 1.8: give"),
        (lambda fit: fit.critical_ratio(N=7, D=1e11, baseline=2.0, max_rise=0.03), "N is 7: give parameters"),
        (lambda fit: fit.critical_ratio(N=7e9, D=100, baseline=2.0, max_rise=0.03), "D is 100: give tokens"),
        (lambda fit: fit.best_ratio(N=7e9, domain_tokens=5), "domain_tokens is 5: give tokens"),
        (lambda fit: fit.tokens_for(loss=2.0, eval="domain", N=7, domain_share=0.5), "N is 7: give parameters"),
    ],
)
def test_questions_in_billions_are_refused(fit, ask, words):
    with pytest.raises(RangeError, match=f"{words}.*not billions .multiply by 1e9."):
        ask(fit)
