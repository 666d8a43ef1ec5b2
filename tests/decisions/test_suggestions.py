"""Which laws a table is for: that of its study is named, and the line that fits it works as it is printed."""

import shlex
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.cli import app, fitting
from bayeslaw.decisions import DECISIONS
from bayeslaw.declare.laws import Kind
from bayeslaw.declare.questions import QUESTIONS
from bayeslaw.errors import DataError, UnknownName

STUDIED = {
    "cmr-table2": "cmr_domain",
    "dcpt-table5": "dcpt",
    "dcpt-table6": "dcpt",
    "replay": "bimix",
    "tinycpt": "dcpt",
    "tinycpt-base": "chinchilla",
    "tinycpt-schedules": "lr_annealing",
    "tinycpt-upsampling": "upsampling_loss",
    "upsampling-table6": "domain_upsampling",
}
"""The law that the study of each embedded table uses, which has the columns of one."""

FIRST = ("tinycpt", "dcpt-table6", "tinycpt-base", "tinycpt-schedules", "tinycpt-upsampling", "upsampling-table6")
"""Tables of which that law is the first one suggested."""

OF_THE_LAW = {"upsampling-table7": "its two columns are those of a law of its study"}

RUNS = pd.DataFrame({"params": [1e8, 1e8, 1e9, 1e9, 4e9], "tokens": [1e9, 4e9, 1e9, 4e9, 8e9]}).assign(
    run_id=list("abcde"), ratio=[0.2, 0.5, 0.8, 0.2, 0.5]
)
LOSSES = {"val/pile": RUNS["ratio"] + 2.5, "val/law loss": 2.4 - RUNS["ratio"] / 2}


def built(words: list[str], monkeypatch: pytest.MonkeyPatch) -> bl.Model:
    """The model that a command line fits, which is built and checked and not sampled."""
    models_built: list[bl.Model] = []

    class Stopped(Exception):
        pass

    def sampled(model: bl.Model, *_: Any, **__: Any) -> None:
        model.check_range()
        models_built.append(model)
        raise Stopped

    monkeypatch.setattr(fitting, "sampled", sampled)
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, Stopped), result.output
    return models_built[0]


@pytest.mark.parametrize("name", STUDIED)
def test_the_law_of_its_study_is_suggested_and_the_line_fits_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = bl.datasets.load(name)
    if name == "tinycpt-schedules":
        table = table[table["run"].isin(table["run"].unique()[:3])]
    table.to_csv("my runs.csv", index=False)
    found = bl.suggest("my runs.csv")
    law = STUDIED[name]
    assert name not in FIRST or found.laws[0].law.name == law
    one = found[law]
    asked = tuple(d for d in DECISIONS if DECISIONS[d].applies(models.catalogue[law]))
    no_general = ("critical_ratio", "smallest_replay") if name == "dcpt-table6" else ()
    assert one.answers == tuple(d for d in asked if d not in no_general)
    program, *words = shlex.split(one.command)
    model = built(words, monkeypatch)
    assert program == "bayeslaw" and model.law.name == law
    kept = model.design.rows["loss"].notnull() & ~model.design.measured
    assert len(one.outside) == int(kept.sum()) or one.outside_rows == "include"
    assert one.command in repr(found[law]) and law in repr(found)


def test_every_embedded_table_is_asked_about():
    embedded = bl.datasets.catalogue().query("home == 'embedded'")["name"]
    assert {*STUDIED, *OF_THE_LAW} == set(embedded)
    none = bl.suggest(bl.datasets.load("upsampling-table7"))
    assert not none.laws and "No law applies" in repr(none)
    assert "it needs a column D too" in repr(bl.suggest(RUNS.drop(columns=["tokens", "ratio"]).assign(loss=3.0)))


@pytest.mark.parametrize("law", ["dcpt", "bimix", "cmr_domain", "chinchilla"])
def test_columns_of_other_names_are_recognised_and_mapped(law, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = RUNS.assign(**{"val/pile_loss": LOSSES["val/pile"], "Val loss law": LOSSES["val/law loss"]})
    table.rename(columns={"val/pile_loss": "val/loss pile"}).to_csv("runs.csv", index=False)
    found = bl.suggest("runs.csv")
    assert "params looks like N: --map N=params" in found.notes
    assert "val/loss pile looks like the pile loss: --loss 'pile=val/loss pile'" in found.notes
    model = built(shlex.split(found[law].command)[1:], monkeypatch)
    assert model.runs.table["N"].tolist() == RUNS["params"].tolist()
    assert model.runs.table["run"].tolist() == list("abcde")
    if law == "dcpt":  # one loss rises with the share of the domain, the other one falls
        assert dict(model.roles) == {"pile": "general", "law": "domain"}
    assert law != "cmr_domain" or model.design.evals == ["law"]


def test_what_is_said_is_believed_and_not_guessed_again():
    table = RUNS.assign(n_params=RUNS["params"] * 2, loss=3 + RUNS["ratio"])
    assert "params looks like N (as n_params does): --map N=params" in bl.suggest(table).notes
    asked = bl.suggest(table, N="n_params")
    assert not any("N=" in note for note in asked.notes) and "N='n_params'" in asked["dcpt"].command


def test_the_line_of_a_frame_is_python():
    table = RUNS.assign(loss=3 + RUNS["ratio"], ppl=12.0)
    for one in bl.suggest(table):
        model = eval(one.command.removesuffix(".fit()"), {"bl": bl, "table": table})
        assert model.law is one.law
    runs = bl.read_runs(table, N="params", D="tokens", domain_share="ratio")
    one = bl.suggest(runs)["chinchilla"]
    assert eval(one.command.removesuffix(".fit()"), {"bl": bl, "runs": runs}).law is models.chinchilla
    assert one.ignores == ("domain_share",)


def test_rows_outside_the_range_are_named_and_the_line_chooses():
    shares = np.array([0.05, 0.3, 0.5, 0.7, 0.9, 0.95, 0.96, 0.97, 0.98, 0.5, 0.4, 0.6])
    table = pd.DataFrame({"N": 1e9, "D": np.geomspace(1e9, 1e10, 12), "domain_share": shares})
    found = bl.suggest(table.assign(general_loss=3 + shares, domain_loss=3 - shares))["dcpt"]
    assert sorted(found.outside.query("eval == 'general'")["domain_share"]) == [0.95, 0.96, 0.97, 0.98]
    assert found.outside.query("eval == 'domain'")["domain_share"].tolist() == [0.05]
    assert found.outside_rows == "include" and found.command.endswith("outside='include').fit()")
    assert "4 general losses" in repr(found) and "domain share 0.05 to 0.98" in repr(found)


def test_a_law_of_repetition_comes_last_where_nothing_is_repeated():
    N, D = (x.ravel() for x in np.meshgrid([1e8, 1e9], [1e9, 4e9, 1e10]))
    table = pd.DataFrame({"N": N, "D": D, "U": D, "loss": 3 - 0.1 * np.log10(N / 1e8 * D / 1e9)})
    once = [one.law.name for one in bl.suggest(table)]
    assert once[0] == "chinchilla" and not bl.suggest(table)["chinchilla"].ignores
    assert once.index("effective_tokens") > once.index("skaling")
    twice = bl.suggest(table.assign(U=D / 2))
    assert twice.laws[0].law.name == "effective_tokens" and twice["chinchilla"].ignores == ("U",)


def test_small_replay_is_sent_to_its_law_and_told_what_that_law_lacks():
    """Without rows before training the law of small replay cannot be fitted, and dcpt holds nowhere."""
    N, D, p = (x.ravel() for x in np.meshgrid([1e8, 1e9], [1e9, 4e9], [0.0, 0.01, 0.05]))
    table = pd.DataFrame({"N": N, "D": D, "domain_share": 1 - p, "general_loss": 3 - p, "domain_loss": 2 + p})
    found = bl.suggest(table)
    assert found.laws[0].law.name == "dcpt" and found.laws[0].instead == ("replay",)
    assert "all lie within the range of replay" in repr(found)
    assert "replay: the law replay needs L_base" in repr(found) and "add such a row, or a column" in repr(found)
    base = pd.DataFrame({"N": [1e8, 1e9], "D": 0.0, "general_loss": 2.9, "domain_loss": 2.1})
    whole = bl.suggest(pd.concat([base, table], ignore_index=True))
    assert whole.laws[0].law.name == "replay"
    assert whole["replay"].answers == ("critical_ratio", "smallest_replay", "score")
    published = bl.datasets.load("replay").query("set == 'pile-slimpajama-405M'")
    assert bl.suggest(published[["run", "N", "D", "domain_share", "general_loss"]]).laws[0].law.name == "replay"


def test_shares_of_sources_are_recognised_by_their_sum():
    rng = np.random.default_rng(0)
    shares = pd.DataFrame(rng.dirichlet([1, 1, 1], 12), columns=["mix/web", "mix/code", "mix/books"])
    table = shares.assign(loss=2 + shares["mix/web"], epochs=1, dropout=rng.random(12))
    table = table.rename(columns={"loss": "eval/loss"})
    found = bl.suggest(table)
    assert {"regmix", "data_mixing"} <= {one.law.name for one in found} and "best_mixture" in found["regmix"].answers
    assert "mix/web looks like weight_web: --map weight_web=mix/web" in found.notes


def test_scores_are_no_losses_and_losses_no_scores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"window": [0, 0.1, 0.2, 0.3], "mmlu_acc": [0.4, 0.45, 0.46, 0.44]})
    table.to_csv("scores.csv", index=False)
    found = bl.suggest("scores.csv")
    assert found.laws[0].law.name == "domain_upsampling"
    model = built(shlex.split(found.laws[0].command)[1:], monkeypatch)
    assert model.runs.table["mmlu_loss"].tolist() == [0.6, 0.55, 0.54, 0.56]
    losses = bl.suggest(table.rename(columns={"mmlu_acc": "code_loss"}) + 1.0 * (np.arange(2) == 1))
    assert not any(one.law.of_scores for one in losses) and losses.laws[0].law.name == "upsampling_loss"


def test_columns_that_no_option_maps_are_named_with_what_to_do():
    N, D = (x.ravel() for x in np.meshgrid([1e8, 1e9], [1e9, 4e9, 1e10]))
    table = pd.DataFrame({"N": N, "D": D, "c4_loss": 3 - 0.1 * np.log10(N * D / 1e17)})
    found = bl.suggest(table.assign(replay_pct=[0, 1, 5] * 2, hella_acc=0.4, task_acc=0.5))
    assert any(n.startswith("replay_pct looks like the share of the general corpus: add") for n in found.notes)
    assert any("2 columns (hella_acc, ...) may be scores" in n and "hella_score=hella_acc" in n for n in found.notes)
    assert not any("scores" in n or "replay" in n for n in bl.suggest(table).notes)
    unknown = bl.suggest(table.assign(hella_score=np.linspace(0.3, 0.6, 6)))
    assert any("no law from loss to score: the score of guessing in hella is not known" in n for n in unknown.notes)
    percent = bl.suggest(table.assign(hella_score=np.linspace(0.3, 0.6, 6), hella_chance=25))
    assert any("no law from loss to score: hella_chance is 25 in row 0" in n for n in percent.notes)


def test_perplexities_keep_their_unit_and_bits_per_byte_ask_for_their_bytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    RUNS.assign(ppl=12 + RUNS["ratio"]).to_csv("runs.csv", index=False)
    model = built(shlex.split(bl.suggest("runs.csv")["chinchilla"].command)[1:], monkeypatch)
    assert np.allclose(np.exp(model.runs.table["validation_loss"]), 12 + RUNS["ratio"])
    with pytest.raises(bl.BayeslawError, match="bytes_per_token"):
        bl.suggest(RUNS.assign(val_bpb=0.9))


def test_curves_of_continued_training_and_their_warm_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    step = np.arange(10, 400, 10)
    parts = [
        pd.DataFrame({"run": run, "Step": step, "learning_rate": rate, "ratio": share, "loss": 3 + 1 / step})
        for run, rate, share in (("a", 1e-3, 0.2), ("b", 2e-3, 0.5))
    ]
    pd.concat(parts).to_csv("log.csv", index=False)
    late = bl.suggest("log.csv")
    assert any("give the steps of the warm-up" in note for note in late.notes)
    found = bl.suggest("log.csv", warmup=0)
    assert {"lr_annealing", "cpt_dynamics_open"} <= {one.law.name for one in found}
    words = shlex.split(found["cpt_dynamics_open"].command)[1:]
    assert "S1cpt" in built(words, monkeypatch).runs.table and "--before" in words and "--warmup" in words


def test_a_law_that_does_not_apply_says_why_and_a_table_that_cannot_be_read_too():
    found = bl.suggest(bl.datasets.load("dcpt-table6"))
    with pytest.raises(DataError, match="cmr_general cannot be fitted to this table: it is a law of the general loss"):
        found["cmr_general"]
    with pytest.raises(DataError, match="regmix cannot be fitted to this table: it needs a column weight_<source> too"):
        found["regmix"]
    with pytest.raises(UnknownName, match="no law that applies to this table 'nested_data_mixxing'"):
        found["nested_data_mixxing"]
    with pytest.raises(DataError, match="no loss column"):
        bl.suggest(RUNS)
    with pytest.raises(DataError, match="not billions"):
        bl.suggest(RUNS.assign(tokens=[1, 2, 3, 4, 5], loss=3.0))


def test_every_kind_of_law_has_a_question_and_the_program_lists_laws_by_it():
    assert set(QUESTIONS) == set(get_args(Kind.__value__))
    lines = CliRunner().invoke(app, ["laws"]).stdout.splitlines()
    questions = [line for line in lines if not line.startswith("  ")]
    ends = [*map(lines.index, questions), len(lines)]
    blocks = (lines[start + 1 : end] for start, end in zip(ends, ends[1:], strict=False))
    listed = {q: [line.split()[0] for line in block] for q, block in zip(questions, blocks, strict=True)}
    assert listed == {q: sorted(n for n, w in models.catalogue.items() if w.kind == k) for k, q in QUESTIONS.items()}


def test_the_command_prints_what_the_library_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    RUNS.assign(loss=3 + RUNS["ratio"]).to_csv("runs.csv", index=False)
    assert CliRunner().invoke(app, ["suggest", "runs.csv"]).stdout == f"{bl.suggest('runs.csv')!r}\n"
    one = CliRunner().invoke(app, ["suggest", "runs.csv", "bimix", "--map", "N=params"])
    assert one.stdout.startswith("bimix: BiMix\n") and "ignores" in one.stdout
    wrong = CliRunner().invoke(app, ["suggest", "runs.csv", "bimx"])
    assert wrong.exit_code == 2 and "did you mean 'bimix'" in wrong.stderr
