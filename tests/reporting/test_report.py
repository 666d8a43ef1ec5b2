"""The report and its figures, on a made-up posterior: what an analyst reads, in Markdown and in HTML."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models, plots
from bayeslaw.base.progress import bar
from bayeslaw.checks import CheckResult
from bayeslaw.checks import answers as checks_answers
from bayeslaw.decisions.critical_ratio import CriticalRatio
from bayeslaw.decisions.question import largest_run
from bayeslaw.decisions.study import study_of
from bayeslaw.errors import RangeError, StoreError, UnknownName
from bayeslaw.posterior import likelihood, sensitivity
from bayeslaw.posterior.convergence import Convergence
from bayeslaw.reporting import advice, content, critical_ratios, ratios, report, writing
from bayeslaw.reporting import answer as report_answer
from bayeslaw.reporting.coefficients import coefficients, in_short
from bayeslaw.reporting.figures import of_coefficients, of_fit
from bayeslaw.reporting.page import MARK, drawn, page
from bayeslaw.workflow import Fit
from tests.stand_ins import second_stage, stand_in

MIDDLES = {
    "dcpt": {"E": 2.4, "A": 0.4, "alpha": 0.3, "B": 0.15, "beta": 0.3, "eta": 1.2, "C": 0.3, "gamma": 0.35, "eps": 0.1},
    "chinchilla": {"E": 1.7, "A": 0.4, "alpha": 0.3, "B": 0.4, "beta": 0.3},
}


def made_up(model: bl.Model, draws: int = 100, seed: int = 0) -> Fit:
    """A fit of the law alone, whose posterior lies around the middles of its coefficients."""
    model = replace(model, misfit=None)
    rng = np.random.default_rng(seed)
    dims: dict[str, Any] = {"chain": np.arange(2), "draw": np.arange(draws), "eval": model.design.evals}
    shape = tuple(len(v) for v in dims.values())
    middles = MIDDLES[model.law.name] | {"sigma": 0.005}
    posterior = xr.Dataset(
        {k: (tuple(dims), v * np.exp(0.02 * rng.standard_normal(shape))) for k, v in middles.items()}, dims
    )
    shared = {"run_weight": 0.3, "correlation_length": 0.5, "eval_correlation": 0.2}
    posterior = posterior.assign({k: (("chain", "draw"), np.full(shape[:2], v)) for k, v in shared.items()})
    errors = model.noise.priors(len(model.design.evals))
    posterior = posterior[[*model.law.coefficients, *errors]]
    return Fit(model, xr.DataTree.from_dict({"posterior": posterior}), {"seed": seed}, 1.0)


@pytest.fixture(scope="module")
def tiny() -> Fit:
    table = bl.datasets.load("tinycpt")
    some = (table["set"] == "grid") & table["step"].isin([0, 750, 1500]) & table["size"].isin(["S", "L"])
    some &= table["domain_share"].isin([0.0, 0.2, 0.5, 0.8, 1.0])
    return made_up(bl.Model(models.dcpt, bl.read_runs(table[some]), reference={"N": 2e5, "D": 1e6}))


@pytest.fixture(scope="module")
def sizes() -> Fit:
    rows = pd.MultiIndex.from_product([[2e8, 1e9, 5e9], [1e9, 1e10, 1e11]], names=["N", "D"]).to_frame(index=False)
    rows["loss"] = models.chinchilla(rows["N"] / 1e9, rows["D"] / 1e10, **MIDDLES["chinchilla"])
    return made_up(bl.Model(models.chinchilla, bl.read_runs(rows)))


@pytest.fixture(autouse=True)
def papers_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The papers' fit takes seconds, and is tested with the checks."""
    monkeypatch.setattr(content, "beside_papers_fit", lambda _: CheckResult("papers' fit", True, "the two agree"))


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., str]:
    def write(fit: Any, name: str, **settings: Any) -> str:
        return report(fit, tmp_path / name, **settings).read_text(encoding="utf-8")

    return write


SECTIONS = [
    "Why believe it",
    "Why doubt it",
    "The evidence",
    "How much the priors and the law matter",
    "What else this fit answers",
    "Coefficients",
    "Model, data and provenance",
]


def test_it_reads_like_an_analysts_note(tiny, written, tmp_path):
    text = written(tiny, "law.md")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    assert "Which share of the new domain can continual pre-training take over 1.54 M tokens" in text
    assert re.search(r"- N 923 k, no rise: .* in the mean law; .*of a new run ", text)
    assert "with probability 0.95" in text and "Power scaling" in text
    for name in ("shares", "critical-ratio", "predictions", "learned", "coefficients"):
        assert f"(law_files/{name}.png)" in text and (tmp_path / "law_files" / f"{name}.png").stat().st_size > 5000
    for check in tiny.checks():
        assert ("- **Failed: " if not check.passed else "- ") + check.name in text
    assert models.dcpt.equation in text and MARK not in text
    assert not re.search(r"\bnan\b|None|Timestamp", text)


def test_html_is_one_file_with_the_same_content(tiny, written, tmp_path):
    text = written(tiny, "law.html")
    assert [p.name for p in tmp_path.iterdir()] == ["law.html"]
    assert re.findall(r'<h2 id="[\w-]+">(.*?)</h2>', text) == SECTIONS
    assert text.count('src="data:image/png;base64,') == text.count("<img") == 5
    assert not re.search(r"<(script|link|iframe)|(src|href)=\"(?!data:|#)|url\((?!#)|@import", text), (
        "needs nothing else"
    )
    assert "prefers-color-scheme: dark" in text and 'name="viewport"' in text
    assert 'role="img" aria-label="L = E' in text and "currentColor" in text and MARK not in text
    assert (
        "<table>" in text and "| --- |" not in text and "**" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)
    )
    assert unbalanced(text) == []


def test_figures_are_described_by_what_one_sees_in_them(tiny, table_for):
    said = [picture.alt for picture in [*of_fit(tiny, {}), *of_coefficients(tiny)]]
    assert all(re.search(r"\d", alt) for alt in said)
    spreads = {name: float(z.std(("chain", "draw")).min()) for name, z in sensitivity.in_prior_units(tiny).items()}
    assert f"narrowest: {min(spreads, key=spreads.__getitem__)} " in said[-1]
    mixed = stand_in(models.nested_data_mixing, table_for, draws=60)
    middle = mixed.posterior["t"].median(("chain", "draw")).mean(["eval"])
    assert f"{middle['source'].values[middle.values.argmin()]} has the lowest t" in of_coefficients(mixed)[0].alt


def unbalanced(text: str) -> list[str]:
    """Return the tags of a page that do not close."""
    open_tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, _: Any) -> None:
            if tag not in ("meta", "img", "br", "hr"):
                open_tags.append(tag)

        def handle_startendtag(self, tag: str, _: Any) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Reader().feed(text)
    return open_tags


def test_names_in_a_table_are_text_and_never_commands():
    hostile = "<script>alert(1)</script> [x](javascript:alert) `a` | b"
    frame = pd.DataFrame({"label": [hostile], "value": [0.123456]})
    shown = page(writing._table(frame), "<b>", [])
    assert "<script>" not in shown and "<a " not in shown and "&lt;script&gt;" in shown
    assert "<title>&lt;b&gt;" in shown
    assert shown.count("<td") == 2 and 'text-align:right">0.123' in shown


def test_an_equation_that_cannot_be_set_is_shown_as_it_is():
    assert r"<code>\begin{x} &lt; 1</code>" in page(MARK, "law", [drawn(r"\begin{x} < 1")])


@pytest.mark.parametrize("name", models.catalogue)
def test_the_equation_of_every_law_can_be_set(name):
    assert "<svg" in page(MARK, "law", [drawn(models.catalogue[name].equation)])


def test_a_law_without_a_critical_ratio_predicts_and_allocates(sizes, written):
    text = written(sizes, "sizes.md")
    assert "Which loss does the law predict for the largest run of the study (N 5 B, D 100 B)" in text
    assert re.search(r"- Validation loss: 2\.1\d+ \\\[.* in the mean law, .* for a new run; measured 2\.1", text)
    assert re.search(
        r"- With 3e21 FLOPs \(1 x the largest run\) train .* parameters on .* tokens; .* beyond the runs\.", text
    )
    assert "(sizes_files/predictions.png)" in text and "critical ratio" not in text
    assert re.search(r"\| best N at 3e21 FLOPs \| +[\d.]", text)


def test_a_budget_far_from_the_runs_gets_no_advice(sizes, monkeypatch):
    monkeypatch.setattr(report_answer, "FARTHEST_ADVICE", 1e-3)
    said = report_answer.spending(sizes, None).actions[0]
    assert said.startswith("these runs do not show how to spend 3e21 FLOPs (1 x the largest run): the optimum of ")


def test_a_question_of_ones_own(tiny, written):
    text = written(tiny, "own.md", question={"max_increase": 0.05, "baseline": 4.0})
    assert "rise of at most 0.05 nats" in text and "(no rise" not in text


def test_without_a_baseline_it_says_why_and_predicts(tiny, written):
    runs = bl.Runs(tiny.model.runs.table, tiny.model.runs.evals, tiny.model.runs.baseline.iloc[:0])
    fit = Fit(bl.Model(models.dcpt, runs, reference={"N": 2e5, "D": 1e6}, misfit=None), tiny.idata, tiny.settings)
    text = written(fit, "law.md")
    assert "No critical ratio: the runs have no row at D = 0" in text and "critical-ratio.png" not in text
    assert "- General loss: " in text


def test_other_endings_are_refused_and_nothing_is_left(tiny, tmp_path):
    with pytest.raises(StoreError, match=r"ends in \.md or \.html"):
        report(tiny, tmp_path / "law.pdf")
    with pytest.raises(StoreError, match="is a folder"):
        (tmp_path / "x.html").mkdir()
        report(tiny, tmp_path / "x.html")
    assert [p.name for p in tmp_path.iterdir()] == ["x.html"]


def test_critical_ratios_are_a_table(tiny):
    table = critical_ratios(tiny)
    assert list(table) == [
        "N",
        "D",
        "limit",
        "critical ratio",
        "of a new run",
        "safe share",
        "p_never",
        "p_interior",
        "p_always",
        "ratio",
    ]
    assert len(table) == 4 and table["limit"].tolist() == ["no rise"] * 2 + ["rise of at most 1 %"] * 2
    row = table.iloc[-1]
    new = tiny.critical_ratio(N=row["N"], D=row["D"], max_rise=0.01, new_run=True)
    assert float(new.probability_safe(row["safe share"])) >= 0.94


def test_what_to_do_follows_from_the_draws():
    for draws, words in (
        (np.zeros(101), ["no share of the law's range is safe for a new run"]),
        (np.linspace(0.1, 0.8, 101), ["the runs do not decide this ratio: add runs with shares from 0.14 to 0.76"]),
        (np.linspace(0.6, 0.64, 101), []),
    ):
        values = xr.DataArray(draws[None], dims=("chain", "draw"))
        ratio = CriticalRatio("critical_ratio", values, "1", "mean law", low=0.0, high=0.9)
        said = list(ratios._actions(ratio, ratios._safe_share(ratio)))
        assert len(said) == len(words) and all(w in s for w, s in zip(words, said, strict=True))


def test_the_head_is_the_answer(tiny, written):
    head = written(tiny, "law.md").split("\n## ")[0]
    assert head.startswith("# How much python can these two models take?\n\nWhich share of the new domain")
    assert "**The largest model (N 923 k) can take any share up to 0.9 (no rise), or any share up to 0.9 (" in head
    assert re.search(r"^> \*\*(Green: believe it|Amber: believe it with this caveat)\*\*", head, re.M)
    assert head.count("![") == 1 and "critical-ratio.png" in head
    assert re.search(r"\*\*What to do\*\*: Take at most 0\.\d\d? \(N 923 k, no rise\), or 0\.\d\d? .* 0\.95\.", head)
    assert not re.search(r"\d\.\d{3}", head), "rounded numbers"


def test_model_sizes_share_one_axis_from_0_to_1(tiny):
    (picture,) = ratios.ratios(tiny).pictures
    (ax,) = picture.draw().axes
    assert ax.get_xlim() == (0, 1) and [t.get_text() for t in ax.get_yticklabels()] == ["N 49.3 k", "N 923 k"]
    (single,) = ratios.ratios(tiny, {"N": 922720.0, "max_rise": 0.01}).pictures
    assert single.draw().axes[0].get_xlim() != (0, 1), "one answer is shown close up"


def test_the_coefficients_that_the_answer_rests_on_come_first(tiny):
    fit = replace(tiny, idata=tiny.idata)
    answer = fit.posterior["gamma"].sel(eval="domain")
    short = in_short(fit, coefficients(fit), [answer])
    assert short["coefficient"].iloc[0] == "gamma" and "contraction" not in short
    for _, block in short.groupby("coefficient"):
        assert block["prior"].iloc[0] and not any(block["prior"].iloc[1:]), "one prior"
    assert short["verdict"].str.contains("x narrower").any()
    assert not short["verdict"].str.contains("pull").any()


def test_a_page_has_a_list_of_contents_and_figures_with_captions(tiny, written):
    text = written(tiny, "law.html")
    anchors = re.findall(r'<li><a href="#([\w-]+)">', text)
    assert anchors == re.findall(r'<h2 id="([\w-]+)">', text) and len(anchors) == len(SECTIONS)
    assert text.count("<figure>") == text.count("<figcaption>") == text.count("<img") == 5
    assert text.count("<details>") == text.count("</details>") == 2 and "invert(" in text and "@media print" in text
    assert re.search(r'<p class="badge (green|amber)"><strong>Believe it', text)


def test_coefficients_have_their_prior_beside_them(tiny):
    table = coefficients(tiny)
    assert set(table["coefficient"]) == set(tiny.model.table().index)
    eps = table[(table["coefficient"] == "eps") & (table["of"] == "general")].iloc[0]
    assert eps["prior"] == "0.08 [0.0223, 0.287]" and re.fullmatch(r"0\.1\d* \[0\.09\d*, 0\.10\d*\]", eps["posterior"])
    assert table.loc[table["coefficient"] == "eval_correlation", "prior"].item() == "0 [-0.833, 0.833]"
    assert eps["contraction"] > 0.99 and eps["distance"] == pytest.approx(np.log(0.1 / 0.08) / 0.8, abs=0.02)
    assert table["prior sensitivity"].notna().all()


def test_the_largest_run_is_the_headline(sizes):
    row = largest_run(sizes)
    assert (row["N"].item(), row["D"].item()) == (5e9, 1e11)


def test_every_plot_takes_axes_and_gives_them_back(tiny, sizes):
    from matplotlib.figure import Figure

    ratio = tiny.critical_ratio(N=922720.0, D=1.536e6, max_rise=0.01)
    for draw in (
        lambda ax: plots.plot_quantity(tiny.predict(N=1e6, D=np.geomspace(1e5, 1e7, 5), domain_share=0.5), ax),
        lambda ax: plots.plot_shares(tiny, 922720.0, 1.536e6, ax),
        lambda ax: plots.plot_critical_ratio(ratio, ax),
        lambda ax: plots.plot_prior_posterior(tiny, ax),
        lambda ax: plots.plot_fit(sizes, ax),
    ):
        ax = Figure().subplots()
        assert draw(ax) is ax
        assert ax.get_xlabel() and (ax.get_ylabel() or ax.get_yticklabels())


def test_a_critical_ratio_is_shown_close_up():
    from matplotlib.figure import Figure

    draws = xr.DataArray(np.random.default_rng(0).normal(0.62, 0.006, (2, 500)), dims=("chain", "draw"))
    ax = plots.plot_critical_ratio(
        CriticalRatio("critical_ratio", draws, "1", "mean law", low=0.1, high=0.9), Figure().subplots()
    )
    low, high = ax.get_xlim()
    assert 0.58 < low < 0.61 and 0.63 < high < 0.66
    (strip,) = ax.child_axes
    assert strip.get_xlim() == (0, 1)


# ------------------------------------------------------------------------------------------------------ the catalogue
ASKED = {
    "data_mixing": "Which mixture of 3 sources gives the smallest loss",
    "nested_data_mixing": "Which mixture of 3 sources",
    "regmix": "Which mixture of 3 sources",
    "domain_upsampling": "Over which part of the training",
    "lr_annealing": "Which of the learning-rate schedules that were run",
    "cpt_dynamics": "Which of the learning-rate schedules that were run",
    "chinchilla": "how would compute be spent best",
    "cross_domain_dcpt": "Which share of the new domain",
    "cmr_general": "Which share of the new domain",
    "cmr_domain": "Which loss does the law predict",
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in ASKED else [pytest.mark.slow]) for n in models.catalogue]
)
def test_every_law_has_a_report(name, table_for, written, tmp_path):
    fit = stand_in(models.catalogue[name], table_for, draws=60)
    text = written(fit, "law.md")
    left_out = ["How much the priors and the law matter"]
    if {decision.name for decision in study_of(fit).decisions} <= set(content.ANSWERS):
        left_out.append("What else this fit answers")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [s for s in SECTIONS if s not in left_out]
    assert ASKED.get(name, "?") in text
    figures = re.findall(r"!\[(.+)\]\((law_files/.*?)\)", text)
    assert len(figures) >= 3 and all(len(alt) > 30 for alt, _ in figures)
    assert {f"law_files/{p.name}" for p in (tmp_path / "law_files").iterdir()} == {file for _, file in figures}
    assert not re.search(r"\bnan\b|\bNone,|\| None|Timestamp|DataArray", text)
    assert name != "domain_upsampling" or "nats" not in text, "error rates have no nats"
    assert not re.search(r"\de[+-]0|\d\.\de\+|\binf\b|\d{7}", text.split("SHA-256")[0]), "numbers as people write them"
    assert len(text.split()) < 2600, "short enough to be read"


def test_a_mixture_is_recommended_beside_what_was_measured(table_for, written):
    text = written(stand_in(models.regmix, table_for), "law.html", question={"at_most": {"web": 0.4}})
    assert "Train on " in text and "the best measured run (" in text and "an even mixture" in text
    assert text.count("<img") == 6 and "best share of" in text
    with pytest.raises(UnknownName, match="'max_rise'"):
        written(stand_in(models.regmix, table_for), "law.html", question={"max_rise": 0.1})


def test_published_coefficients_stand_beside_the_posterior(sizes, written):
    published = {"One et al.": {"E": 1.69, "A": {"validation": 406.4}}, "Two et al.": {"E": 1.817}}
    text = written(sizes, "sizes.md", published=published)
    assert "| prior | One et al. | Two et al. | verdict |" in text
    assert "| 1.69 | 1.817 |" in text and "| 406.4 |  |" in text
    others = sizes.posterior.assign(A_paper=1000 * sizes.posterior["A"])
    text = written(Fit(sizes.model, xr.DataTree.from_dict({"posterior": others}), {}), "a.md", published=published)
    assert "| in the paper's units | One et al. | Two et al. | verdict |" in text
    with pytest.raises(UnknownName, match="'Z'"):
        written(sizes, "sizes.md", published={"One et al.": {"Z": 1}})
    with pytest.raises(RangeError, match="name the paper"):
        written(sizes, "sizes.md", published={"E": 1.69})


def test_a_report_says_what_its_runs_are(sizes, written):
    usual = "How is compute best spent on model size and tokens?"
    for fits in (sizes, {"a": sizes, "b": sizes}):
        assert written(fits, "usual.md").startswith(f"# {usual}\n\n")
        named = written(fits, "named.md", title="Sizes", about="Runs of [somebody](https://example.org).")
        assert named.startswith("# Sizes\n\n") and "\n\nRuns of [somebody](https://example.org).\n\n20" in named


def test_many_groups_are_one_line_of_the_table(table_for, written):
    text = written(stand_in(models.regmix, table_for, sources=9), "law.md")
    assert re.search(r"\| w \| validation, the other 5 sources \| medians .* to ", text)
    assert len(re.findall(r"\| w \| validation, source [a-z]+\d* \| ", text)) == 4, "those that stand apart have names"
    assert "law_files/sources.png" in text


# ----------------------------------------------------------------------------------------------------- several fits
@pytest.mark.parametrize("ending", ["md", "html"])
def test_several_fits_side_by_side(sizes, tmp_path, ending):
    other = made_up(sizes.model, seed=1)
    path = bl.report({"first": sizes, "second <b>": other}, tmp_path / f"both.{ending}")
    text = path.read_text(encoding="utf-8")
    for part in ("best N at 3e21 FLOPs", "half-widths", "elpd", "Why doubt them"):
        assert part in text, part
    assert "<b>" not in text.replace("\\<b>", "") and ("nan" not in text.split())
    if ending == "md":
        assert {p.name for p in (tmp_path / "both_files").iterdir()} == {"answers.png", "predictions.png"}


def test_several_fits_that_cannot_be_compared_say_why(sizes, tiny, written):
    text = written({"sizes": sizes, "tiny": tiny}, "both.md")
    assert "nothing can be set side by side" in text and "elpd" not in text.split("## Why doubt them")[0]
    with pytest.raises(RangeError, match="needs at least two, by name"):
        written({"sizes": sizes}, "one.md")


def test_a_report_shows_how_far_it_is(sizes, tiny, written, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes standard error for a terminal
    monkeypatch.setenv("TERM", "xterm")
    for fits, name in ((sizes, "one.md"), ({"sizes": sizes, "tiny": tiny}, "both.html")):
        written(fits, name)
        out, err = capsys.readouterr()
        counts = re.findall(r"(\d+)/(\d+)", err)
        assert out == "" and "report" in err and counts[-1][0] == counts[-1][1] != "0", "the end of the bar is the end"
        written(fits, name, progress=False)
        assert capsys.readouterr() == ("", "")


def test_maximum_likelihood_has_a_report_too(sizes, written):
    text = written(sizes.model.fit(method="mle"), "sizes.md")
    assert "How much the priors" not in text and "With 3e21 FLOPs" in text


def test_nothing_is_to_be_done_with_a_fit_that_has_not_converged(tiny, monkeypatch):
    monkeypatch.setattr(advice, "convergence", lambda _: Convergence(r_hat=1.3, ess=40, divergences=0))
    with bar("report", 0, show=False) as hidden:
        said = content.content(tiny, None, None, hidden)
    (action,) = said["answer"].actions
    assert action == "do not act on this report before the fit has converged: draw more (draws=, tune=)"


def test_nothing_is_computed_twice_for_checks_a_report_and_a_decision(tiny, written, monkeypatch):
    fit = made_up(tiny.model)
    calls: list[str] = []

    def counted(module: Any, name: str) -> None:
        original = getattr(module, name)

        def call(*args: Any, **options: Any) -> Any:
            calls.append(name)
            return original(*args, **options)

        monkeypatch.setattr(module, name, call)

    counted(likelihood, "_of_rows")
    counted(sensitivity, "_log_density")
    counted(checks_answers, "left_out")
    counted(writing, "_png")
    fit.checks()
    page = written(fit, "report.md")
    fit.critical_ratio(N=float(fit.model.design.levels["N"].max()), D=1.536e6, max_rise=0.01)
    fit.checks()
    priors = len(sensitivity.log_prior(fit))
    assert {name: calls.count(name) for name in set(calls)} == {
        "_of_rows": 1,
        "_log_density": priors,
        "left_out": 1,
        "_png": page.count(".png)"),
    }


@pytest.mark.filterwarnings("ignore:.*cannot be trusted:UserWarning")  # draws that were not sampled
def test_a_loss_that_the_largest_run_does_not_have_is_not_answered_for_it(tmp_path):
    """Benchmarks have rows of their own, each with its chance: at those of another a prediction has no meaning."""
    text = report(second_stage(draws=120), tmp_path / "scores.md", progress=False).read_text("utf-8")
    assert "nan" not in re.split(r"\W", text)
    evidence = next(line for line in text.splitlines() if line.startswith("- ") and "in the mean law" in line)
    assert evidence.startswith("- Task loss: ") and "- Quiz loss: " not in text
