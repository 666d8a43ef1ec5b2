"""Real runs for each law, and how they are left out: some of what an analyst would ask it to predict."""

from collections.abc import Callable

import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.declare.laws import Law
from bayeslaw.tables.mixtures import through
from bayeslaw.validation.splits import Splits
from tests.models.test_held_out_schedules import LAWS, curves
from tests.studies import cpt_dynamics, cpt_versions, held_out
from tests.studies.cmr import TURNING, pythia_table
from tests.studies.domain2vec import vectors
from tests.studies.mixtures import regmix
from tests.studies.page import DATA
from tests.studies.slimpajama import losses as slimpajama

__all__ = ["study"]

Study = tuple[str, bl.Model, Splits]
"""The runs in words, the model, and what is left out."""

TINY = {"N": 2e5, "D": 1e6}


def study(law: Law) -> Study | None:
    """Return real runs for a law; None for rivals with a study of their own, and where none are public."""
    return next((make(law) for make, names in STUDIES.items() if law.name in names.split()), None)


def chinchilla(law: Law) -> Study:
    """Runs read off the Chinchilla figure."""
    return "245 points of the Chinchilla figure, five parts", held_out.chinchilla(), bl.splits.runs(5)


def python(*, largest: bool = False) -> bl.Runs:
    """Tiny models on shares of Python code at a constant rate, every third checkpoint from the last on."""
    table = bl.datasets.load("tinycpt").query("schedule == 'constant' and (step == 0 or step >= 300)")
    place = table.groupby("run").cumcount(ascending=False)
    table = table[(table["step"] == 0) | (place % 3 == 0)]
    return bl.read_runs(table[table["N"] == table["N"].max()] if largest else table)


def dcpt(law: Law) -> Study:
    """Tiny models of four sizes."""
    return "tinycpt, four parts", bl.Model(law, python(), reference=TINY, misfit=None), bl.splits.runs(4)


def bimix(law: Law) -> Study:
    """Tiny models of the largest size."""
    model = bl.Model(law, python(largest=True), reference={"D": TINY["D"]}, misfit=None)
    return "tinycpt, largest size, four parts", model, bl.splits.runs(4)


def cmr(law: Law) -> Study:
    """Pythia-70M on five shares of Python code."""
    losses = [f"{role}_loss" for role in law.evals]
    runs = bl.read_runs(pythia_table()[["run", "D", "domain_share", *losses]])
    priors = {"odds_ref": TURNING} if "odds_ref" in law.coefficients else {}
    return (
        "Pythia-70M, a run at a time",
        bl.Model(law, runs, priors=priors, reference={"D": 1e10}, misfit=None),
        bl.splits.by("run"),
    )


def cmr_ratio(law: Law) -> Study:
    """Last losses of tiny models of the largest size."""
    runs = python(largest=True)
    last = runs.select(runs.table["D"] == runs.table["D"].max())
    return (
        "tinycpt, largest size, last losses, a share at a time",
        bl.Model(law, last, misfit=None),
        bl.splits.by("domain_share"),
    )


def mixing(law: Law) -> Study:
    """70M models on mixtures of five sources."""
    table = pd.read_csv(DATA / "data_mixing_laws" / "5mix_step30000.csv").query("size == '70M'")
    table = table.rename(columns=lambda c: c.replace("r_", "weight_", 1) if c.startswith("r_") else c)
    table = table.rename(columns=lambda c: f"{c.removeprefix('loss_')}_loss" if c.startswith("loss_") else c)
    runs = bl.read_runs(table.drop(columns=["size", "overall_loss"]))
    return (
        "data mixing laws' 70M runs, five parts",
        bl.Model(law, runs, outside="include", misfit=None),
        bl.splits.runs(5),
    )


def nested(law: Law) -> Study:
    """SlimPajama runs of three sizes, the loss on code at every eighth checkpoint from the last on."""
    table = slimpajama().dropna(subset="github_loss").sort_values(["run", "D"])
    table = table[table.groupby("run").cumcount(ascending=False) % 8 == 0]
    kept = [c for c in map(str, table.columns) if not c.endswith("_loss")]
    model = bl.Model(law, bl.read_runs(table[kept + ["github_loss"]]), misfit=None)
    return "SlimPajama grid, loss on GitHub, five parts", model, bl.splits.runs(5)


def domain2vec(law: Law) -> Study:
    """RegMix's mixtures through the vectors of their sources, the loss on Pile-CC."""
    table = through(regmix("train", "1m").head(128), vectors())
    model = bl.Model(law, bl.read_runs(table, loss={"pile_cc": "pile_cc_loss"}), outside="include", misfit=None)
    return "RegMix 1M, 128 mixtures, five parts", model, bl.splits.runs(5)


def annealing(law: Law) -> Study:
    """Three schedules of 25M, and of 100M too where the law knows sizes; six schedules more in docs/studies."""
    sizes = (25, 100) if "N" in law.columns else (25,)
    settings = LAWS["multi_power" if law is models.multi_power else "lr_annealing"]
    names = ("cosine_24000", "constant_24000", "wsdcon_9", "wsd_20000_24000", "wsdcon_3")
    runs = curves(*sizes, names=names, **settings)
    return (
        f"MultiPowerLaw's curves, {sizes[-1]}M, a run at a time",
        bl.Model(law, runs, misfit=None),
        bl.splits.by("run"),
    )


def dynamics(law: Law) -> Study:
    """Tiny models under five schedules."""
    tiny = cpt_dynamics.tiny()
    model = cpt_dynamics.tiny_model(tiny, tiny.table["run"].notna())
    return "tinycpt, a schedule at a time", model, bl.splits.by("run")


def dynamics_of_sizes(law: Law) -> Study:
    """Tiny models of four sizes, and what they were trained on before."""
    tiny = cpt_versions.by_size()
    return "tinycpt, a size at a time", cpt_versions.sized(tiny, tiny.table["N"].notna()), bl.splits.by("N")


def replay(law: Law) -> Study:
    """Pythia-70M on five shares of Python code."""
    own = cpt_dynamics.pythia()
    runs = own.read(own.table["run"].notna())
    model = bl.Model(law, runs, reference=cpt_dynamics.per_rate(1e-3), misfit=None)
    return "Pythia-70M, a run at a time", model, bl.splits.by("run")


def forgetting(law: Law) -> Study:
    """Published runs of a 405M model continued on SlimPajama, 0 to 10 % replay."""
    table = bl.datasets.load("replay").query("set == 'pile-slimpajama-405M' and (D == 0 or domain_share >= 0.9)")
    runs = bl.read_runs(table[["run", "N", "D", "domain_share", "general_loss"]])
    return "replay, 405M on SlimPajama, a run at a time", bl.Model(law, runs, misfit=None), bl.splits.by("run")


def windows(law: Law) -> Study:
    """Two-phase training of marin-community, no code in the first phase."""
    table = pd.read_csv(DATA / "marin_two_phase" / "two_phase_starcoder_143.csv").query("phase_0_starcoder == 0")
    table = table.rename(columns={"phase_1_starcoder": "duration"})
    runs = bl.read_runs(table[["duration", "code_bpb"]], loss={"code": "code_bpb"}, unit="nats")
    return (
        "marin's two phases, five parts",
        bl.Model(law, runs, reference={"duration": 0.1}, misfit=None),
        bl.splits.runs(5),
    )


def scores(law: Law) -> Study:
    """Table 6 of arXiv:2406.03476."""
    runs = bl.read_scores(bl.datasets.load("upsampling-table6"))
    return "published scores, a window at a time", bl.Model(law, runs, misfit=None), bl.splits.by("duration")


STUDIES: dict[Callable[[Law], Study], str] = {
    chinchilla: "chinchilla",
    dcpt: "dcpt",
    bimix: "bimix",
    cmr: "cmr cmr_domain cmr_general",
    cmr_ratio: "cmr_ratio",
    mixing: "data_mixing regmix",
    nested: "nested_data_mixing additive_mixture joint_mixture",
    forgetting: "replay",
    domain2vec: "domain2vec",
    annealing: "lr_annealing lr_annealing_size multi_power",
    dynamics: "cpt_dynamics",
    dynamics_of_sizes: "cpt_dynamics_size",
    replay: "cpt_dynamics_replay",
    windows: "upsampling_loss quadratic_upsampling_loss saturating_upsampling_loss",
    scores: "constant_upsampling domain_upsampling domain_upsampling_points quadratic_upsampling saturating_upsampling",
}
"""Which laws each is for."""
