"""Part 1: the hierarchical D-CPT law, ours against the frozen textbook model.

Same data, same joint prior, same likelihood, the yardstick's own score. Both are timed from before the model is built,
compilation included and imports excluded, as the yardstick does; and from the start of the process.
"""

import importlib.util
import sys
import time
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from tests.benchmarks.results import ROOT, Asked, Goal, Results, Row, machine, median, ratio, spread

FILE = ROOT.parent / "shared/bench/textbook_dcpt.py"
COLUMNS = ["likelihood", "model", "measured", "draws", "runs", "seconds", "with imports", "min ESS", "ESS a second"]
COLUMNS += ["R-hat", "divergences", "steps"]
LIKELIHOODS = {"normal": "Normal", "student_t": "Student-t, 5 degrees of freedom"}


def measure(results: Results, textbook_runs: int, textbook_likelihoods: list[str]) -> None:
    """Measure ours, and the textbook model with the likelihoods asked for: it takes ten minutes a run."""
    if not FILE.is_file():
        print(f"yardstick: {FILE.name} is not there, so this part is left out")
        return
    domains, few, many = (2, 20, 50) if results.tiny else (6, 300, 1000)
    for likelihood in LIKELIHOODS:
        asked = [Asked("ours", _settings(likelihood, many, domains), ("empty", *("filled",) * results.runs))]
        if likelihood in textbook_likelihoods:
            settings = _settings(likelihood, few, domains)
            asked.append(Asked("textbook", settings, ("own",) * textbook_runs, code=FILE))
        results.measure("yardstick", *asked)


def _settings(likelihood: str, draws: int, domains: int) -> Row:
    return {"likelihood": likelihood, "draws": draws, "domains": domains}


def frozen() -> Any:
    """Import the yardstick, which is no package."""
    spec = importlib.util.spec_from_file_location("textbook_dcpt", FILE)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def textbook(likelihood: str, draws: int, domains: int, seed: int) -> Row:
    """Run the yardstick as it is; its score also notes the means."""
    module = frozen()
    found: Row = {}
    score = module.score

    def noting(trace: Any, seconds: float, rows: int) -> Any:
        found.update(finished=time.time(), **means(module, trace["posterior"].to_dataset()))
        found.update(score(trace, seconds, rows))
        return found

    module.score = noting
    sys.argv[1:] = ["--likelihood", likelihood, "--domains", str(domains), "--draws", str(draws), "--seed", str(seed)]
    module.main()
    return found


def rows(module: Any, domains: int) -> pd.DataFrame:
    """Return the yardstick's simulated losses as a table."""
    N, D, r, g, loss, _ = module.simulate(domains)
    run = [f"run {i}" for i in range(len(loss))]
    domain = np.char.add("domain ", g.astype(str))
    return pd.DataFrame({"run": run, "N": N * 1e9, "D": D * 1e9, "domain_share": r, "domain": domain, "loss": loss})


def model(module: Any, table: pd.DataFrame, likelihood: str) -> Any:
    """Return the same model of bayeslaw."""
    import bayeslaw as bl
    from bayeslaw.declare.laws import Coefficient, Covariate

    seen_along = {"E": "level", "A": "N", "B": "D", "C": "share"}

    def own_share(domain_share: Any) -> Any:
        return domain_share

    @bl.law(
        title="D-CPT law of the yardstick",
        source="Que et al. 2024, arXiv:2406.01375",
        equation="E + A N^-alpha + B r^eta D^-beta + C (r + 0.05)^-gamma",
        covariates={
            "N": Covariate("parameters", "size", reference=1e9),
            "D": Covariate("tokens", "tokens", reference=1e9),
            "share": Covariate("1", "share", derive=own_share),
        },
        coefficients={
            k: Coefficient(bl.positive(median, spread=sd), "nats or 1", k, "yardstick", seen_along=seen_along.get(k))
            for k, (median, sd, _) in module.PRIOR.items()
        },
    )
    def dcpt_textbook(N, D, share, /, *, E, A, alpha, B, beta, eta, C, gamma):
        return E + A * N**-alpha + B * share**eta * D**-beta + C * (share + module.EPS) ** -gamma

    return bl.Model(
        dcpt_textbook,
        bl.read_runs(table),
        priors={
            k: bl.Prior(
                "LogNormal",
                mu=bl.Prior("Normal", mu=float(np.log(median)), sigma=sd, dims=("eval",)),
                sigma=bl.Prior("HalfNormal", sigma=between, dims=("eval",)),
                dims=("eval", "domain"),
            )
            for k, (median, sd, between) in module.PRIOR.items()
        },
        noise=bl.Noise(
            correlated=False, joint=False, robust=likelihood == "student_t", sigma=bl.positive(0.01, spread=0.7)
        ),
        monotone=None,
        misfit=None,
    )


def ours(likelihood: str, draws: int, domains: int, seed: int) -> Row:
    """Fit the same model with bayeslaw."""
    import bayeslaw.sampler.sampling  # noqa: F401 (not timed)

    module = frozen()
    table = rows(module, domains)
    start = time.perf_counter()
    fit = model(module, table, likelihood).fit(draws=draws, seed=seed, progress=False)
    seconds = time.perf_counter() - start
    posterior = fit.posterior.isel(eval=0, drop=True)
    finished = time.time()
    stats = {"posterior": posterior, "sample_stats": fit.idata["sample_stats"].to_dataset()}
    score = module.score(xr.DataTree.from_dict(stats), seconds, len(table))
    return {"finished": finished, **means(module, posterior), **score}


def means(module: Any, posterior: xr.Dataset) -> Row:
    """Return posterior means and their Monte Carlo errors: coefficients, and losses at the yardstick's 12 points."""
    c = posterior[list(module.PRIOR)].sortby("domain")
    at = {"N": np.repeat([0.5, 7.0], 6), "D": np.tile([2.0, 20.0, 100.0], 4)}
    points = {k: xr.DataArray(v, dims="point") for k, v in at.items()}
    share = xr.DataArray(np.tile(np.repeat([0.15, 0.7], 3), 2), dims="point")
    every = c.assign(loss=module.law(points["N"], points["D"], share, c))
    flat = {k: v.transpose("chain", "draw", ...) for k, v in every.data_vars.items()}
    error = az.mcse(every)
    return {
        "mean": {str(k): v.mean(("chain", "draw")).values.ravel().tolist() for k, v in flat.items()},
        "mcse": {str(k): error[k].transpose(*v.dims[2:]).values.ravel().tolist() for k, v in flat.items()},
    }


def agreement(one: Row, other: Row) -> tuple[np.ndarray, np.ndarray]:
    """Return the differences of means in Monte Carlo standard errors: of coefficients, and of predicted losses."""
    z = {
        k: (np.array(one["mean"][k]) - other["mean"][k]) / np.hypot(one["mcse"][k], other["mcse"][k])
        for k in one["mean"]
    }
    return np.concatenate([x for k, x in z.items() if k != "loss"]), z["loss"]


def goals(results: Results) -> list[Goal]:
    """Compare the effective draws a second, ours in a process that finds what an earlier one compiled."""
    found = []
    for likelihood, words in LIKELIHOODS.items():
        theirs = median(_textbook(results, likelihood), "ess_per_second")
        mine = median(results.rows("yardstick", "ours", likelihood=likelihood, caches="filled"), "ess_per_second")
        times = ratio(mine, theirs)
        text = f"yardstick, six domains, {words}: at least 2,000 times the textbook's effective draws a second"
        measured = "not measured" if times is None else f"{times:,.0f} times"
        found.append(Goal(text, measured, None if times is None else times >= 2000))
    for likelihood, words in LIKELIHOODS.items():
        rows = results.rows("yardstick", "ours", likelihood=likelihood, caches="filled")
        worst, divergences = max((r["max_rhat"] for r in rows), default=0.0), [r["divergences"] for r in rows]
        measured = f"R-hat {worst:.4f} at most, divergences {', '.join(map(str, divergences))}"
        met = worst <= 1.01 and not any(divergences)
        text = f"yardstick, {words}: R-hat at most 1.01 and no divergences, {len(rows)} seeds"
        found.append(Goal(text, measured if rows else "not measured", met if rows else None))
    return found


def _textbook(results: Results, likelihood: str) -> list[Row]:
    """Return its results on this machine, of the yardstick as it is."""
    here, same = machine(FILE), ("processor", "cores", "system", "code")
    rows = results.rows("yardstick", "textbook", likelihood=likelihood) if FILE.is_file() else []
    return [r for r in rows if all(r["about"][k] == here[k] for k in same)]


def section(results: Results) -> str:
    """Write the part's section."""
    lines = [
        "## 1. Hierarchical D-CPT, six domains: against the textbook model",
        "",
        "Simulated data of the frozen yardstick; the same joint prior and likelihood. Seconds include building and",
        "compiling the model and the warm-up, not the imports; `with imports` counts from the imports on. Both find",
        "what an earlier process compiled and kept, except ours with empty caches. ESS is the smallest bulk ESS over",
        "coefficients and predicted losses, as the yardstick scores it. The textbook model takes ten minutes a run:",
        "its last results are kept, from the day named (`--textbook` measures it anew).",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    notes = []
    for likelihood, words in LIKELIHOODS.items():
        theirs = _textbook(results, likelihood)
        every = results.rows("yardstick", "ours", likelihood=likelihood)
        for name, rows in (
            ("textbook", theirs),
            ("bayeslaw, caches empty", [r for r in every if r["caches"] == "empty"]),
            ("bayeslaw", [r for r in every if r["caches"] == "filled"]),
        ):
            if rows:
                lines.append(_line(words, name, rows))
        if theirs and every:
            notes += _notes(words, theirs[0], every[-1])
        if not theirs:
            notes.append(f"The textbook model was not run with the likelihood {words} on this machine.")
    return "\n".join([*lines, "", *notes])


def _line(words: str, name: str, rows: list[Row]) -> str:
    ess = np.median([min(r["min_ess_coefficients"], r["min_ess_predictions"]) for r in rows])
    days, draws = sorted({r["date"] for r in rows}), rows[0]["settings"]["draws"]
    cells = [words, name, ", ".join(days), f"4 x {draws}", str(len(rows)), spread(rows, "seconds")]
    cells += [spread(rows, "process_seconds"), f"{ess:.0f}", f"{np.median([r['ess_per_second'] for r in rows]):.2f}"]
    cells += [f"{max(r['max_rhat'] for r in rows):.4f}", f"{max(r['divergences'] for r in rows)}"]
    cells += [f"{np.median([r['mean_steps'] for r in rows]):.0f}"]
    return f"| {' | '.join(cells)} |"


def _notes(words: str, theirs: Row, mine: Row) -> list[str]:
    coefficients, losses = agreement(theirs, mine)
    draws = theirs["settings"]["draws"]
    ess = min(theirs["min_ess_coefficients"], theirs["min_ess_predictions"])
    longer = ess * 1000 / draws / (theirs["seconds"] * 2000 / (1000 + draws))
    return [
        f"**Equal posteriors ({words}).** Differences of posterior means, textbook minus ours, in Monte Carlo standard",
        f"errors: {len(coefficients)} coefficients, root mean square {_rms(coefficients):.2f}, largest "
        f"{np.abs(coefficients).max():.1f}; {len(losses)} predicted losses, {_rms(losses):.2f} and "
        f"{np.abs(losses).max():.1f}.",
        "Errors of the textbook's means are themselves rough at its few effective draws.",
        "",
        f"Most of the textbook's {draws}-draw run is its 1,000 draws of warm-up. Had it drawn 1,000, arithmetic (not a",
        f"measurement; the same cost a draw, the compilation ignored) gives it {longer:.2f} effective draws a second;",
        f"ours are {mine['ess_per_second'] / longer:.0f} times as many.",
        "",
    ]


def _rms(z: np.ndarray) -> float:
    return float(np.sqrt(np.mean(z**2)))
