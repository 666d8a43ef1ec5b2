"""Columns of a table that look like canonical ones: by their names, and by what they hold."""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from bayeslaw.tables.mixtures import PREFIX, SUM_TOLERANCE, sources
from bayeslaw.tables.runs import LABELS, NUMBERS

__all__ = ["likely_columns", "likely_losses", "likely_roles", "likely_scores"]

ALSO_CALLED = {
    "N": "params parameters n_params num_params nparams n_parameters num_parameters param_count parameter_count "
    "model_params model_parameters non_embedding_params model_size size",
    "D": "tokens n_tokens num_tokens ntokens token_count total_tokens train_tokens training_tokens tokens_seen "
    "seen_tokens consumed_tokens tokens_trained",
    "U": "unique_tokens n_unique_tokens num_unique_tokens tokens_unique unique",
    "step": "steps global_step train_step training_step iteration iterations iter num_steps trainer_global_step",
    "lr": "learning_rate train_lr train_learning_rate optimizer_lr lr_value current_lr",
    "domain_share": "ratio share mix_ratio mixing_ratio mixture_ratio domain_ratio domain_fraction domain_weight "
    "domain_proportion target_share target_ratio r_domain",
    "duration": "window upsampling_window upsampled_share upsampling_share upsampling_duration",
    "run": "run_id run_name name id experiment experiment_id experiment_name trial model_name",
    "domain": "corpus target_domain domain_name target_corpus",
}
"""Other names of canonical columns, the most telling first; case, blanks and slashes do not matter."""

LOSS = re.compile(r"(?<![a-z])(loss|losses|nll|ppl|perplexity|bpb|cross_entropy)(?![a-z])", re.I)
SCORE = re.compile(r"(?<![a-z])(acc|accuracy|score)(?![a-z])", re.I)
TRAINING = re.compile(r"(?<![a-z])(train|training)(?![a-z])", re.I)
EVALUATED = re.compile(r"(?<![a-z])(val|valid|validation|eval|test)(?![a-z])", re.I)
ERROR = re.compile(r"(?<![a-z])(sd|std|se|stderr)(?![a-z])", re.I)


def likely_columns(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Return the columns that look like each canonical column that the table does not have, the likeliest first.

    Sources of a mixture are columns of shares that sum to 1 in every row.
    """
    written: dict[str, list[str]] = {}
    for column in map(str, frame):
        written.setdefault(_plain(column), []).append(column)
    found = {}
    for canonical in (*NUMBERS, *LABELS):
        if canonical in frame:
            continue
        names = [canonical.lower(), *ALSO_CALLED.get(canonical, "").split()]
        alike = [column for name in dict.fromkeys(names) for column in written.get(name, [])]
        if fitting := [
            c for c in alike if c not in (*NUMBERS, *LABELS) and (canonical in LABELS or _numbers(frame, c))
        ]:
            found[canonical] = fitting
    taken = {columns[0] for columns in found.values()}
    if not sources(frame):
        found |= {f"{PREFIX}{name}": [column] for name, column in _mixture(frame, taken).items()}
    return found


def likely_losses(frame: pd.DataFrame) -> dict[str, str]:
    """Return the columns that look like losses of validation sets; those of training only where there are no others."""
    return _measured(frame, LOSS)


def likely_scores(frame: pd.DataFrame) -> dict[str, str]:
    """Return the columns that look like scores of benchmarks."""
    return _measured(frame, SCORE)


def likely_roles(table: pd.DataFrame, evals: Iterable[str]) -> dict[str, str]:
    """Return the role of every validation set in a table of runs at several domain shares.

    A loss that rises with the domain share, at equal size and tokens, is of the general corpus; one that falls is of
    the domain. A set named like a role has it.
    """
    roles = {}
    for name in evals:
        if name in ("general", "domain"):
            roles[name] = name
        elif "domain_share" in table:
            roles[name] = "general" if _slope(table, f"{name}_loss") > 0 else "domain"
    return roles


def _slope(table: pd.DataFrame, loss: str) -> float:
    """Return the slope of a log loss in the domain share, given sizes and tokens."""
    rows = table[table[loss].notna()]
    along = [np.log(rows[c]) for c in ("N", "D") if c in rows and (rows[c] > 0).all()]
    columns = np.column_stack([rows["domain_share"], *along, np.ones(len(rows))])
    return float(np.linalg.lstsq(columns, np.log(rows[loss]), rcond=None)[0][0])


def _measured(frame: pd.DataFrame, called: re.Pattern[str]) -> dict[str, str]:
    """Return the columns of numbers that are called so, by what else their names say."""
    columns = [
        c for c in map(str, frame) if called.search(_words(c)) and not ERROR.search(_words(c)) and _numbers(frame, c)
    ]
    found: dict[str, str] = {}
    for column in [c for c in columns if not TRAINING.search(_words(c))] or columns:
        found.setdefault(_plain(EVALUATED.sub("", called.sub("", _words(column)))) or "validation", column)
    return found


def _mixture(frame: pd.DataFrame, taken: Iterable[str]) -> dict[str, str]:
    """Return columns of shares that sum to 1 in every row, by the names of their sources."""
    others = frame.columns.difference([*taken, *NUMBERS, *LABELS], sort=False)
    shares = [c for c in others if _numbers(frame, c) and frame[c].between(0, 1).all() and frame[c].nunique() > 1]
    groups: dict[str, list[str]] = {}
    for column in shares:
        groups.setdefault(_plain(column).partition("_")[0], []).append(column)
    for first, columns in {**groups, "": shares}.items():
        if len(columns) > 1 and (abs(frame[columns].sum(axis="columns") - 1) <= SUM_TOLERANCE).all():
            return {_plain(c).removeprefix(f"{first}_"): c for c in columns}
    return {}


def _numbers(frame: pd.DataFrame, column: str) -> bool:
    return frame[column].dtype.kind in "iuf"


def _words(column: str) -> str:
    """Return a name with an underscore between its words: ``trainLoss`` is two."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", column)


def _plain(column: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", _words(column).lower()).strip("_")
