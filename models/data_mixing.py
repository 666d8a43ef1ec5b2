"""Data mixing laws: loss against the shares of many sources; alone, and with model size and tokens.

Source: Ye et al. 2024, "Data Mixing Laws: Optimizing Data Mixtures by Predicting Language Modeling Performance",
arXiv:2403.16952 (ICLR 2025). M4 is the law of the paper, M1 one of the forms it was chosen over.
"""

from bayeslaw.declare import Coefficient, Covariate, exp, law, positive, real, total

SOURCE = "Ye et al. 2024, arXiv:2403.16952 (ICLR 2025)"

SHARES = Covariate("1", "share of every source in the stream; they sum to 1", valid=(0.0, 1.0))

SCARCE = 0.01
"""Share of a source at which two thirds of the effect of leaving it out are gone."""

FLOOR = Coefficient(
    positive(2.0, spread=0.6),
    "nats",
    "loss that no mixture removes",
    seen_along="level",
    floor=True,
    why="0.9 (code) to 3.5 nats (web text) in the paper's fits of 70M to 1B models; very small models lie higher",
)

LACK = Coefficient(
    positive(0.05, spread=1.5),
    "1",
    "log of the factor on the loss above the floor when this source is left out",
    over="source",
    between=1.0,
    why="in RegMix's and the paper's runs 0.3 to 1.4 for the loss of the source left out (a factor of 1.4 to 4), and "
    "mostly 0.02 to 0.2 for the other losses",
)

LACKING = (
    "The paper's law fails where a source is left out: without any code the measured code loss is about 1 nat above "
    "the law's limit at small shares (410M models of the paper). Half of the shares of a swarm of runs are 0, so that "
    "the law here has a term for it, lack, which is gone where every source has a few percent; lack = 0 is the paper's "
    "law. Fitted by least squares to RegMix's 512 runs it misses unseen mixtures by 0.08 nats, the paper's law by 0.15 "
    "(mean of 13 losses). Where no run leaves a source out, its lack is the prior's.",
    "A run without two sources that stand in for each other can be worse than both terms say: the check 'sources left "
    "out' names it.",
)
IN_SAMPLE = "Shares far above the largest ones tried, and sources that were hardly varied, are the prior's to answer."


@law(
    title="Data mixing law (M4)",
    source=f"{SOURCE}, eq. (7)",
    equation=r"L = c + \exp\left(\sum_j t_j r_j + \mathrm{lack}_j\, e^{-r_j / 0.01}\right)",
    covariates={"weight": SHARES},
    coefficients={
        "c": FLOOR,
        "t": Coefficient(
            real(-1.0, sd=3.0),
            "log nats",
            "log of the nats above the floor after training on this source alone",
            over="source",
            between=2.0,
            why="the paper's own-domain values, its k absorbed, are -2 to -39, the others -1.1 to 0.6; over five even "
            "sources the prior says 0.04 to 3 nats above the floor",
        ),
        "lack": LACK,
    },
    notes=(
        "Shares sum to 1, so the paper's k cannot be told from a constant added to all t: it is left out, and t here "
        "is the paper's t plus log k. exp(t) is then the loss above the floor of a run on this source alone, and a "
        "mixture takes their geometric mean, weighted by shares.",
        "One law per validation set. A source with a low t helps it, one with a high t hurts it.",
        *LACKING,
        "c and the slopes trade against each other; c is held below every observed loss of its validation set. Least "
        "squares without that may go above: where it does, the law cannot follow the best runs.",
        IN_SAMPLE,
    ),
)
def data_mixing(weight, /, *, c, t, lack):
    return c + exp(total(t * weight + lack * exp(-weight / SCARCE), "source"))


@law(
    title="Data mixing law, form M1",
    source=f"{SOURCE}, candidates of table 1",
    equation=r"L = c + \sum_j k_j \exp(t_j r_j)",
    covariates={"weight": SHARES},
    coefficients={
        "c": FLOOR,
        "k": Coefficient(
            positive(0.1, spread=1.5),
            "nats",
            "part of the loss that the share of this source changes",
            over="source",
            between=0.7,
            why="reducible losses of 0.05 to 2 nats, shared between a handful of sources",
        ),
        "t": Coefficient(
            real(-3.0, sd=4.0),
            "1",
            "how fast that part falls (or, above 0, rises) with the share",
            over="source",
            between=2.0,
            why="a first tenth of the stream removes between nothing and nearly all of a source's part",
        ),
    },
    notes=(
        "The form and its number of coefficients are confirmed by notes on the paper; its row of the paper's table 1 "
        "was not found. The paper finds it about as good as M4 and rejects it for having more coefficients.",
        "Every source has its own fast or slow fall, so it bends where M4 cannot: over their whole range it ranks the "
        "RegMix test mixtures better than M4 does, the best 25 of them far worse. With those 17 sources its posterior "
        "has several modes and did not converge (docs/studies/regmix.md).",
        "c and the k of sources with t near 0 trade against each other exactly; only their sum is identified.",
        "Where a source is left out it bends after the measured losses, though not all the way (the same t has to "
        "follow the other shares): see the check 'sources left out'.",
        IN_SAMPLE,
    ),
)
def data_mixing_m1(weight, /, *, c, k, t):
    return c + total(k * exp(t * weight), "source")


@law(
    title="Data mixing law with size and tokens",
    source=f"{SOURCE}, the nested laws of algorithm 1 as one",
    equation=r"L = c + \left(\exp\left(\sum_j t_j r_j\right) + (N/N_0)^{-\alpha} \exp\left(\sum_j a_j r_j\right)"
    r" + (D/D_0)^{-\beta} \exp\left(\sum_j b_j r_j\right)\right)"
    r" \exp\left(\sum_j \mathrm{lack}_j\, e^{-r_j / 0.01}\right)",
    covariates={
        "N": Covariate("parameters", "model size", reference=1e9),
        "D": Covariate("tokens", "training tokens, each seen once", reference=1e10),
        "weight": SHARES,
    },
    coefficients={
        "c": Coefficient(
            positive(1.3, spread=0.5),
            "nats",
            "loss that no mixture, size or amount of tokens removes",
            seen_along="level",
            floor=True,
            why="published floors lie between 0.5 (code) and 1.9 nats",
        ),
        "t": Coefficient(
            real(-1.5, sd=1.5),
            "log nats",
            "log of the nats above c that a very large, long run on this source alone keeps",
            over="source",
            between=1.5,
            why="as in the mixing law, less what size and tokens remove",
        ),
        "a": Coefficient(
            real(-1.2, sd=1.0),
            "log nats",
            "log of the nats that size removes, at N0, on this source alone",
            over="source",
            between=0.7,
            why="Chinchilla's term at 1e9 parameters is 0.36 nats (arXiv:2404.10102)",
        ),
        "alpha": Coefficient(
            positive(0.4, spread=0.4),
            "1",
            "exponent of size",
            between=0.15,
            why="0.2 to 0.5 in published laws; the paper's fits start from 0.3 to 0.8",
        ),
        "b": Coefficient(
            real(-1.6, sd=1.0),
            "log nats",
            "log of the nats that tokens remove, at D0, on this source alone",
            over="source",
            between=0.7,
            why="1e10 tokens leave a tenth to half a nat",
        ),
        "beta": Coefficient(
            positive(0.6, spread=0.5),
            "1",
            "exponent of tokens",
            between=0.15,
            why="0.37 between finished runs (arXiv:2404.10102); the paper's fits along runs start from 0.65 to 0.9",
        ),
        "lack": LACK,
    },
    falls_in=("N", "D"),
    notes=(
        "The paper fits a law of steps per mixture and size, then one of size per mixture, then the mixing law to the "
        "extrapolated losses. Here the three are one function, so that uncertainty is carried through: at every "
        "mixture it is E(r) + A(r) N^-alpha + B(r) D^-beta, with E, A and B log-linear in the shares.",
        "As in the paper's code, the exponents are shared by all mixtures; its step law is fitted for each size alone, "
        "which the sum here does not allow. The paper found a joint form unstable by least squares.",
        "From few model sizes alpha is the prior's, and so is the extrapolation in size: vary the prior and look.",
        "Checkpoints in the middle of a schedule lie above runs that end there.",
        *LACKING,
        IN_SAMPLE,
    ),
)
def nested_data_mixing(N, D, weight, /, *, c, t, a, alpha, b, beta, lack):
    limit, size, tokens = (exp(total(k * weight, "source")) for k in (t, a, b))
    lacking = exp(total(lack * exp(-weight / SCARCE), "source"))
    return c + (limit + size * N**-alpha + tokens * D**-beta) * lacking
