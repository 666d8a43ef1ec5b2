"""How the default model samples ordinary tables of few runs: ``python -m tests.benchmarks.few_runs``.

Prints, for every model of ``tests/sampler/test_small_tables.py``, the law Skaling on the OLMo ladder and the README's
model, the worst R-hat, the least effective draws, gradients a draw and the divergences of three seeds.
"""

import numpy as np
import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from tests.sampler.test_small_tables import TABLES
from tests.studies.dcpt_forms import tinycpt
from tests.studies.page import convergence
from tests.studies.skaling import LARGEST_FITTED, olmo_ladder

SEEDS = range(3)


def ladder(law: bl.Law) -> bl.Model:
    table = olmo_ladder()
    return bl.Model(law, bl.read_runs(table[table["N"] < LARGEST_FITTED]))


def main() -> None:
    cases = {name: make() for name, make in TABLES.items()}
    cases["OLMo ladder, 24 runs"] = ladder(models.chinchilla)
    cases["OLMo ladder, 24 runs: Skaling"] = ladder(models.skaling)
    cases["README: tinycpt, four sizes"] = bl.Model(models.dcpt, tinycpt())
    rows = []
    for name, model in cases.items():
        found = pd.DataFrame([convergence(model.fit(seed=seed, progress=False)) for seed in SEEDS])
        rows.append(
            {
                "table": name,
                "R-hat": f"{found['R-hat'].max():.3f}",
                "effective draws": found["bulk ESS"].min(),
                "gradients a draw": round(float(np.mean(found["steps a draw"]))),
                "divergences": ", ".join(map(str, found["divergences"])),
            }
        )
        print(rows[-1], flush=True)
    print(pd.DataFrame(rows).to_markdown(index=False))


if __name__ == "__main__":
    main()
