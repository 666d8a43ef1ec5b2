"""Mixtures with a scarce corpus that is repeated: worth of its tokens, decay of repeats, and a price of its share.

Source: Sedova et al. 2026, arXiv:2605.12715.
"""

from bayeslaw.declare import Coefficient, Covariate, exp, law, maximum, positive, real


def repeats(D, domain_share, U):
    """Return how often the scarce corpus is seen, the paper's r."""
    return domain_share * D / U


def worth(repeats, r1):
    """Return what a token of so many repeats is worth on average, in tokens seen once."""
    seen = maximum(repeats, 1.0)
    return (1 + r1 * (1 - exp(-(seen - 1) / r1))) / seen


def paper_units(reference, /, *, C, beta, B, delta, alpha):
    """Return C and B as the paper writes them, for raw parameters and tokens."""
    return {
        "C": C * reference["N"] ** beta,
        "B": B * reference["D"] ** alpha / reference["N"] ** delta,
    }


@law(
    title="Mixture with a repeated scarce corpus",
    source="Sedova et al. 2026, arXiv:2605.12715, the form with size, at second hand",
    equation=r"L = E + C\,(N/N_0)^{-\beta} + B\,(N/N_0)^{\delta}\,(D_{eff}/D_0)^{-\alpha} + \gamma\,h,\quad "
    r"D_{eff} = (1-h)\,D + \tau\,U\,(1 + r_1\,(1 - e^{-(r-1)/r_1})),\quad r = h\,D/U",
    covariates={
        "N": Covariate("parameters", "model size", reference=1e9),
        "D": Covariate("tokens", "training tokens, repeated ones included", reference=1e10),
        "domain_share": Covariate("1", "share of the scarce corpus in the stream, the paper's h", valid=(0.0, 1.0)),
        "repeats": Covariate(
            "1",
            "times the scarce corpus is seen: domain_share x D over the column U, its unique tokens",
            valid=(0.0, 40.0),
            derive=repeats,
        ),
    },
    coefficients={
        "E": Coefficient(
            positive(1.5, spread=0.5),
            "nats",
            "loss of the scarce corpus that neither size nor tokens remove",
            seen_along="level",
            why="validation losses of language models lie between 0.7 (music, code) and 4 nats",
        ),
        "C": Coefficient(
            positive(0.4, spread=0.7),
            "nats",
            "part of the loss that size removes, at N0",
            between=0.3,
            seen_along="N",
            why="Chinchilla's term at 1e9 parameters is 0.36 nats (arXiv:2404.10102)",
        ),
        "beta": Coefficient(
            positive(0.3, spread=0.4),
            "1",
            "exponent of size",
            between=0.15,
            why="0.2 to 0.5 in published laws",
        ),
        "B": Coefficient(
            positive(0.4, spread=0.8),
            "nats",
            "part that tokens remove, at N0 and D0 effective tokens",
            between=0.3,
            seen_along="D",
            why="1e10 tokens leave a tenth to a whole nat of a specialised corpus",
        ),
        "delta": Coefficient(
            real(0.1, sd=0.1),
            "1",
            "how the token term grows with size",
            between=0.1,
            why="larger models overfit sooner, the paper says; no value was found",
        ),
        "alpha": Coefficient(
            positive(0.3, spread=0.4),
            "1",
            "exponent of effective tokens",
            between=0.15,
            why="0.2 to 0.5 in published laws",
        ),
        "tau": Coefficient(
            positive(5.0, spread=1.0),
            "1",
            "worth of a token of the scarce corpus, in generic tokens",
            between=0.5,
            why="between that of a generic token and thirty times it; no value was found",
        ),
        "r1": Coefficient(
            positive(10.0, spread=0.7),
            "repeats",
            "repeats over which further ones lose their worth",
            between=0.3,
            why="15.4 on C4 (arXiv:2305.16264), 6.6 to 8.7 on other runs of it by least squares",
        ),
        "gamma": Coefficient(
            positive(0.1, spread=1.0),
            "nats",
            "what a stream of the scarce corpus alone adds to the loss, beside its tokens' worth",
            between=0.3,
            why="a few hundredths to half a nat: no value was found, and 15 to 20 repeats are best in the paper",
        ),
    },
    evals=("domain",),
    falls_in=("D",),
    paper_units=paper_units,
    notes=(
        "The loss is that of the scarce corpus; the column U is the number of its unique tokens, and the rest of the "
        "stream does not run short.",
        "The equation was read in second-hand texts that say they transcribe the source, and in a logbook of another "
        "group's fit; the fitted constants were not found.",
        "No table of such runs is public: the law is tested on simulated runs alone (docs/how-to/small-replay.md is "
        "about the corpus that does not run short).",
        "The paper: 15 to 20 repeats at the best share, 15 to 30 for small corpora and long runs; the best share is "
        "predicted with a median error of 0.07 to 0.13 in log10, of 0.47 in its set of quality tiers.",
        "By that other group's list of failures it does not carry over to a size that was left out, and the rise after "
        "the best share is not followed.",
        "tau and r1 are told apart only by runs with less and with more than one repeat; with all runs at one D / U, "
        "neither is known. Ask fit.best_ratio(D=..., domain_tokens=...) for the best share.",
    ),
)
def repetition_mixture(N, D, domain_share, repeats, /, *, E, C, beta, B, delta, alpha, tau, r1, gamma):
    effective = D * (1 - domain_share + tau * domain_share * worth(repeats, r1))
    return E + C * N**-beta + B * N**delta * effective**-alpha + gamma * domain_share
