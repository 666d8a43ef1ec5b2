"""What the reference shows: objects by section with the members that are told, and an example for each."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.declare.laws import Law
from tests.conftest import table_of
from tests.stand_ins import second_stage, stand_in

__all__ = ["EXAMPLES", "SECTIONS", "names"]

SECTIONS: dict[str, dict[str, str]] = {
    "Runs": {
        "read_runs": "",
        "read_curves": "",
        "read_scores": "",
        "from_wandb": "",
        "tables.power.PowerMemory": "",
        "early_features": "",
        "Runs": "dataset, select, hash",
        "suggest": "",
        "decisions.suggestions.Suggestions": "to_frame",
        "decisions.suggestions.Suggestion": "",
    },
    "Model and fit": {
        "Model": "pymc_model, table, fit, prior_predictive",
        "Misfit": "",
        "Noise": "",
        "Prior": "",
        "positive": "",
        "real": "",
        "share": "",
        "Fit": "summary, predict, without_misfit, new_domain, checks, next_runs, report, explore, save",
        "load": "",
        "Quantity": "interval, median, to_frame, text, plot, to_xarray, as_json",
        "posterior.quantity.Censored": "p_never, p_interior, p_always",
        "grid": "",
        "posterior.draws.UNSEEN": "",
        "compare_memories": "",
    },
    "Decisions: methods of a fit by the same name, without the first argument": {
        "decisions.critical_ratio.critical_ratio": "",
        "decisions.smallest_replay.smallest_replay": "",
        "decisions.best_ratio.best_ratio": "",
        "decisions.allocation.allocation": "",
        "decisions.tokens_for.tokens_for": "",
        "decisions.best_mixture.best_mixture": "",
        "decisions.optimum_shift.optimum_shift": "",
        "decisions.equivalent_compute.equivalent_compute": "",
        "decisions.best_duration.best_duration": "",
        "decisions.best_duration.duration_frontier": "",
        "decisions.schedule.curve": "",
        "decisions.schedule.best_schedule": "",
        "decisions.turning.turning_length": "",
        "decisions.turning.critical_point": "",
        "decisions.score.score": "",
        "decisions.domain_alignment.alignment": "",
        "decisions.domain_alignment.domain_vectors": "",
    },
    "Answers": {
        "decisions.critical_ratio.CriticalRatio": "probability_safe",
        "decisions.best_ratio.BestRatio": "epochs, p_further_epoch_hurts",
        "decisions.smallest_replay.Replay": "enough, tokens, probability_safe",
        "decisions.optimum_shift.Shift": "probability_above",
        "decisions.best_mixture.Mixture": "regret, gain, probability_within",
        "decisions.schedule.Best": "p_best, p_order, recommended",
        "decisions.score.Score": "probability_of, probability_above, best",
    },
    "Checks": {
        "checks.Checks": "passed, to_frame",
        "checks.CheckResult": "",
        "checks.prior_decides": "",
        "checks.extrapolation": "",
        "posterior.sensitivity.sensitivity": "",
    },
    "Domain vectors": {
        "tables.meta_domains.find_meta_domains": "",
        "tables.meta_domains.MetaDomains": "meta_domains, probabilities, calibration_error",
        "tables.meta_domains.Classifier": "meta_domains, probabilities",
        "tables.meta_domains.expected_counts": "",
        "tables.mixtures.through": "",
    },
    "Figures: each returns its matplotlib axes": {f"plots.{name}": "" for name in bl.plots.__all__},
    "Reports": {"report": ""},
    "Evaluation and comparison": {
        "evaluate": "",
        "Evaluation": "to_frame, summary, unconverged",
        "compare": "",
        "stacked": "",
        "plan": "",
        "Plan": "frame",
        "validation.next_runs.next_runs": "",
        "validation.proposals.NextRuns": "frame, plot, text, as_json",
        "calibrate": "",
        "Calibration": "pit, summary, plot",
        "requirements": "",
        "learnability": "",
        "decisions.domain_learnability.Learnability": "to_frame, text",
        **{f"splits.{name}": "" for name in ("by", "largest", "late", "segments", "runs")},
    },
    "Laws": {"law": "", "Law": "card, inputs", "Coefficient": "", "Covariate": ""},
    "Schedules": {
        f"schedules.{name}": ""
        for name in (
            *("constant", "cosine", "linear", "wsd", "multi_step", "cyclic", "inverse_sqrt", "from_table", "unknown"),
            "Schedule",
        )
    },
    "Data and errors": {
        **{f"datasets.{name}": "" for name in ("catalogue", "card", "load")},
        **{f"errors.{name}": "" for name in bl.errors.__all__},
    },
}
"""The objects of the reference by section, and the members that their pages tell of."""


def names() -> dict[str, Any]:
    """Return what examples use: fits of simulated runs with made-up draws, close to the truth behind them."""
    fit = stand_in(models.dcpt, table_of, outside="include")
    folder = Path(tempfile.mkdtemp())
    return {
        "bl": bl,
        "np": np,
        "pd": pd,
        "models": models,
        "folder": folder,
        "fit": fit,
        "model": fit.model,
        "runs": fit.model.runs,
        "sizes": stand_in(models.chinchilla, table_of, draws=500),
        "mixed": stand_in(models.nested_data_mixing, table_of),
        "windows": stand_in(models.domain_upsampling, table_of),
        "benchmarks": stand_in(models.domain_upsampling, two_benchmarks),
        "curves": stand_in(models.lr_annealing, table_of),
        "continued": stand_in(models.cpt_dynamics, table_of),
        "domains": stand_in(models.cross_domain_dcpt, table_of, outside="include"),
        "repeated": stand_in(models.dcpt_repetition, table_of, outside="include"),
        "stage2": second_stage(),
        "flat": bl.schedules.constant(4000, 2e-4, warmup=100),
        "fall": bl.schedules.cosine(4000, 2e-4, warmup=100),
    }


def two_benchmarks(law: Law, **settings: Any) -> pd.DataFrame:
    """Return a table of windows with the error rates of two benchmarks."""
    table = table_of(law, **settings).rename(columns={"validation_loss": "gsm8k_loss"})
    return table.assign(general_loss=table["gsm8k_loss"].values[::-1])


AT = "N=2e9, D=5e10, domain='code'"
LIMIT = f"{AT}, baseline=2.7"
COUNTS = 'counts = pd.DataFrame({"web": [620, 380], "forge": [140, 860]}, index=["kitchen", "court"])'
GROUPS = """
from bayeslaw.tables.meta_domains import find_meta_domains
rng = np.random.default_rng(0)
kinds = ["flour butter onion oven".split(), "clause party liable notice".split()]
texts = [" ".join(rng.choice(kinds[n % 2], 8)) for n in range(200)]
found = find_meta_domains(texts, 2)
"""
KEYWORDS = """
class Keywords:
    def meta_domains(self):
        return ["kitchen", "court"]

    def probabilities(self, texts):
        kitchen = np.array([0.9 if "butter" in text else 0.1 for text in texts])
        return np.stack([kitchen, 1 - kitchen], axis=1)

"""
EXAMPLES: dict[str, str] = {
    "read_runs": """
table = pd.DataFrame({"params": [1e8, 1e8, 1e9, 1e9], "D": [1e9, 1e10, 1e9, 1e10], "loss": [4.1, 3.6, 3.3, 2.9]})
bl.read_runs(table, N="params")
""",
    "read_curves": """
log = pd.DataFrame({"run": "a", "step": range(100, 1100, 100), "lr": 3e-4, "loss": np.linspace(4, 3, 10)})
bl.read_curves(log, warmup=0)
""",
    "read_scores": """
table = pd.DataFrame({"run": ["a", "b", "c"], "loss": [3.0, 2.6, 2.3], "quiz_score": [0.31, 0.42, 0.55]})
bl.read_scores(table, against="loss", chance={"quiz": 0.25})
""",
    "from_wandb": """
export = pd.DataFrame({"Step": [100, 200, 300], "run 1 - val/loss": [4.1, 3.7, 3.5]})
bl.from_wandb(export)
""",
    "tables.power.PowerMemory": """
from bayeslaw.tables.power import PowerMemory
log = pd.DataFrame({"run": "a", "step": range(100, 1100, 100), "lr": 3e-4, "loss": np.linspace(4, 3, 10)})
bl.read_curves(log, warmup=0, power=PowerMemory(C=2.0, beta=0.6, gamma=0.65)).area_settings
""",
    "early_features": """
cell = {"N": 1e9, "domain_share": 0.5}
table = pd.DataFrame({"D": [0.0, 1.31e8, 6.55e8, 5e9], "domain_loss": [2.9, 2.5, 2.4, 2.2], "domain": "code", **cell})
bl.early_features(bl.read_runs(table), tokens=(1.31e8, 6.55e8), **cell).table[["D", "domain_loss", "k1", "k2"]]
""",
    "Runs": "runs\nlen(runs), runs.evals",
    "suggest": 'bl.suggest(bl.datasets.load("dcpt-table5"))',
    "decisions.suggestions.Suggestions": 'bl.suggest(bl.datasets.load("dcpt-table5")).to_frame().head(3)',
    "decisions.suggestions.Suggestion": 'bl.suggest(bl.datasets.load("dcpt-table5"))["dcpt"]',
    "Model": 'bl.Model(models.dcpt, runs, by={"E": "domain"}, reference={"N": 5e8, "D": 1e9}, outside="include")',
    "Misfit": 'bl.Misfit()\nbl.Model(models.dcpt, runs, misfit="scales", outside="include")',
    "Noise": "bl.Noise(robust=True)",
    "Prior": 'bl.Prior("Gamma", alpha=2, beta=3)',
    "positive": "bl.positive(0.35, spread=0.3)",
    "real": "bl.real(0.0, 1.0)",
    "share": "bl.share(0.3, weight=5)",
    "Fit": "fit.summary().head(3)\nfit.predict(N=1e9, D=1e10, domain_share=0.5, domain='code')",
    "load": "path = sizes.save(folder / 'fit.nc')\nbl.load(path).predict(N=1e9, D=1e10)",
    "Quantity": "loss = sizes.predict(N=1e9, D=[1e9, 1e10])\nloss.to_frame()\nloss.interval(0.5)['upper'].values",
    "posterior.quantity.Censored": f"ratio = fit.critical_ratio({LIMIT}, max_rise=0.02)\nfloat(ratio.p_interior)",
    "grid": "bl.grid(0.1, 0.9, points=5)",
    "posterior.draws.UNSEEN": "bl.UNSEEN",
    "compare_memories": "bl.compare_memories(curves.model)",
    "decisions.critical_ratio.critical_ratio": f"fit.critical_ratio({LIMIT}, max_rise=0.02)",
    "decisions.smallest_replay.smallest_replay": f"fit.smallest_replay({LIMIT}, max_increase=0.05)",
    "decisions.best_ratio.best_ratio": "fit.best_ratio(N=2e9, domain_tokens=5e9, domain='code')",
    "decisions.allocation.allocation": "sizes.allocation(flops=1e21)",
    "decisions.tokens_for.tokens_for": "sizes.tokens_for(loss=3.2, N=1e9)",
    "decisions.best_mixture.best_mixture": "mixed.best_mixture(N=1e9, D=1e10)",
    "decisions.optimum_shift.optimum_shift": "mixed.optimum_shift(N=[1e8, 2e9], D=1e10)",
    "decisions.equivalent_compute.equivalent_compute": """
mixed.equivalent_compute(mixture={"web": 0.7, "code": 0.3}, than={"web": 1.0}, N=1e9, D=1e10)
""",
    "decisions.best_duration.best_duration": "windows.best_duration()",
    "decisions.best_duration.duration_frontier": """
from bayeslaw.decisions.best_duration import duration_frontier
duration_frontier(benchmarks, target="gsm8k", general="general", weights=[0.0, 0.5, 1.0])
""",
    "decisions.schedule.curve": "curves.curve(fall, steps=[1000, 2000, 4000])",
    "decisions.schedule.best_schedule": 'curves.best_schedule({"flat": flat, "fall": fall})',
    "decisions.turning.turning_length": "continued.turning_length(fall, before=bl.schedules.constant(8000, 2e-4))",
    "decisions.turning.critical_point": "continued.critical_point()",
    "decisions.score.score": "sizes.score(stage2, N=1e9, D=5e10)",
    "decisions.domain_alignment.alignment": f"""
from bayeslaw.decisions import alignment, domain_vectors
{COUNTS}
goal = pd.DataFrame({{"goal": [400, 600]}}, index=["kitchen", "court"])
alignment(domain_vectors(counts, seed=1), domain_vectors(goal, seed=2).sel(source="goal", drop=True))
""",
    "decisions.domain_alignment.domain_vectors": f"""
from bayeslaw.decisions import domain_vectors
{COUNTS}
domain_vectors(counts, seed=1).mean(["chain", "draw"]).to_pandas()
""",
    "decisions.critical_ratio.CriticalRatio": f"fit.critical_ratio({LIMIT}, max_rise=0.02).probability_safe(0.5)",
    "decisions.best_ratio.BestRatio": "best = fit.best_ratio(N=2e9, domain_tokens=5e9, domain='code')\nbest",
    "decisions.smallest_replay.Replay": f"float(fit.smallest_replay({LIMIT}, max_increase=0.05).enough(0.5))",
    "decisions.optimum_shift.Shift": "mixed.optimum_shift(N=[1e8, 2e9], D=1e10).probability_above(0.05)",
    "decisions.best_mixture.Mixture": "best = mixed.best_mixture(N=1e9, D=1e10)\nbest.regret({'web': 1.0})",
    "decisions.schedule.Best": 'curves.best_schedule({"flat": flat, "fall": fall}).p_best',
    "decisions.score.Score": "float(sizes.score(stage2, N=1e9, D=5e10).probability_of(0.4).max())",
    "checks.Checks": "sizes.checks()",
    "checks.CheckResult": "next(iter(sizes.checks()))",
    "checks.prior_decides": f"""
answers = {{name: fit.critical_ratio({LIMIT}, max_rise=0.02) for name in ("vague", "sure")}}
bl.checks.prior_decides(answers)
""",
    "checks.extrapolation": "bl.checks.extrapolation(sizes, N=2e10)",
    "posterior.sensitivity.sensitivity": """
from bayeslaw.posterior.sensitivity import sensitivity
sensitivity(sizes, sizes.posterior[["E", "alpha"]])
""",
    "decisions.domain_learnability.Learnability": "bl.learnability(domains).to_frame()",
    "learnability": "bl.learnability(domains)",
    "compare": 'bl.compare({"one": sizes, "other": sizes})',
    "tables.meta_domains.find_meta_domains": f"{GROUPS}found",
    "tables.meta_domains.MetaDomains": f"""{GROUPS}found.meta_domains()
found.probabilities(["butter onion oven"]).round(2)
found.calibration_error
""",
    "tables.meta_domains.Classifier": f"{KEYWORDS}Keywords().probabilities(['melt the butter'])",
    "tables.meta_domains.expected_counts": f"""
from bayeslaw.tables.meta_domains import expected_counts
{KEYWORDS}
expected_counts({{"web": ["melt the butter", "a clause"], "archive": ["the clause stands"]}}, Keywords())
""",
    "tables.mixtures.through": """
from bayeslaw.tables.mixtures import through
table = pd.DataFrame({"weight_books": [0.5, 0.2], "weight_web": [0.5, 0.8], "loss": [3.1, 3.0]})
vectors = pd.DataFrame({"books": [0.9, 0.1], "web": [0.3, 0.7]}, index=["prose", "news"])
through(table, vectors)
""",
    "report": 'bl.report(sizes, folder / "answer.html", progress=False).name',
    "evaluate": "bl.evaluate(sizes.model, bl.splits.by('N'), method='mle', progress=False)",
    "Evaluation": "bl.evaluate(sizes.model, bl.splits.by('N'), method='mle', progress=False).summary()",
    "splits.by": 'bl.splits.by("N")(runs)',
    "splits.largest": 'bl.splits.largest("N")(runs)',
    "splits.late": 'bl.splits.late("D", 0.6)',
    "splits.segments": 'bl.splits.segments("D", 3)',
    "splits.runs": "bl.splits.runs(5)",
    "stacked": """
weights = {"one": 0.7, "other": 0.3}
bl.stacked({"one": sizes, "other": sizes}, lambda fit: fit.predict(N=1e9, D=1e10), weights=weights)
""",
    "plan": 'bl.plan(models.cmr_ratio, "loss", 6, domain_share=0.6, simulations=2, progress=False)',
    "Plan": """
plan = bl.plan(models.cmr_ratio, "loss", 6, domain_share=0.6, simulations=2, progress=False)
plan.frame()[["design", "runs", "width"]]
plan.designs[plan.best].head(3)
""",
    "calibrate": "bl.calibrate(sizes.model, 4, draws=50, progress=False)",
    "Calibration": "bl.calibrate(sizes.model, 4, draws=50, progress=False).summary().head(3)",
    "plots.plot_calibration": """
found = bl.calibrate(sizes.model, 4, draws=50, progress=False)
[axes.get_title(loc='left') for axes in bl.plots.plot_calibration(found)]
""",
    "requirements": "bl.requirements(fit)",
    "law": """
from bayeslaw.declare import Coefficient, Covariate, law, positive

@law(
    title="A power of tokens",
    source="our notes",
    equation=r"L = E + B\\,D^{-\\beta}",
    covariates={"D": Covariate("tokens", "training tokens", reference=1e9)},
    coefficients={
        "E": Coefficient(positive(2.0, 0.3), "nats", "floor", why="a guess", floor=True),
        "B": Coefficient(positive(0.5, 0.5), "nats", "what tokens remove", why="a guess"),
        "beta": Coefficient(positive(0.3, 0.3), "1", "exponent", why="0.2 to 0.5 in published laws"),
    },
)
def power(D, /, *, E, B, beta):
    return E + B * D**-beta

power
float(power(1.0, E=2.0, B=0.5, beta=0.3))
""",
    "Law": "models.chinchilla\nfloat(models.chinchilla(1.0, 1.0, E=1.7, A=0.4, alpha=0.3, B=0.3, beta=0.3))",
    "Coefficient": 'models.dcpt.coefficients["alpha"]',
    "Covariate": 'models.dcpt.covariates["share"]',
    "datasets.catalogue": "bl.datasets.catalogue().head(3)",
    "datasets.card": 'print(str(bl.datasets.card("dcpt-table5"))[:240], "...")',
    "datasets.load": 'bl.datasets.load("dcpt-table5").head(3)',
    "schedules.constant": "bl.schedules.constant(1000, 3e-4, warmup=10)",
    "schedules.cosine": "bl.schedules.cosine(1000, 3e-4, final=3e-5, warmup=10)",
    "schedules.linear": "bl.schedules.linear(1000, 3e-4, warmup=10)",
    "schedules.wsd": "bl.schedules.wsd(1000, 3e-4, decay=200, warmup=10)",
    "schedules.multi_step": "bl.schedules.multi_step(1000, 3e-4, {800: 1e-4, 900: 3e-5}, warmup=10)",
    "schedules.cyclic": "bl.schedules.cyclic(1000, 3e-4, low=3e-5, period=200)",
    "schedules.inverse_sqrt": "bl.schedules.inverse_sqrt(1000, 3e-4, warmup=10)",
    "schedules.from_table": "bl.schedules.from_table([1, 500, 1000], [3e-4, 3e-4, 0.0], warmup=0)",
    "schedules.unknown": "bl.schedules.unknown()",
    "schedules.Schedule": "len(fall), float(fall.lr.max())",
    "plots.plot_along": 'bl.plots.plot_along(sizes, "D", N=1e9).get_xlabel()',
    "plots.plot_coverage": 'bl.plots.plot_coverage({"chinchilla": (57, 60), "dcpt": (50, 60)}).get_xlabel()',
    "plots.plot_critical_ratio": f"""
ratio = fit.critical_ratio({LIMIT}, max_rise=0.02)
bl.plots.plot_critical_ratio(ratio).get_xlabel()
""",
    "plots.plot_curve": 'rate, loss = bl.plots.plot_curve(curves, "fall 0")\nloss.get_ylabel()',
    "plots.plot_fit": "bl.plots.plot_fit(sizes).get_xlabel()",
    "plots.plot_forest": """
pooled = bl.Model(models.dcpt, runs, by={"B": "N"}, outside="include").prior_predictive(draws=20)
bl.plots.plot_forest({"prior": pooled}, "B").get_xlabel()
""",
    "plots.plot_learned": """
before, after = bl.plots.plot_learned(sizes)
after.get_ylabel()
""",
    "plots.plot_intervals": """
answers = {name: one.predict(N=1e9, D=1e10).draws for name, one in {"a": sizes, "b": sizes}.items()}
[text.get_text() for text in bl.plots.plot_intervals(answers).get_yticklabels()]
""",
    "plots.plot_mixture": "bl.plots.plot_mixture(mixed.best_mixture(N=1e9, D=1e10)).get_title(loc='left')",
    "plots.plot_prior_posterior": "bl.plots.plot_prior_posterior(sizes).get_xlabel()",
    "plots.plot_quantity": "bl.plots.plot_quantity(sizes.predict(N=1e9, D=[1e9, 1e10])).get_ylabel()",
    "validation.next_runs.next_runs": """
sizes.next_runs("loss", candidates={"N": [1e9, 1e10], "D": 1e11}, budget=1e23, N=1e11, D=1e12).frame()
""",
    "validation.proposals.NextRuns": """
sizes.next_runs("loss", candidates={"N": [1e9, 1e10], "D": 1e11}, budget=1e23, N=1e11, D=1e12).stop.text
""",
    "plots.plot_next_runs": """
grid = {"N": [1e9, 1e10], "D": [1e10, 1e11]}
found = sizes.next_runs("loss", candidates=grid, budget=1e23, N=1e11, D=1e12)
bl.plots.plot_next_runs(found).get_xlabel()
""",
    "plots.plot_regret": "bl.plots.plot_regret(mixed.best_mixture(N=1e9, D=1e10)).get_xlabel()",
    "plots.plot_shares": f"bl.plots.plot_shares(fit, {AT}).get_xlabel()",
    "plots.plot_sources": 'bl.plots.plot_sources(mixed, "t").get_xlabel()',
    "plots.plot_turning_point": 'bl.plots.plot_turning_point(sizes, "D", goal="validation", N=1e9).get_xlabel()',
    "errors.ArgumentError": """
try:
    sizes.model.fit(drws=100)
except bl.errors.ArgumentError as error:
    print(error)
""",
    "errors.BayeslawError": """
try:
    bl.load("no such file.nc")
except bl.BayeslawError as error:
    print(type(error).__name__, error)
""",
    "errors.StoreError": """
try:
    bl.load("no such file.nc")
except bl.errors.StoreError as error:
    print(error)
""",
    "errors.LawError": """
try:
    bl.positive(-1.0, spread=0.3)
except bl.errors.BayeslawError as error:
    print(type(error).__name__, error)
""",
    "errors.Caution": "sizes.predict(N=2e10, D=1e10).cautions",
    "errors.RangeError": """
try:
    sizes.predict(N=-1, D=1e9)
except bl.errors.RangeError as error:
    print(error)
""",
    "errors.UnknownName": """
try:
    bl.Model(models.chinchilla, sizes.model.runs, priors={"alpa": bl.positive(0.3, 0.3)})
except bl.errors.UnknownName as error:
    print(error)
""",
    "errors.DataError": """
try:
    bl.read_runs(pd.DataFrame({"N": [1e9], "loss": [-1.0]}))
except bl.errors.DataError as error:
    print(error)
""",
}
"""An example for every object that has one; what they use is in `names`."""
