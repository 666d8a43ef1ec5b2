"""The critical mixture ratio: the paper's tables, Pythia-70M beside the data mixing law, and tiny models of four sizes.

python -m tests.studies.cmr
"""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.decisions.critical_ratio import CriticalRatio
from bayeslaw.plots import plot_quantity, plot_shares, plot_turning_point
from bayeslaw.plots.style import colours, density, finish
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.workflow import Fit
from tests.models.test_cmr import TABLE_4, TABLE_5, TOKENS_PER_STEP, chain
from tests.studies.page import DATA, DOCS, Page, convergence

BASE = 2.873368
"""Pile loss of Pythia-70M before continual pre-training."""
HELD_OUT, FIFTH = 0.71484375, 2.8721
"""Share of Python of the run that is left out, and the Pile loss it ends at."""
MEASURED, NOTEBOOK = 0.280, 0.287
"""Break-even Pile share: between the measured last losses, and by the point estimate of the data mixing law."""
TINY_TOKENS = 1.536e6
SHARES = (0.6, 0.65, 0.7, 0.72, 0.75, 0.8)


def words(quantity: Quantity, digits: int = 3) -> str:
    """Return median and interval as text, with the ends of a censored one marked."""
    ends = quantity.interval()
    numbers = [float(v.squeeze()) for v in (quantity.median(), ends["lower"], ends["upper"])]
    if isinstance(quantity, CriticalRatio) and numbers[0] >= float(quantity.high):
        return f">= {numbers[0]:.{digits}f}"
    return f"{numbers[0]:.{digits}f} [{numbers[1]:.{digits}f}, {numbers[2]:.{digits}f}]"


def holds(quantity: Quantity, value: float) -> bool:
    """Return whether the interval of a quantity holds a value."""
    ends = quantity.interval().squeeze()
    return bool(ends["lower"] < value < ends["upper"])


def width(quantity: Quantity) -> str:
    """Return how wide the interval of a quantity is."""
    ends = quantity.interval()
    return f"{float(ends['upper'] - ends['lower']):.3f}"


def of_pile(ratio: Quantity) -> Quantity:
    """Return the share of the Pile that goes with a share of Python."""
    return Quantity("break_even_pile_share", 1 - ratio.draws, "1", ratio.what)


def at(quantity: Any, **labels: float) -> Any:
    """Return one element of a ratio."""
    return CriticalRatio(
        quantity.name,
        quantity.draws.sel(labels, drop=True),
        quantity.unit,
        quantity.what,
        low=quantity.low,
        high=quantity.high,
    )


def table_of(rows: Mapping[str, Mapping[str, Any]], name: str) -> pd.DataFrame:
    """Return a table with one named row each."""
    return pd.DataFrame(rows).T.rename_axis(name)


Verdicts = list[tuple[bool, str]]
"""What was asked of a section: whether it holds, and in words."""


def published(page: Page) -> Verdicts:
    """The chain of the paper, from its table of curves to its critical ratios."""
    page.text(
        "## Three rules, and the paper's tables\n\n"
        "Three things are called critical ratio. **Turning point**: the largest share whose general loss has begun to "
        "fall again by the end of the tokens; the paper's feasibility rule asks it of domain loss + lambda x general "
        "loss, which is the general loss alone for a large lambda. **Tolerance**: the largest share whose general loss "
        "stays within a limit. **Break-even**: no rise at all. The paper's definition also has a limit, eps = 0.05 "
        "nats, but it does not bind: the fitted curves of its table 4 rise by far less at every share that comes into "
        "question.\n\nFrom the curves of table 4 to the critical ratio at 20e9 tokens: critical points of four shares "
        "and a curve through them."
    )
    rows = {}
    for size, curves in TABLE_4.items():
        rise = [a1 * 100**s1 + a2 * 100**s2 + b for a1, s1, a2, s2, b in curves.values()]
        rows[size] = {
            "paper": TABLE_5[size],
            "turning point": chain(size),
            "lambda 1000": chain(size, 1000),
            "lambda 100": chain(size, 100),
            "largest rise, shares 1/8 to 1/2 (nats)": max(rise),
        }
    table = table_of(rows, "model")
    page.table(table)
    missed = (table["turning point"] - table["paper"]).abs().max()
    page.text(
        f"The chain is within {missed:.4f} of the paper (asked: .006). A smaller lambda lets the falling domain loss "
        "pay for a rise of the general loss, so the ratio grows."
    )
    return [(missed < 0.006, f"the chain from table 4 is within {missed:.4f} of the paper's four ratios (asked: .006)")]


def pythia_table() -> pd.DataFrame:
    """Runs of Pythia-70M on five shares of Python."""
    names = {"r_domain": "domain_share", "pile_loss": "general_loss", "python_loss": "domain_loss"}
    table = pd.read_csv(DATA / "pythia70m_cpt/ct_pythia70m_pile_python.csv").rename(columns=names)
    table["D"] = table["step"] * TOKENS_PER_STEP
    return table.assign(run="python " + table["domain_share"].astype(str))


TURNING = bl.positive(1.0, spread=1.2)
"""Prior of the odds that turn at the reference tokens: the card's is the paper's, of 20e9 tokens and 0.5 to 3e9
parameters."""

RUN_EFFECTS = {
    "default": bl.Noise(),
    "large": bl.Noise(sigma=bl.positive(0.01, spread=0.5), run_weight=bl.share(0.8, weight=20)),
}
IN_WORDS = {
    "default": "error .5 % (within a factor 2.7), 40 % of its variance common to a run (worth 5 observations)",
    "large": "error 1 % (factor 1.6), 80 % of it common to a run (worth 20)",
}


def pythia(page: Page) -> Verdicts:
    """Four shares of Pythia-70M fitted, the fifth predicted; the break-even share."""
    table = pythia_table()
    held_out = np.isclose(table["domain_share"], HELD_OUT)
    last, final = float(table["D"].max()), table[table["D"] == table["D"].max()]
    kept = table[~held_out]
    page.text(
        "## Pythia-70M: four shares fitted, the fifth predicted\n\n"
        "Public runs, 10,000 steps on Pile and Python code, losses every 1,000 steps; the rate decays to the end. "
        f"The Pile loss before was {BASE}. Fitted is `cmr_general` to all checkpoints of four runs (Python shares .5, "
        ".625, .75, .875), the run at .715 is left out. Asked: does the band of a new run hold the last loss of the "
        f"fifth run, {FIFTH}? Do both {MEASURED} (between the measured last losses) and {NOTEBOOK} (a least-squares "
        "fit of the data mixing law) lie in the interval of the Pile share that breaks even, and how much does that "
        "interval depend on the prior of the run effect?\n\n"
        + "\n".join(f"- **{k}**: {v}." for k, v in IN_WORDS.items())
    )
    runs = bl.read_runs(kept[["run", "D", "domain_share", "general_loss"]])
    fits = {
        name: page.fit(
            name,
            bl.Model(
                models.cmr_general, runs, priors={"odds_ref": TURNING}, noise=noise, reference={"D": 1e10}, misfit=None
            ),
        )
        for name, noise in RUN_EFFECTS.items()
    }
    evens = {k: f.critical_ratio(D=last, rule="break-even", baseline=BASE) for k, f in fits.items()}
    new = {k: f.critical_ratio(D=last, rule="break-even", baseline=BASE, new_run=True) for k, f in fits.items()}
    rows, met = {}, {}
    for name, fit in fits.items():
        fifth = fit.predict(D=last, domain_share=HELD_OUT, new_run=True)
        pile = of_pile(evens[name])
        both = [holds(pile, x) for x in (MEASURED, NOTEBOOK)]
        met[name] = all(both) and holds(fifth, FIFTH)
        rows[name] = {
            f"fifth run ends at ({FIFTH})": words(fifth, 4),
            "Pile share, mean law": words(pile),
            "width": width(pile),
            "Pile share, a new run": words(of_pile(new[name])),
            "holds .280 and .287": " and ".join("yes" if h else "no" for h in both),
            "sigma": words(Quantity("sigma", fit.posterior["sigma"].squeeze("eval"), "1", "mean law"), 4),
            **{k: f"{v:g}" if k != "R-hat" else f"{v:.4f}" for k, v in convergence(fit).items()},
        }
    page.table(table_of(rows, "run effect"))
    shown = fits["default"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    plot_shares(shown, D=last, ax=left, ratio=evens["default"])
    left.axhline(BASE, color="0.35", lw=0.8, ls=":")
    left.plot(HELD_OUT, final.loc[held_out[final.index], "general_loss"], "*", color="black", ms=9, zorder=5)
    plot_turning_point(shown, "D", right, domain_share=0.875)
    page.figure(
        "pythia",
        figure,
        "Pile loss at the end over the share of Python with the break-even share marked; and over tokens at share .875",
    )
    page.text(
        "Left: Pile loss at the end over the share of Python; dots fitted, star left out, dotted the loss before; the "
        "break-even share is marked with its interval. Right: the loss over tokens at share .875, where it turns."
    )

    page.text("### Is a share safe?\n\nProbability that the Pile loss ends no higher than it began:")
    safe = pd.DataFrame(
        {
            "mean law": [float(evens["default"].probability_safe(s)) for s in SHARES],
            "a new run": [float(new["default"].probability_safe(s)) for s in SHARES],
        },
        pd.Index(SHARES, name="share of Python"),
    )
    page.table(safe, 2)

    page.text(
        "### The turning point, and the paper's lambda\n\nThe domain loss has its own law, `cmr_domain`, fitted to "
        "the same four runs; the two posteriors are paired draw by draw. Largest share of Python at which the goal "
        "falls by the end:"
    )
    domain_runs = bl.read_runs(kept[["run", "D", "domain_share", "domain_loss"]])
    domain = page.fit("domain", bl.Model(models.cmr_domain, domain_runs, reference={"D": 1e10}, misfit=None))
    domain.report(
        DOCS / "reports" / "cmr_domain.md",
        title="CMR, domain loss: Python on Pythia-70M",
        about="Public runs of Pythia-70M, continued on four mixtures of the Pile and Python code for 10,000 steps: the "
        "Python loss, every 1,000 steps. The [study](../studies/cmr.md) predicts a fifth mixture.",
    )
    turns: dict[str, CriticalRatio] = {
        "general loss alone": shown.critical_ratio(D=last, rule="turning-point"),
        **{
            f"lambda {w}": shown.critical_ratio(D=last, rule="turning-point", weight=float(w), beside=domain)
            for w in (1000, 100, 10)
        },
    }
    page.table(
        table_of(
            {k: {"share": words(r), "always, up to .95": f"{float(r.p_always):.2f}"} for k, r in turns.items()}, ""
        )
    )
    fifth = domain.predict(D=last, domain_share=HELD_OUT, new_run=True)
    measured = float(final.loc[held_out[final.index], "domain_loss"].iloc[0])
    page.text(
        f"The law of the domain loss (R-hat {convergence(domain)['R-hat']:.4f}, {convergence(domain)['divergences']} "
        f"divergences) puts the fifth run's last Python loss at {words(fifth, 4)}; measured {measured:.4f}. Turning "
        "point and break-even are two answers to two questions: at share .875 the Pile loss has turned, and is still "
        "far above where it began."
    )
    widths = ", ".join(f"{rows[k]['width']} ({k})" for k in fits)
    return [
        (
            all(met.values()),
            f"under both priors of the run effect the band of a new run holds the fifth run's {FIFTH}, and "
            f"the interval of the break-even Pile share holds {MEASURED} and {NOTEBOOK}; its width is {widths}",
        ),
        *beside_the_mixing_law(page, final, held_out, evens["default"]),
    ]


def beside_the_mixing_law(page: Page, final: pd.DataFrame, held_out: Any, even: CriticalRatio) -> Verdicts:
    """The break-even share by three laws."""
    page.text(
        "### Beside the data mixing law\n\n`data_mixing` (M4) and the paper's loss against ratio, `cmr_ratio`, know "
        "one loss of each run: here the last of each of the four. Four numbers say little of their own error, so both "
        "are told .2 % (within a factor 1.6), what the curves say of it; the exponent of `cmr_ratio`, whose card is "
        "about domain losses, gets a prior of 1 give or take 1.5. So few numbers leave bent ridges, hence an "
        "acceptance of .995."
    )
    four = final[~held_out[final.index]]
    noise, careful = bl.Noise(sigma=bl.positive(0.002, spread=0.5)), {"target_accept": 0.995, "tune": 1500}
    weights = four.assign(weight_pile=1 - four["domain_share"], weight_python=four["domain_share"])
    mixing = page.fit(
        "mixing",
        bl.Model(
            models.data_mixing,
            bl.read_runs(weights[["run", "weight_pile", "weight_python", "general_loss"]]),
            noise=noise,
            misfit=None,
        ),
        **careful,
    )
    ratio = page.fit(
        "ratio",
        bl.Model(
            models.cmr_ratio,
            bl.read_runs(four[["run", "domain_share", "general_loss"]]),
            noise=noise,
            priors={"s": bl.real(1.0, sd=1.5)},
            misfit=None,
        ),
        **careful,
    )
    c = mixing.posterior.squeeze("eval", drop=True)
    pile, python = (c["t"].sel(source=s, drop=True) for s in ("pile", "python"))
    share = ((xr.ufuncs.log(BASE - c["c"]) - python) / (pile - python)).clip(0, 1)
    by_mixing = Quantity("break_even_pile_share", share, "1", "mean law")
    by_ratio = of_pile(ratio.critical_ratio(rule="break-even", baseline=BASE))
    answers = {
        "cmr_general, all checkpoints": of_pile(even),
        "cmr_ratio, last losses": by_ratio,
        "data_mixing, last losses": by_mixing,
    }
    fits: dict[str, Fit | None] = dict(zip(answers, (None, ratio, mixing), strict=True))
    rows = {}
    for name, q in answers.items():
        fit = fits[name]
        how = convergence(fit) if fit else {}
        rows[name] = {
            "Pile share": words(q),
            "width": width(q),
            "R-hat": f"{how['R-hat']:.4f}" if fit else "above",
            "divergences": how.get("divergences", "above"),
        }
    page.table(table_of(rows, "law"))
    figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for colour, (name, q) in zip(colours(), answers.items(), strict=False):
        density(ax, q.draws, colour, name, CI_PROB, bins=np.linspace(0.2, 0.4, 81))
    for x, style in ((MEASURED, "--"), (NOTEBOOK, ":")):
        ax.axvline(x, color="0.2", lw=1, ls=style)
    ax.set(xlabel="Pile share that breaks even", ylabel="posterior density", xlim=(0.2, 0.4))
    finish(ax)
    page.figure("pile_share", figure, "Posteriors of the Pile share that breaks even, by three laws")
    middles = [float(q.median()) for q in answers.values()]
    sampled = [convergence(f) for f in (ratio, mixing)]
    worst, lost = max(c["R-hat"] for c in sampled), sum(c["divergences"] for c in sampled)
    page.text(
        f"Dashed: between the measured last losses, {MEASURED}; dotted: the published fit of the mixing law, "
        f"{NOTEBOOK}. The three medians lie within {max(middles) - min(middles):.3f} of each other."
    )
    agree = holds(of_pile(even), middles[2]) and holds(by_mixing, middles[0])
    return [
        (
            agree,
            "`cmr_general` and the data mixing law agree on the share that avoids forgetting: their medians are "
            f"{abs(middles[0] - middles[2]):.3f} apart, and each lies in the other's interval",
        ),
        (worst < 1.01, f"the fits to four numbers converge (largest R-hat {worst:.4f}, {lost} divergences)"),
    ]


def tiny(page: Page) -> Verdicts:
    """Four sizes of tiny models in one model: the critical ratio against size and tokens."""
    page.text(
        "## Tiny models: critical ratio against size and tokens\n\n"
        "Open runs of four tiny models at a constant rate, 0.1 to 1.5 million tokens, nine shares of Python, some runs "
        "repeated with another order of the data. ONE model holds all sizes, shares and tokens: where the curves leave "
        "from, their height and the turning odds are pooled by size; the exponents are shared. The first 100 steps are "
        "left out (the rate is warmed up again there), shares of 0 and 1 too (as in the paper)."
    )
    table = bl.datasets.load("tinycpt").query("schedule == 'constant' and (step == 0 or step >= 100)")
    inner = table.query("D > 0 and .05 < domain_share < .95")
    repeats = np.log(inner["general_loss"]).groupby([inner[c] for c in ("N", "domain_share", "D")])
    spare = repeats.count() - 1
    sd = float(np.sqrt((repeats.var() * spare).sum() / spare.sum()))
    several = inner.groupby(["N", "domain_share"])["run"].nunique()
    page.text(
        f"Replicates: {int(several[several > 1].sum())} runs in {int((several > 1).sum())} cells; the relative "
        f"standard deviation of their general losses is {sd:.4f}. The prior of the error is that, within a factor 1.3."
    )
    runs = bl.read_runs(table[["run", "N", "D", "domain_share", "general_loss"]])
    model: dict[str, Any] = {
        "by": dict.fromkeys(("L_start", "h", "odds_ref"), "N"),
        "priors": {"L_start": bl.positive(3.8, spread=0.3), "h": bl.positive(0.1, spread=0.7), "odds_ref": TURNING},
        "reference": {"D": 1.5e6},
    }
    known = bl.Noise(sigma=bl.positive(sd, spread=0.25))
    fit = page.fit("tiny", bl.Model(models.cmr_general, runs, noise=known, **model, misfit=None))
    fit.report(
        DOCS / "reports" / "cmr_general.md",
        title="CMR, general loss: tiny models of four sizes",
        about="Tiny models of four sizes, continued on nine shares of Python code at a constant rate: their general "
        "loss, which rises and then falls. More in the [study](../studies/cmr.md).",
    )
    sampled = convergence(fit)
    error = Quantity("sigma", fit.posterior["sigma"].squeeze("eval"), "1", "mean law")
    page.text(
        f"The error found is {words(error, 4)}; R-hat {sampled['R-hat']:.4f}, bulk ESS {sampled['bulk ESS']}, "
        f"{sampled['divergences']} divergences, {sampled['seconds']} s."
    )
    N = np.sort(table["N"].unique())
    ask: dict[str, Any] = {"N": N, "D": TINY_TOKENS}
    even = fit.critical_ratio(**ask, rule="break-even")
    new = fit.critical_ratio(**ask, rule="break-even", new_run=True)
    turn, within = fit.critical_ratio(**ask, rule="turning-point"), fit.critical_ratio(**ask, max_rise=0.03)
    crossings = {n: crossing(table, n) for n in N}
    page.text(f"Critical share of Python at the end ({TINY_TOKENS:g} tokens):")
    rows = {}
    for n in N:
        rows[f"{n:.0f}"] = {
            "between single runs": f"{crossings[n]:.2f}",
            "break-even": words(at(even, N=n)),
            "of a new run": words(at(new, N=n)),
            "within 3 %": words(at(within, N=n)),
            "turning point": words(at(turn, N=n)),
        }
    page.table(table_of(rows, "N"))
    held, held_new = ([n for n in N if holds(at(q, N=n), crossings[n])] for q in (even, new))
    page.text(
        "'Between single runs' joins the last measured losses of the main grid by lines and reads off where they cross "
        f"the loss before; a single run carries its luck. It lies in {len(held)} of {len(N)} intervals of the mean law "
        f"and in {len(held_new)} of {len(N)} of a new run."
    )
    D = np.geomspace(1.5e5, TINY_TOKENS, 15)
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained", sharey=True)
    for ax, rule in zip(axes, ("break-even", "turning-point"), strict=True):
        plot_quantity(fit.critical_ratio(N=N, D=D, rule=rule), ax)
        ax.set(xscale="log", ylabel="critical share of Python", ylim=(0, 1))
        ax.set_xticks([2e5, 5e5, 1e6], ["200 k", "500 k", "1 M"])
        ax.set_xticks([], minor=True)
        ax.set_title(rule, fontsize=9, loc="left", color="0.3")
    page.figure(
        "tiny_tokens", figure, "Critical ratio against tokens at four sizes, by break-even and by turning point"
    )
    page.text(
        "Both ratios grow with size and with tokens; a loss turns long before it is back at its start. The range is "
        ".05 to .95."
    )
    figure, panels = plt.subplots(2, 2, figsize=(10, 6.4), layout="constrained")
    base = table[table["D"] == 0].groupby("N")["general_loss"].mean()
    for ax, n in zip(panels.flat, N, strict=True):
        plot_shares(fit, N=n, D=TINY_TOKENS, ax=ax, ratio=at(even, N=n))
        ax.axhline(base[n], color="0.35", lw=0.8, ls=":")
    page.figure("tiny_shares", figure, "General loss over the share of Python at four sizes, break-even share marked")
    page.text("Hollow points were not fitted; the dotted line is the loss before continual pre-training.")
    return [
        (
            sampled["R-hat"] < 1.01 and not sampled["divergences"],
            f"one model of four sizes converges (R-hat {sampled['R-hat']:.4f}, {sampled['divergences']} divergences)",
        ),
        (
            len(held) == len(N),
            f"what lines between single runs say of the break-even share lies in {len(held)} of {len(N)} intervals of "
            f"the mean law ({len(held_new)} of {len(N)} of a new run)",
        ),
        (
            float(error.interval()["lower"]) < sd,
            f"the error that the fit finds, {words(error, 4)}, is that of repeated runs, {sd:.4f}, and no more",
        ),
    ]


LIMITS = """\
Not shown here, or not so:

- The general and the domain loss have laws of different form, so each is a model of its own. One model holds the
  shares, sizes and tokens of a loss; the lambda rule pairs two posteriors and drops what the errors of one run have in
  common. On Pythia the domain loss hardly moves the turning point; in the paper's table 4 lambda 100 adds .03 to .04.
- The laws know no learning rate. On Pythia the rate decays, and part of the turn at its end is the decay's, so its
  turning points are not the data's alone; the tiny runs keep a constant rate.
- The height of the peak is an exponential of the share here, not a power of it. That was chosen on the paper's table 4
  and on the very runs of this page, the fifth of Pythia among them, so these fits are no test of that choice.
- Below a share of about .1 the law bends down, under the losses measured at a share of 0 (the tiny runs), so a critical
  ratio down there is not to be trusted.
- No size was left out: an unseen size gets the population's ratio, and four sizes say little of its spread."""


def crossing(table: pd.DataFrame, n: float) -> float:
    """Return where lines between the last general losses of single runs cross the loss before."""
    grid = table[(table["N"] == n) & (table["set"] == "grid")].sort_values("domain_share")
    last = grid[grid["D"] == grid["D"].max()]
    excess = last["general_loss"].to_numpy() - grid.loc[grid["D"] == 0, "general_loss"].mean()
    share = last["domain_share"].to_numpy()
    first = int(np.argmax(excess > 0))
    return float(np.interp(0.0, excess[first - 1 : first + 1], share[first - 1 : first + 1]))


def main() -> None:
    """Write the page."""
    page = Page("cmr", "The critical mixture ratio")
    page.text(
        "How much of a new domain can the stream of continual pre-training hold before the general loss suffers? The "
        "CMR law (arXiv:2407.17467) reads it off curves that rise and then fall. This page repeats the paper's chain "
        "from its tables, then asks two public sets of real runs for the critical ratio with its interval, by named "
        f"rules. Intervals are {CI_PROB:.0%}; 4 x 1,000 draws each."
    )
    verdicts = [*published(page), *pythia(page), *tiny(page)]
    page.text("## What holds and what does not")
    page.text("\n".join(f"- {'Holds' if ok else '**Does not hold**'}: {what}." for ok, what in verdicts))
    page.text(LIMITS)
    page.write()


if __name__ == "__main__":
    main()
