"""The public tables, and what is kept out of each along every axis."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.posterior.prediction import part
from bayeslaw.spec.design import Design
from tests.models.test_held_out_schedules import LAWS, NEW, PLANS, SIZES, curves
from tests.studies import data_mixing, domain_upsampling, slimpajama
from tests.studies.held_out import pythia, tinycpt
from tests.studies.mixtures import regmix
from tests.studies.page import DATA

__all__ = ["STUDIES", "Case", "Study", "cases", "split"]

SETTLED = 0.05
"""Share of a run's tokens before which its checkpoints are left out: warm-up and the first steep fall."""

LIMITS = (0.3, 0.5, 0.7)
"""Where a scale is cut, as shares of its logarithmic range; what lies beyond is kept out."""

PARTS = 3
"""Parts into which shares and mixtures are dealt; each is kept out once."""

Cut = Callable[[pd.DataFrame], Mapping[str, np.ndarray]]
"""From a table to ``{label: rows that are kept out}``."""


@dataclass(frozen=True)
class Axis:
    """Along what rows are kept out.

    Attributes
    ----------
    calibrating : callable
        Rows of the training table that a conformal interval is calibrated on.
    scale : str, optional
        The column in which it is counted how far the rows lie beyond the others.
    """

    name: str
    cut: Cut
    calibrating: Cut
    scale: str | None = None


@dataclass(frozen=True)
class Study:
    """A table with its law; tables of one family share recipes, data or authors."""

    name: str
    family: str
    model: Callable[[], bl.Model]
    axes: tuple[Axis, ...]


@dataclass(frozen=True, eq=False)
class Case:
    """A model of the rows that are fitted, law alone, and the rows that are kept out."""

    study: Study
    axis: Axis
    label: str
    model: bl.Model
    held: Design
    factor: np.ndarray

    def __str__(self) -> str:
        return f"{self.study.name}, {self.axis.name}, {self.label}"


def cases(study: Study) -> Iterator[Case]:
    """Yield every part of a table that is kept out of a fit."""
    whole = replace(study.model(), misfit=None)
    for axis in study.axes:
        for label, out in axis.cut(whole.runs.sorted_along(whole.law.path).table).items():
            model, held = split(whole, np.asarray(out))
            if held.measured.any():
                rows = held.rows.isel(row=held.cells["row"])
                ends = model.design.rows, rows
                factor = np.full(len(rows["row"]), np.nan)
                if axis.scale is not None:
                    factor = ends[1][axis.scale].values / ends[0][axis.scale].values.max()
                yield Case(study, axis, label, model, held, factor)


def split(model: bl.Model, out: np.ndarray) -> tuple[bl.Model, Design]:
    """Return the model without some rows of its table, sorted along the runs, and the design of these."""
    runs = model.runs.sorted_along(model.law.path)
    return replace(model, runs=runs.select(~out)), part(model.design, out)


# ------------------------------------------------------------------------------------------------------- ways to cut
def _limit(values: "pd.Series[float]", share: float) -> float:
    low, high = np.log(values.min()), np.log(values.max())
    return float(np.exp(low + share * (high - low)))


def _beyond(scale: str) -> Cut:
    """Keep out what lies beyond each limit, if sizes and tokens enough to fit a law lie before it."""

    def cut(table: pd.DataFrame) -> dict[str, np.ndarray]:
        found: dict[int, tuple[str, np.ndarray]] = {}
        sizes = 3 if scale == "N" else min(2, table["N"].nunique())
        for share in LIMITS:
            limit = _limit(table[scale], share)
            out = (table[scale] > limit).to_numpy()
            near = table[~out]
            enough = near["N"].nunique() >= sizes and near["D"].nunique() >= 3
            if enough and len(near) >= 10 and out.sum() >= 3:
                found.setdefault(len(near), (f"{scale} beyond {limit:.3g}", out))
        return dict(found.values())

    return cut


def _top(scale: str) -> Cut:
    """Keep out the largest scales: what lies beyond the last limit."""
    return lambda table: {"largest": (table[scale] > _limit(table[scale], LIMITS[-1])).to_numpy()}


def _dealt(*columns: str) -> Cut:
    """Deal the levels of columns, in their order, into parts."""

    def cut(table: pd.DataFrame) -> dict[str, np.ndarray]:
        number = table.groupby(list(columns)).ngroup().to_numpy()
        return {f"part {k + 1} of {PARTS}": number % PARTS == k for k in range(min(PARTS, number.max() + 1))}

    return cut


def _named(names: tuple[str, ...]) -> Cut:
    """Keep out the runs whose names end, or begin, with one of these."""

    def cut(table: pd.DataFrame) -> dict[str, np.ndarray]:
        return {"the others": table["run"].str.endswith(names).to_numpy() | table["run"].str.startswith(names)}

    return cut


def _scale(name: str, scale: str) -> Axis:
    return Axis(name, _beyond(scale), _top(scale), scale)


MODELS, TOKENS = _scale("larger models", "N"), _scale("more tokens", "D")
SHARES = Axis("unseen shares", _dealt("domain_share"), _dealt("domain_share"))
RUNS = bl.splits.runs(5).cut


# ------------------------------------------------------------------------------------------------------------ tables
def _chinchilla(name: str) -> bl.Model:
    """Return the law of sizes and tokens of a table; points that are runs of their own have robust errors."""
    if name == "chinchilla_epoch":
        points = pd.read_csv(DATA / "chinchilla_epoch" / "svg_extracted_data.csv")
        size = points["Model Size"]
        table = pd.DataFrame({"N": size, "D": points["Training FLOP"] / (6 * size), "loss": points["loss"]})
    elif name == "datablations":
        repeated = pd.read_csv(DATA / "datablations" / "datablations_LNDU.csv").query("epochs <= 4")
        table = repeated[["N", "D", "loss"]].reset_index(drop=True)
    else:
        curves = pd.read_csv(DATA / "families" / "families.csv").query("family == @name").drop(columns="family")
        settled = curves["D"] > SETTLED * curves.groupby("run")["D"].transform("max")
        return bl.Model(models.chinchilla, bl.read_runs(curves[settled].reset_index(drop=True)))
    table = table.assign(run=[f"run {i}" for i in table.index])
    return bl.Model(models.chinchilla, bl.read_runs(table), noise=bl.Noise(robust=True))


def _slimpajama() -> bl.Model:
    """Return the nested law of the mean loss of the seven sources."""
    table = slimpajama.losses()
    losses = [str(c) for c in table if str(c).endswith("_loss")]
    mean = table[[c for c in losses if c != f"{slimpajama.GOAL}_loss"]].mean(axis="columns", skipna=False)
    return bl.Model(models.nested_data_mixing, bl.read_runs(table.drop(columns=losses).assign(loss=mean).dropna()))


def _curves(size: int) -> bl.Model:
    return bl.Model(models.lr_annealing, curves(size, names=tuple(PLANS), **LAWS["lr_annealing"]))


def _regmix() -> bl.Model:
    table = pd.concat([regmix(kind, "1m") for kind in ("train", "test")], ignore_index=True)
    runs = bl.read_runs(table, loss={"pile_cc": "pile_cc_loss"})
    return bl.Model(models.data_mixing, runs, outside="include")


def _marin() -> bl.Model:
    runs, *_ = domain_upsampling.marin()
    return bl.Model(models.upsampling_loss, runs, reference={"duration": 0.1})


FAMILIES = {
    "datablations_curves_c4": "datablations",
    "datablations_curves_oscar": "datablations",
    "gemstones": "gemstones",
    "gemstones_half_lr": "gemstones",
    "gpt3_train": "gpt3",
    "lamda_normalised": "lamda",
    "opt": "opt",
    "chinchilla_epoch": "chinchilla",
    "datablations": "datablations",
}
MIXTURE = [f"weight_{s}" for s in ("arxiv", "book", "c4", "github", "commoncrawl", "stackexchange", "wikipedia")]
LARGEST = Axis("larger models", bl.splits.largest("N").cut, bl.splits.largest("N").cut, "N")
MIXTURES = Axis("unseen mixtures", _dealt(*MIXTURE), _dealt(*MIXTURE))

_ALL = [
    *(
        Study(name, family, lambda name=name: _chinchilla(name), (MODELS, TOKENS))  # type: ignore[misc]
        for name, family in FAMILIES.items()
    ),
    Study("tinycpt", "tinycpt", tinycpt, (MODELS, TOKENS, SHARES)),
    Study("pythia70m_cpt", "pythia", pythia, (TOKENS, SHARES)),
    Study("slimpajama_grid", "slimpajama", _slimpajama, (LARGEST, TOKENS, MIXTURES)),
    *(
        Study(
            f"multipowerlaw_{size}M",
            "multipowerlaw",
            lambda size=size: _curves(size),  # type: ignore[misc]
            (Axis("other schedules", _named(NEW), bl.splits.by("run").cut),),
        )
        for size in SIZES
    ),
    Study("regmix", "regmix", _regmix, (Axis("unseen mixtures", _named(("test",)), RUNS),)),
    Study(
        "data_mixing_laws",
        "data_mixing_laws",
        lambda: bl.Model(models.data_mixing, data_mixing.three()),
        (Axis("unseen mixtures", RUNS, RUNS),),
    ),
    Study("marin", "marin", _marin, (Axis("unseen shares", RUNS, RUNS),)),
]
STUDIES = {study.name: study for study in _ALL}
"""The tables, by name."""
