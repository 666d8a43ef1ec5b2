"""What a report recommends: nothing against its checks, one sentence for several fits; any arguments of a decision."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from markdown_it import MarkdownIt

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.checks import CHECKS, CheckResult, Checks
from bayeslaw.decisions import DECISIONS
from bayeslaw.declare.laws import Law
from bayeslaw.errors import ArgumentError, RangeError
from bayeslaw.posterior.convergence import Convergence
from bayeslaw.reporting import advice, content, several, writing
from bayeslaw.reporting.advice import advised
from bayeslaw.reporting.answer import Verdict, losses_of
from bayeslaw.reporting.sections import Findings, _against
from bayeslaw.workflow import Fit
from tests.stand_ins import stand_in
from tests.whole.test_cautions_everywhere import ASKED

UNCONVERGED = Convergence(r_hat=1.3, ess=40, divergences=0)
AGREE = CheckResult("papers' fit", True, "the two agree")


@pytest.fixture(autouse=True)
def papers_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "beside_papers_fit", lambda _: AGREE)


@pytest.fixture
def sizes(table_for: Callable[..., pd.DataFrame]) -> Fit:
    return stand_in(models.chinchilla, table_for, draws=100)


@pytest.fixture
def mixing(table_for: Callable[..., pd.DataFrame]) -> Fit:
    return stand_in(models.nested_data_mixing, table_for, draws=60)


def section(text: str, name: str) -> str:
    return text.split(f"## {name}\n")[1].split("\n## ")[0]


def head(text: str) -> str:
    return text.split("\n## ")[0]


def todo(text: str) -> str:
    return head(text).split("**What to do**")[1]


def written(fit: Any, path: Path, **settings: Any) -> str:
    return bl.report(fit, path, progress=False, **settings).read_text(encoding="utf-8")


def test_every_failed_check_is_said_in_words_for_the_answer(sizes):
    found = content.answer(sizes, {"flops": 1e20})
    names = [*advice.MEANS, "a check of one's own"]
    said = advised(sizes, found, [CheckResult(name, False, "it failed") for name in names])
    assert list(said.doubts) == names and said.actions == found.actions
    assert all("the best size and tokens" in doubt or "a new run" in doubt for doubt in said.doubts.values())
    passed = advised(sizes, found, [CheckResult(name, True, "it passed") for name in names])
    assert not passed.doubts


def test_every_check_of_the_package_has_its_words():
    assert set(CHECKS) <= {*advice.MEANS, *advice.CAUTIONED}


def test_the_badge_names_the_worst_reason_against_the_answer_and_the_checks_that_failed_follow_it(sizes):
    found = replace(content.answer(sizes, {"flops": 1e18}), cautions=("the prior decides",))
    failed = ["reference run", "scatter", "misfit by group", "trends"]  # in this order they are checked
    said = advised(sizes, found, [CheckResult(name, False, "it failed") for name in failed])
    assert said.verdict.why.endswith("may have the wrong direction (and 4 others, below)")
    told = _against(Findings(sizes, said, [CheckResult(name, False, "") for name in failed]))
    assert [check.name for check in told["failed"]] == list(said.doubts) == failed[::-1]
    mild = advised(sizes, found, [CheckResult(name, False, "it failed") for name in failed[:3]])
    assert mild.verdict.why == "the prior decides (and 3 others, below)"


def test_a_report_of_several_fits_that_disagree_stays_red_where_its_best_has_no_answer(sizes, tmp_path, monkeypatch):
    monkeypatch.setattr(several, "_spread", lambda _: ("They differ.", False))
    none = Verdict("red", "do not act", "the report has no answer to the question")
    monkeypatch.setattr(several, "advised", lambda fit, found, checks: replace(found, verdict=none))
    assert "> **Red: do not act**" in written({"a": sizes, "b": sizes}, tmp_path / "both.md")


def test_a_check_that_failed_for_another_loss_is_no_doubt_about_the_answer(table_for, tmp_path, monkeypatch):
    """A critical ratio rests on the general loss alone, so that what the law misses of the domain loss moves it not."""
    fit, question = stand_in(models.dcpt, table_for, draws=60), {"N": 5e8, "D": 1e9, "max_rise": 0.02, "baseline": 2.5}
    found = replace(content.answer(fit, question), cautions=())
    of_domain, of_general, of_both = (
        CheckResult("misfit by group", False, "the law is off", evals=evals)
        for evals in (("domain",), ("general",), ("domain", "general"))
    )
    said = advised(fit, found, [of_domain])
    assert not said.doubts and said.verdict == found.verdict
    assert said.beside == {
        "misfit by group": "this is about the domain loss, and the critical ratio rests on the general loss alone"
    }
    for failed in (of_general, of_both):
        said = advised(fit, found, [failed])
        assert not said.beside and said.verdict.why == said.doubts["misfit by group"] and "loss" not in said.verdict.why
    monkeypatch.setattr(content, "run_checks", lambda _: Checks((of_domain,)))
    against = section(written(fit, tmp_path / "dcpt.md", question=question), "Why doubt it")
    assert "*For this answer*: This is about the domain loss, and the critical ratio rests on the general" in against


@pytest.mark.parametrize("name", ASKED)
def test_every_decision_names_the_losses_that_it_rests_on(name, table_for):
    law, asked, words = ASKED[name]
    fit = stand_in(models.catalogue[law], table_for, draws=60)
    if "SOURCE" in words:
        first, second, *_ = fit.model.design.over["source"]
        asked = asked | {"mixture": {first: 1.0}, "than": {second: 1.0}}
    losses = losses_of(getattr(fit, name)(**asked))
    assert set(losses) <= set(fit.evals) and bool(losses) == (name != "score")
    if DECISIONS[name].role:
        assert losses == tuple(fit.model.design.of_role(DECISIONS[name].role))


def test_the_doubts_stand_before_the_advice(sizes, tmp_path, monkeypatch):
    failed = CheckResult("misfit by group", False, "the law is off")
    monkeypatch.setattr(content, "run_checks", lambda _: Checks((failed,)))
    text = written(sizes, tmp_path / "law.md")
    badge = "> **Amber: believe it with this caveat**"
    assert head(text).index(badge) < head(text).index("- With ")
    assert "*For this answer*: The law misses some" in section(text, "Why doubt it")


def test_the_report_checks_its_own_advice(sizes, tmp_path):
    """The place of the answer is checked as `fit.checks(N=..., D=...)` checks it."""
    largest = 6 * sizes.model.design.levels["N"].max() * sizes.model.design.levels["D"].max()
    far = content.answer(sizes, {"flops": 1e4 * largest})
    own = content.checks_of(sizes, far)[-1]
    assert own.name == "extrapolation" and not own.passed
    assert own == list(sizes.checks(**far.planned))[-1]
    text = written(sizes, tmp_path / "law.md", question={"flops": 1e4 * largest})
    assert "Failed: extrapolation" in section(text, "Why doubt it")
    assert content.checks_of(sizes, content.answer(sizes, {"flops": 1e18}))[-1].passed


def test_without_convergence_nothing_is_recommended(mixing, sizes, tmp_path, monkeypatch):
    monkeypatch.setattr(advice, "convergence", lambda _: UNCONVERGED)
    for fit in (mixing, sizes):
        text = written(fit, tmp_path / "law.md")
        assert todo(text).startswith(
            ": Do not act on this report before the fit has converged: draw more (draws=, tune=).\n"
        )
        assert not re.search(r"\b(train|take|upsample) (on|at most|over|\d)", head(text)) and "![" not in head(text)
        assert "> **Red: do not act**: the fit did not converge." in head(text)
    both = head(written({"a": sizes, "b": sizes}, tmp_path / "both.md"))
    assert "**Act on none of these fits: none has converged.**" in both and "train" not in both


def test_several_fits_begin_with_one_answer(sizes, tmp_path, monkeypatch):
    both = head(written({"a": sizes, "b": sizes}, tmp_path / "both.md"))
    assert re.search(r"^\*\*All fits together, each by its weight: [^\[]* about [^\[]*\.\*\*$", both, re.M)
    assert "- Go by " in both and both.count("train") == 1
    monkeypatch.setattr(advice, "convergence", lambda fit: UNCONVERGED if fit.seconds == 2 else None)
    unmixed = Fit(sizes.model, sizes.idata, sizes.settings, 2.0)
    text = written({"a": sizes, "b": unmixed}, tmp_path / "one.md")
    one = head(text)
    assert "There is none. Fewer than two of the fits have converged." in section(text, "One answer of all")
    assert "\n**By a, " in one and "\n- Go by a, which predicts held-out runs best: with " in one
    assert one.count("together") == 0 and "\n- Leave out b: not converged.\n" in one


@pytest.mark.parametrize("several", [list, tuple, np.asarray, pd.Series])
def test_a_report_takes_what_its_decision_takes(several, sizes, mixing, tmp_path):
    text = written(sizes, tmp_path / "law.md", question={"flops": several([1e18, 1e19])})
    assert "how would 1e18 or 1e19 FLOPs be spent best?" in text
    assert todo(text).count("- With ") == 2
    text = written(mixing, tmp_path / "mix.md", question={"D": several([1e9, 1e10])})
    for D in ("D 1 B", "D 10 B"):
        assert f"- {D}: " in section(text, "The evidence") and f"- {D}: " in todo(text)
    assert re.search(r"\| D \| source \|", text) and "mix_files/mixture-2.png" in text


def test_a_question_that_no_decision_answers_is_refused(table_for, tmp_path):
    fit = stand_in(models.bimix, table_for, draws=60)
    with pytest.raises(RangeError, match="bimix answers no decision, so its report takes no question"):
        bl.report(fit, tmp_path / "law.md", question={"D": 1e9}, progress=False)
    assert not list(tmp_path.iterdir())


def test_critical_ratios_at_several_tokens(table_for, tmp_path):
    fit = stand_in(models.dcpt, table_for, draws=60)
    text = written(fit, tmp_path / "law.md", question={"D": [1e9, 1e10], "N": [1e8, 5e8], "max_rise": 0.01})
    assert "over 1 B or 10 B tokens" in head(text)
    answer = section(text, "The evidence")
    assert "- N 500 M, D 1 B, rise of at most 1 %: " in answer and "- N 500 M, D 10 B, " in answer
    assert "| N | D | limit |" in answer and len(re.findall(r"^\| \d", answer, re.M)) == 4


def test_a_report_of_any_name_shows_its_figures(sizes, tmp_path):
    text = written(sizes, tmp_path / "my report (v1) #2 100%.md")
    images = [t.attrs["src"] for t in _inline(text) if t.type == "image"]
    assert len(images) >= 3
    assert all((tmp_path / unquote(str(source))).is_file() for source in images)


def _inline(text: str) -> list[Any]:
    return [child for token in MarkdownIt("commonmark").enable("table").parse(text) for child in token.children or ()]


@pytest.mark.parametrize(
    "label", ["__init__", "_x_", "new_run", "~~gone~~", "&lt;b&gt;", "<script>", "*a*", "a|b", "[x](y)", "$x$", "a\\b"]
)
def test_a_label_of_a_table_is_read_as_it_is(label):
    table = f"| a |\n| --- |\n| {writing._text(label)} |"
    shown = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(table)
    texts = [t for token in shown for t in token.children or ()]
    assert all(t.type in ("text", "text_special") for t in texts), "no emphasis, no link, no code"
    assert "".join(t.content for t in texts[1:]) == label
    assert writing._text("new_run") == "new_run"


def with_shares(low: float, high: float, table_for: Callable[..., pd.DataFrame], **settings: Any) -> Fit:
    def some(law: Law, **given: Any) -> pd.DataFrame:
        table = table_for(law, **given)
        return table[table["domain_share"].between(low, high)]

    return stand_in(models.dcpt, some, draws=60, **settings)


def test_the_measured_shares_are_held_against_the_ratio_of_the_question(table_for):
    fit = with_shares(0.1, 0.5, table_for)
    verdicts = {}
    for baseline in (5.0, 1.5):  # every share is safe, none is
        found = content.answer(fit, {"N": 5e8, "D": 1e9, "max_rise": 0.02, "baseline": baseline})
        (verdicts[baseline],) = [c for c in content.checks_of(fit, found) if c.name == "boundary shares"]
    assert all("the critical ratio at N 500 M, rise of at most 2 %" in c.text for c in verdicts.values())
    safe = verdicts[5.0]
    assert not safe.passed and safe.value == 1 and "(0.1 to 0.5) with probability above 0.99" in safe.text


@pytest.fixture
def two_sets() -> Fit:
    """A fit of sizes and tokens with two validation sets, none of them called domain."""
    rows = pd.MultiIndex.from_product([[2e8, 1e9, 5e9], [1e9, 1e10, 1e11]], names=["N", "D"]).to_frame(index=False)
    law, values = models.chinchilla, {"E": 1.7, "A": 0.4, "alpha": 0.3, "B": 0.4, "beta": 0.3}
    for name, factor in (("c4", 1.0), ("pile", 0.8)):
        rows[f"{name}_loss"] = factor * law(rows["N"] / 1e9, rows["D"] / 1e10, **values)
    model = bl.Model(law, bl.read_runs(rows))
    dims = {"chain": [0, 1], "draw": np.arange(60), "eval": model.design.evals}
    rng = np.random.default_rng(0)
    errors = [name for name in model.noise.priors(2) if name != "sigma"]
    draws = {k: xr.DataArray(v * np.exp(rng.normal(0, 0.02, (2, 60, 2))), dims) for k, v in values.items()}
    draws["sigma"] = xr.DataArray(np.full((2, 60, 2), 0.005), dims)
    some = {"chain": dims["chain"], "draw": dims["draw"]}
    posterior = xr.Dataset(draws | {k: xr.DataArray(np.full((2, 60), 0.3), some) for k in errors})
    return Fit(model, xr.DataTree.from_dict({"posterior": posterior}), {"seed": 0}, 1.0)


def test_of_several_losses_none_is_taken_for_the_one_that_is_meant(two_sets):
    for ask in (
        lambda **k: two_sets.allocation(flops=1e20, **k),
        lambda **k: two_sets.tokens_for(loss=2.5, N=1e9, **k),
    ):
        with pytest.raises(RangeError, match="^the fit has several losses: name one, eval='c4' or 'pile'$"):
            ask()
        assert ask(eval="pile").inputs["eval"] == "pile"


def test_a_report_spends_a_budget_for_every_loss_that_may_be_meant(two_sets, tmp_path):
    found = content.answer(two_sets, {"flops": 1e20})
    assert found.question.endswith("how would 1e20 FLOPs be spent best for each loss?")
    assert ["for the c4 loss" in found.actions[0], "for the pile loss" in found.actions[1]] == [True, True]
    assert len(found.actions) == 2 and {"best N at 1e20 FLOPs for the pile loss"} <= set(found.draws)
    (one,) = content.answer(two_sets, {"flops": 1e20, "eval": "pile"}).actions
    assert one.replace(")", ") for the pile loss", 1) == found.actions[1]
    assert "for the c4 loss train" in written(two_sets, tmp_path / "law.md")


@pytest.mark.parametrize(
    ("law", "question", "said"),
    [
        ("dcpt", {"max_rise": [0.01, 0.05]}, r"max_rise is \[0.01, 0.05\]: give a number"),
        ("dcpt", {"max_rise": "1%"}, "max_rise is '1%': give a number"),
        ("data_mixing", {"at_most": {"books": [0.3, 0.2]}}, r"at_most\['books'\] is \[0.3, 0.2\]: give a number"),
        ("data_mixing", {"at_most": 0.3}, "at_most is 0.3: give a mapping"),
        ("chinchilla", {"flops": "a lot"}, "flops is 'a lot': give a number"),
        ("chinchilla", {"labels": 3}, "labels is 3: give a mapping"),
    ],
)
def test_values_that_no_decision_takes_are_refused_in_a_sentence(law, question, said, table_for):
    with pytest.raises(ArgumentError, match=f"^{said}"):
        content.answer(stand_in(models.catalogue[law], table_for, draws=60), question)


def test_a_budget_written_as_text_is_read_as_the_decision_reads_it(sizes):
    assert content.answer(sizes, {"flops": "1e19"}).actions == content.answer(sizes, {"flops": 1e19}).actions


def test_an_allocation_that_is_withheld_says_so_and_why(sizes, tmp_path, monkeypatch):
    assert "withheld" not in section(written(sizes, tmp_path / "law.md"), "The evidence")
    monkeypatch.setattr(advice, "convergence", lambda _: UNCONVERGED)
    answer = section(written(sizes, tmp_path / "law.md"), "The evidence")
    reason = f"- The advice on the best size and tokens is withheld: the fit did not converge ({UNCONVERGED})."
    assert answer.strip().splitlines()[0] == reason
