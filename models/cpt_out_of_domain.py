"""Out-of-domain losses of continual pre-training, from the losses on the old and on the new corpus.

Source: Wang et al. 2025, "Learning Dynamics in Continual Pre-Training for Large Language Models", arXiv:2505.07796,
eq. (6).
"""

from bayeslaw.declare import Coefficient, Covariate, law, positive, real


@law(
    title="Out-of-domain loss from the two losses of continual pre-training",
    source="Wang et al. 2025, arXiv:2505.07796 (ICML 2025), eq. (6)",
    equation=r"L = w_{all}\,L_{general} + w_{domain}\,(L_{domain} - L_{general})",
    covariates={
        "L_general": Covariate("nats", "loss on the old corpus"),
        "L_domain": Covariate("nats", "loss on the new corpus"),
    },
    coefficients={
        "w_all": Coefficient(
            positive(1.08, spread=0.12),
            "1",
            "sum of the two weights",
            why="0.89 to 1.33 over the eight sets of the paper",
        ),
        "w_domain": Coefficient(
            real(0.8, sd=0.8),
            "1",
            "weight of the domain loss; the general loss has the rest",
            why="-0.5 (stories) to 1.9 (StackExchange) in the paper",
        ),
    },
    path="step",
    notes=(
        "The paper writes two weights; they belong to the corpora alone, may be negative and need not sum to 1. It "
        "warns that the relation is not universal; its errors are below 0.003.",
        "Both losses of the run are columns here, L_general and L_domain; the loss is the one out of domain.",
    ),
)
def cpt_out_of_domain(L_general, L_domain, /, *, w_all, w_domain):
    return w_all * L_general + w_domain * (L_domain - L_general)
