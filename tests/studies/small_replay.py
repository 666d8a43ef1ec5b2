"""A run at 1 % replay, predicted from the others: prints the table of docs/how-to/small-replay.md.

``python -m tests.studies.small_replay``
"""

import bayeslaw as bl
from bayeslaw import models

LEFT_OUT = 0.99
"""Share of German of the run that is predicted."""


def main() -> None:
    """Print the general loss of a new run, beside the measured one."""
    table = bl.datasets.load("replay").query("set == 'pile-german-405M'")
    shares = {"weight_general": 1 - table["domain_share"], "weight_german": table["domain_share"]}
    table = table.assign(**shares)
    kept, left_out = (table[here] for here in (table["domain_share"] != LEFT_OUT, table["domain_share"] == LEFT_OUT))
    print(f"measured {left_out['general_loss'].item():.2f}\n\n| law | general loss at 1 % |\n|---|---|")
    for law in (models.dcpt, models.bimix, models.data_mixing):
        own = [*shares] if law.kind == "mixture" else [c for c in law.columns if c in table]
        runs = bl.read_runs(kept[["run", *own, "general_loss", "domain_loss"]])
        fit = bl.Model(law, runs, outside="include").fit(seed=1, progress=False)
        found = fit.predict(left_out[own], new_run=True).query("eval == 'general'").iloc[0]
        print(f"| `{law.name}` | {found['mean']:.2f} [{found['lower']:.2f}, {found['upper']:.2f}] |", flush=True)


if __name__ == "__main__":
    main()
