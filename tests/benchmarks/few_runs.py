"""How the default model samples ordinary tables of few runs: ``python -m tests.benchmarks.few_runs``.

Prints the worst R-hat, the least and the median of the lowest effective draws, gradients a draw, and how many fits of
eight seeds had divergences: of every model of ``tests/sampler/test_small_tables.py``, both laws on the OLMo ladder,
tinycpt without pooling, and mixtures of three and five sources.
"""

import numpy as np
import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from tests.benchmarks.warm_up import mixtures
from tests.sampler.test_small_tables import TABLES
from tests.studies import data_mixing
from tests.studies.dcpt_forms import tinycpt
from tests.studies.page import convergence
from tests.studies.skaling import LARGEST_FITTED, olmo_ladder

SEEDS = range(8)


def ladder(law: bl.Law) -> bl.Model:
    table = olmo_ladder()
    return bl.Model(law, bl.read_runs(table[table["N"] < LARGEST_FITTED]))


def main() -> None:
    cases = {name: make() for name, make in TABLES.items()}
    cases["OLMo ladder, 24 runs"] = ladder(models.chinchilla)
    cases["OLMo ladder, 24 runs: Skaling"] = ladder(models.skaling)
    cases["tinycpt, four sizes"] = bl.Model(models.dcpt, tinycpt())
    cases["mixtures of three sources"] = mixtures()
    five = bl.read_runs(data_mixing.five(), loss={e: f"{e}_loss" for e in data_mixing.FIVE})
    cases["mixtures of five sources"] = bl.Model(models.data_mixing, five, outside="include")
    rows = []
    for name, model in cases.items():
        found = pd.DataFrame([convergence(model.fit(seed=seed, target_accept=0.95, progress=False)) for seed in SEEDS])
        rows.append(
            {
                "table": name,
                "R-hat": f"{found['R-hat'].max():.3f}",
                "effective draws, least": found["bulk ESS"].min(),
                "median": round(found["bulk ESS"].median()),
                "gradients a draw": round(float(np.mean(found["steps a draw"]))),
                "fits with divergences": int((found["divergences"] > 0).sum()),
            }
        )
        print(rows[-1], flush=True)
    print(pd.DataFrame(rows).to_markdown(index=False))


if __name__ == "__main__":
    main()
