"""Reports of the laws that no other study reports: rivals side by side, on the runs of the other studies.

``python -m tests.studies.catalogue [REPORT ...]`` writes docs/reports; finished fits are kept in build/studies.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.workflow import Fit
from tests.models import test_repetition_mixture
from tests.models.test_held_out_schedules import LAWS, SIZES, curves
from tests.studies import (
    cmr,
    cross_domain,
    data_mixing,
    dcpt_forms,
    domain_upsampling,
    mixture_scaling,
    repetition,
    revisiting,
    skaling,
)
from tests.studies.page import DOCS, fitted

NOTEBOOK = {
    "academic": (0.9750, -2.1391, (-10.0864, 2.7140, 2.7106, 2.6083, 1.5866)),
    "prose": (1.2624, -2.1656, (1.3930, -4.6811, 0.7855, 1.8719, 0.5734)),
    "dialogue": (1.1375, -7.1017, (6.7135, 6.2643, -31.8621, 6.6423, 6.2053)),
    "symbolic": (0.4750, -3.6546, (3.3289, 3.6705, 3.1127, -16.4217, 3.1591)),
    "internet": (1.2402, -1.9510, (1.1897, 0.8697, -0.5184, 1.7122, -3.0870)),
}
"""log c, log k and t of the five validation sets, 70M models at 30,000 steps (https://github.com/yegcjs/mixinglaws)."""

LOSS_OF_MIXTURES = "openhermes"
"""Instructions: the one validation set of the SlimPajama grid that is not of a source."""


def _fitted(name: str, model: bl.Model, **sampling: Any) -> Fit:
    return fitted("catalogue", name, model, **sampling)


def tinycpt() -> bl.Runs:
    """Return the grid that the forms of D-CPT are compared on, and the losses it rises from."""
    runs = dcpt_forms.tinycpt()
    table = bl.datasets.load("tinycpt")
    before = table.loc[(table["set"] == "grid") & (table["step"] == 0), runs.table.columns]
    return bl.read_runs(pd.concat([before, runs.table], ignore_index=True))


def forms_of_dcpt() -> dict[str, Fit]:
    """Fit every form of the D-CPT paper to tiny models."""
    runs = tinycpt()
    forms = dcpt_forms.FORMS | dcpt_forms.AS_EFFECTIVE_DATA
    return {label: _fitted(name, dcpt_forms.form(name, runs)) for label, name in forms.items()}


def across_domains() -> dict[str, Fit]:
    """Fit the four definitions of learnability to six simulated domains."""
    runs, _ = cross_domain.six_domains()
    return {
        label.split(", ")[1]: _fitted(name, cross_domain.by_domain(name, runs))
        for label, name in cross_domain.CROSS.items()
    }


def upsampled_scores() -> dict[str, Fit]:
    """Return the forms of the score against the window that the study of upsampling compares."""
    rivals = {name: domain_upsampling.rival(name) for name in domain_upsampling.RIVALS}
    return {"logit, pooled": domain_upsampling.of_table_6("the card"), **rivals}


def upsampled_losses() -> dict[str, Fit]:
    """Return the forms of a loss against the share in the second half of a training."""
    return domain_upsampling.loss_forms()


def five_sources() -> Fit:
    """Fit M4 to the five sources of 70M models, as the notebook of the authors does."""
    runs = bl.read_runs(data_mixing.five(), loss={e: f"{e}_loss" for e in data_mixing.FIVE})
    return _fitted("data_mixing_five", bl.Model(models.data_mixing, runs, outside="include"))


def last_losses() -> Fit:
    """Fit the loss against the share to the ends of the runs of Pythia-70M."""
    table = cmr.pythia_table()
    last = table.loc[table["D"] == table["D"].max(), ["run", "domain_share", "general_loss", "domain_loss"]]
    model = bl.Model(
        models.cmr_ratio,
        bl.read_runs(last),
        noise=bl.Noise(sigma=bl.positive(0.002, spread=0.5)),
        priors={"s": bl.real(1.0, sd=1.5)},
    )
    return _fitted("cmr_ratio", model, target_accept=0.99)


def both_losses() -> Fit:
    """Fit CMR of both losses to the largest of the tiny models."""
    runs = tinycpt()
    table = pd.concat([runs.baseline, runs.table])
    largest = table[table["N"] == table["N"].max()].drop(columns="N")
    priors = {"h": bl.positive(0.1, spread=0.7)}
    return _fitted(
        "cmr", bl.Model(models.catalogue["cmr"], bl.read_runs(largest), priors=priors, reference={"D": 1.5e6})
    )


def own_share_and_tokens() -> Fit:
    """Fit BiMix to the largest of the tiny models: the law knows no size."""
    runs = tinycpt()
    table = pd.concat([runs.baseline, runs.table])
    largest = table[table["N"] == table["N"].max()].drop(columns="N")
    return _fitted("bimix", bl.Model(models.bimix, bl.read_runs(largest), reference={"D": 1e6}), target_accept=0.98)


def schedules_of_two_sizes() -> Fit:
    """Fit the annealing law with size to three schedules of 25M and of 100M."""
    return _fitted("lr_annealing_size", bl.Model(models.lr_annealing_size, curves(*SIZES, **LAWS["lr_annealing"])))


def of_the_notebook() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the fit that the authors of the data mixing law print for the five sources, as coefficients of M4."""
    c = {e: float(np.exp(log_c)) for e, (log_c, _, _) in NOTEBOOK.items()}
    t = {
        e: {s: log_k + slope for s, slope in zip(data_mixing.FIVE, slopes, strict=True)}
        for e, (_, log_k, slopes) in NOTEBOOK.items()
    }
    return {"Ye et al. 2024, notebook": {"c": c, "t": t}}


def size_and_tokens() -> dict[str, Fit]:
    """Fit the Chinchilla law and Skaling to the smaller models of a ladder, as their study does."""
    near, _, noise = skaling.studies()["OLMo ladder"]
    return {
        law: fitted("skaling", f"OLMo ladder-{law}", bl.Model(body, bl.read_runs(near), noise=noise))
        for law, body in skaling.LAWS.items()
    }


def learning_curves() -> dict[str, Fit]:
    """Fit the power laws in tokens to the curves of language models of the benchmark of their study."""
    curves = [rows.assign(run=name, model=name) for domain, name, rows in revisiting.curves() if domain == "LM"]
    runs = bl.read_runs(pd.concat(curves)[["run", "model", "D", "loss"]])
    laws = {"power law": models.power_law, "shifted": models.shifted_power_law}
    about: dict[str, Any] = {"by": {"E": "model", "B": "model"}, "reference": {"D": 1e11}}
    return {name: _fitted(law.name, bl.Model(law, runs, **about), draws=4000) for name, law in laws.items()}


def repeated_tokens() -> dict[str, Fit]:
    """Fit both rivals of repetition to public runs of up to 60 epochs, as their study does."""
    rivals, noise = (models.repetition_penalty, models.effective_tokens), bl.Noise(robust=True)
    runs = repetition.fitted_runs()
    return {law.name: fitted("repetition", law.name, bl.Model(law, runs, noise=noise)) for law in rivals}


def scarce_domain() -> Fit:
    """Fit D-CPT with a penalty to simulated proxies whose epochs are those of the target."""
    model = bl.Model(models.dcpt_repetition, repetition.proxies([2e8, 1e9]))
    return fitted("repetition", "simulated-2-2e+08", model)


def with_interaction() -> Fit:
    """Fit D-CPT with an interaction to tiny models."""
    return _fitted("dcpt_interaction", dcpt_forms.form("dcpt_interaction", tinycpt()))


def mixtures_of_sizes() -> dict[str, Fit]:
    """Fit both mixture laws with size and tokens to the smaller models of a grid, as their study does."""
    runs = bl.read_runs(mixture_scaling.parts(LOSS_OF_MIXTURES)[0])
    draws = {"additive_mixture": 1000, "joint_mixture": 2500}
    return {name: _fitted(name, bl.Model(models.catalogue[name], runs), draws=n) for name, n in draws.items()}


def scarce_corpus() -> Fit:
    """Fit the mixture law with a repeated corpus to simulated runs."""
    return _fitted("repetition_mixture", bl.Model(models.repetition_mixture, test_repetition_mixture.simulated()))


def small_replay() -> Fit:
    """Fit the law of small replay to published runs of two sizes."""
    table = bl.datasets.load("replay").query("domain == 'slimpajama' and (D == 0 or domain_share >= 0.9)")
    runs = bl.read_runs(table[["run", "N", "D", "domain_share", "general_loss"]])
    return _fitted("replay", bl.Model(models.replay, runs), target_accept=0.98)


@dataclass(frozen=True)
class Report:
    """A report: what it is called, what its runs are, and how it is made."""

    title: str
    about: str
    fits: Callable[[], Fit | dict[str, Fit]]
    settings: dict[str, Any] = field(default_factory=dict)


REPORTS = {
    "dcpt_forms": Report(
        "The forms of the D-CPT paper: tiny models of four sizes",
        "Tiny models of four sizes, continued on nine shares of Python code at a constant rate. Each form of "
        "arXiv:2406.01375 has one set of coefficients for all sizes and the default priors; L3 is the law the paper "
        "chose. Held-out sizes, tokens and shares are in the [study](../studies/dcpt_forms.md).",
        forms_of_dcpt,
        {"question": {"N": 922_720.0, "max_rise": 0.01}},
    ),
    "cross_domain_forms": Report(
        "Cross-domain D-CPT law, K1 to K4: six simulated domains",
        f"{cross_domain.SIMULATED} The truth is K3, scattered by domain: that K3 does well here says nothing on the "
        "world.",
        across_domains,
    ),
    "upsampled_scores": Report(
        "Forms of upsampling: scores of a 7B model at five windows",
        "Table 6 of arXiv:2406.03476: six benchmark scores of a 7B model, one run at each of five windows. The paper "
        "states no law; all forms are ours. More in the [study](../studies/domain_upsampling.md).",
        upsampled_scores,
    ),
    "upsampled_losses": Report(
        "Forms of upsampling: a U-shaped code loss",
        "Two-phase trainings of marin-community without code in the first half: code loss (bits per byte) against the "
        "share of StarCoder in the second half. The shares repeated with five seeds are left out, and predicted in the "
        "[study](../studies/domain_upsampling.md).",
        upsampled_losses,
    ),
    "data_mixing_five": Report(
        "Data mixing law (M4): five sources, 70M models, beside the authors' fit",
        "Models of 70M parameters on 26 mixtures of five sources, losses on five groups of the Pile "
        "(arXiv:2403.16952). The authors fit each loss alone by a Huber loss, without priors; their k is part of t "
        "here. Shares of 0 are fitted too, as they do.",
        five_sources,
        {"published": of_the_notebook()},
    ),
    "cmr_ratio": Report(
        "CMR, loss against the share: Python on Pythia-70M",
        "Public runs of Pythia-70M, continued on five mixtures of the Pile (general) and Python code for 10,000 steps: "
        f"the last losses. Before, the loss on the Pile was {cmr.BASE}. Laws that know the whole runs are in the "
        "[study](../studies/cmr.md).",
        last_losses,
        {"question": {"baseline": cmr.BASE}},
    ),
    "cmr": Report(
        "CMR of both losses: Python on a tiny model",
        "A tiny model of 923 k parameters, continued on shares of Python code at a constant rate: the general and the "
        "domain loss of the same runs in one fit. `cmr_general` and `cmr_domain` hold one of the two. The prior of the "
        "height of the peak is that of tiny models.",
        both_losses,
    ),
    "bimix": Report(
        "BiMix: Python on a tiny model",
        "A tiny model of 923 k parameters, continued on shares of Python code at a constant rate. BiMix knows no size; "
        "the same runs and three smaller models by the D-CPT law are in [another report](tinycpt.md).",
        own_share_and_tokens,
    ),
    "skaling": Report(
        "Skaling beside the Chinchilla law: the OLMo ladder",
        "Losses on C4 at the end of 24 public runs of 190M to 1.3B parameters, 0.5 to 10 times the tokens of the "
        "Chinchilla optimum (arXiv:2412.04403). Larger models are predicted in the [study](../studies/skaling.md).",
        size_and_tokens,
    ),
    "power_law": Report(
        "Power laws in tokens: curves of five language models",
        "Curves of language models of 17 M to 1.07 B parameters from a public benchmark (arXiv:2209.06640), with a "
        "floor and an amplitude of each; losses are relative to the first one, so that the priors in nats follow. What "
        "the laws say of the ends of twenty curves is in the [study](../studies/revisiting.md).",
        learning_curves,
    ),
    "repetition": Report(
        "Repeated tokens: a penalty beside effective tokens",
        "Ends of the public runs of arXiv:2305.16264 on C4, up to 60 epochs and 4.5 nats. Cells left out are predicted "
        "in the [study](../studies/repetition.md).",
        repeated_tokens,
    ),
    "dcpt_repetition": Report(
        "D-CPT with a penalty of repetition: a scarce domain, simulated",
        "Simulated from the law itself, since no public runs repeat one domain of several: 45 runs at five shares, on "
        "0.2 and 1 B unique tokens of the domain. That the law does well here says nothing on the world.",
        scarce_domain,
        {"question": {"baseline": 2.9, "max_rise": 0.05}},
    ),
    "dcpt_interaction": Report(
        "D-CPT with an interaction of size and tokens: tiny models of four sizes",
        "Tiny models of four sizes, continued on nine shares of Python code at a constant rate, as in the report on "
        "the [forms of D-CPT](dcpt_forms.md).",
        with_interaction,
        {"question": {"N": 922_720.0, "max_rise": 0.01}},
    ),
    "replay": Report(
        "Forgetting under small replay: a 405M and a 10B model continued on SlimPajama",
        "Published runs with 0 to 10 % of old data in the stream (arXiv:2403.08763), models of 405M and 10B. "
        "All have the same tokens, so that the growth of forgetting with tokens is the prior's.",
        small_replay,
        {"question": {"N": [4.05e8, 1e10], "D": 3e11, "max_increase": 0.1}},
    ),
    "mixture_scaling": Report(
        "Mixture, size and tokens: the additive and the joint form",
        "Loss on OpenHermes of models of 122M and 310M parameters on mixtures of seven sources of SlimPajama "
        "(arXiv:2507.09404), every third checkpoint. Larger models on other mixtures are predicted in the "
        "[study](../studies/mixture_scaling.md), which also says where the laws alone miss.",
        mixtures_of_sizes,
    ),
    "repetition_mixture": Report(
        "Mixture with a repeated scarce corpus, simulated",
        "Simulated from the law itself, since no public runs repeat a scarce corpus in a mixture: three sizes, two "
        "budgets and four shares, on 50 and 300 M unique tokens. That the law does well here says nothing on the "
        "world.",
        scarce_corpus,
    ),
    "lr_annealing_size": Report(
        "Annealing law with model size: three schedules of 25M and 100M models",
        "Public training curves of models of 25M and 100M parameters (arXiv:2503.12811), three learning-rate schedules "
        "each. Two sizes cannot tell a floor from a power of the size: that part is the prior's.",
        schedules_of_two_sizes,
    ),
}


def main() -> None:
    """Write the reports asked for, or all."""
    for name in sys.argv[1:] or REPORTS:
        asked = REPORTS[name]
        path = DOCS / "reports" / f"{name}.md"
        print(bl.report(asked.fits(), path, title=asked.title, about=asked.about, **asked.settings), flush=True)


if __name__ == "__main__":
    main()
