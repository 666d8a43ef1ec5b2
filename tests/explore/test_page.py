"""The page: whole in one file, without network, written or refused in a sentence; and what a browser makes of it."""

import io
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import ArgumentError, RangeError, StoreError
from bayeslaw.explore import PARTS
from bayeslaw.explore.contents import travelling
from tests.browser import Chromium
from tests.stand_ins import stand_in

DOCS = Path(__file__).parents[2] / "docs"

ROWS = "[...document.querySelectorAll('#here tr')].map((row) => [...row.children].map((cell) => cell.textContent))"

SMALL = "(element) => parseFloat(getComputedStyle(element).fontSize) < 11"

MOVE = """
const pause = async () => {
  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
};
const tell = async (id, value, ...events) => {
  byId(id).focus();
  byId(id).value = value;
  for (const event of events) byId(id).dispatchEvent(new Event(event, { bubbles: true }));
  await pause();
};
const move = (id, value) => tell(id, value, "input", "change");
"""
"""What a reader does."""


def opened(browser: Chromium, page: Any, script: str, **how: Any) -> Any:
    """Open a page, run a script in it and return what it returns; nothing may be wrong with the page."""
    assert browser.show(page, **how) == []
    found = browser.run(MOVE + script)
    assert browser.problems() == []
    return found


@pytest.fixture
def dcpt(table_for):
    return stand_in(models.dcpt, table_for, draws=60)


def page_of(fit: bl.Fit, folder: Any, **options: Any) -> str:
    return fit.explore(folder / "page.html", **options).read_text(encoding="utf-8")


def checked_table(text: str, fit: bl.Fit) -> pd.DataFrame:
    """A downloaded table: its bands are those of `predict`, its measured losses those of the fit."""
    table = pd.read_csv(io.StringIO(text))
    bands = table[table["mean"].notna()]
    asked = [c for c in bands if c not in ("eval", "of", "mean", "sd", "lower", "upper", "measured", "run")]
    expected = travelling(fit, 300).predict(bands[asked])  # type: ignore[attr-defined]
    evals = len(fit.evals)
    own = (
        expected.iloc[[evals * i + fit.evals.index(e) for i, e in enumerate(bands["eval"])]] if evals > 1 else expected
    )
    for column in ("mean", "sd", "lower", "upper"):
        np.testing.assert_allclose(bands[column], own[column], rtol=1e-9)
    measured = table[table["measured"].notna()]
    known = fit.model.runs.table
    for _, one in measured.iterrows():
        losses = known.loc[known["run"] == one["run"], f"{one['eval']}_loss"]
        assert np.isclose(losses, one["measured"], rtol=1e-12).any()
    return table


def test_a_page_is_one_small_file_that_asks_the_network_for_nothing(dcpt, tmp_path):
    page = page_of(dcpt, tmp_path, title="How much <code>?")
    assert [f.name for f in tmp_path.iterdir()] == ["page.html"] and len(page) < 200_000
    assert "<title>How much &lt;code&gt;?</title>" in page
    assert not re.search(r"""(src|href)\s*=\s*["']?(?!data:)[a-z/]|@import|url\(|\bfetch\(|XMLHttp""", page)
    assert "Copyright (c) 2022 Leon Sorokin" in page, "the licence of uPlot goes with it"


def test_no_label_of_a_user_ends_the_script(table_for, tmp_path):
    hostile = "</script><script>alert(1)</script>"
    table = table_for(models.chinchilla).assign(run=lambda t: [f"{hostile}{i}" for i in range(len(t))])
    fit = bl.Model(models.chinchilla, bl.read_runs(table), by={"E": "domain"}).prior_predictive(draws=5)
    page = page_of(fit, tmp_path)
    assert hostile not in page and page.count("</script>") == 2


def test_what_cannot_be_written_is_said_in_a_sentence(dcpt, tmp_path):
    with pytest.raises(StoreError, match=r"'page\.txt' is no HTML file: give a path that ends in \.html"):
        dcpt.explore("page.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write .*: choose a folder that exists"):
        dcpt.explore(tmp_path / "file" / "page.html")
    with pytest.raises(RangeError, match="draws is 0: give at least 1"):
        dcpt.explore(tmp_path / "page.html", draws=0)
    with pytest.raises(ArgumentError, match="no argument 'tittle'; did you mean 'title'"):
        dcpt.explore(tmp_path / "page.html", tittle="x")

    assert not (tmp_path / "page.html").exists()


def test_a_page_says_what_speaks_against_the_fit_and_not_against_the_draws_that_travel(dcpt, tmp_path, monkeypatch):
    monkeypatch.setattr("bayeslaw.posterior.cautions.cautions", lambda fit: [f"it has {fit.draws} draws"])
    assert '{"cautions": ["it has 120 draws"], "prob": 0.89, "draws": 10,' in page_of(dcpt, tmp_path, draws=10)


def test_sliders_move_the_bands_and_the_link_keeps_them(browser, dcpt, tmp_path):
    page = dcpt.explore(tmp_path / "page.html")
    shown = f"({{ rows: {ROWS}, table: table(), hash: location.hash, ratio: byId('ratio').textContent }})"
    first = opened(browser, page, f"return {shown};")
    moved = browser.run(f'{MOVE} await move("move-D", 300); return {shown};')
    last = browser.run(
        f"""{MOVE}
await tell("size", "5", "input");
document.querySelector("input[name=mode][value=new]").click();
await tell("type-N", "500M", "change");
return {shown};
"""
    )
    assert first["rows"] != moved["rows"] != last["rows"] and first["hash"] != moved["hash"]
    assert checked_table(first["table"], dcpt)["measured"].notna().any()
    checked_table(moved["table"], dcpt)
    fields = dict(part.split("=") for part in last["hash"].removeprefix("#").split("&"))
    assert fields["of"] == "new" and fields["N"] == "500000000" and fields["limit"] == "max_rise%3A0.05"
    few = travelling(dcpt, 300)
    ratio = few.critical_ratio(N=5e8, D=float(fields["D"]), max_rise=0.05, new_run=True)  # type: ignore[attr-defined]
    median, low, high = (float(ratio.draws.quantile(q)) for q in (0.5, 0.055, 0.945))
    ends = [
        f"≥ {x:.3g}" if x >= ratio.high else f"≤ {x:.3g}" if x <= ratio.low else f"{x:.3g}" for x in (median, low, high)
    ]
    assert last["ratio"] == f"{ends[0]} ({ends[1]} to {ends[2]})"
    share = float(ratio.probability_safe(0.5))
    said = f"{round(100 * share)} %" if 0.01 <= share <= 0.99 else " %"
    assert said in browser.value("byId('safe').textContent")
    refused = browser.run(f"""{MOVE} await tell("type-N", "many", "change"); return byId("type-N").ariaInvalid;""")
    assert refused == "true" and browser.value("location.hash") == last["hash"]
    again = page.rename(tmp_path / "again.html")
    assert opened(browser, again, f"return {shown};", fragment=last["hash"]) == last


def test_a_page_is_used_by_keyboard_and_on_a_phone(browser, dcpt, tmp_path):
    page = dcpt.explore(tmp_path / "page.html")
    for width, dark in ((1400, False), (1400, True), (390, False), (390, True)):
        assert browser.show(page, width, dark) == []
        assert browser.barriers() == [], (width, dark)
        unnamed = browser.value(
            "[...document.querySelectorAll('input, select')].filter((e) => !e.labels.length).length"
        )
        assert unnamed == browser.value("document.querySelectorAll('[aria-label$=number]').length"), (
            "these have another"
        )
        assert browser.value(f"[...document.querySelectorAll('body *')].filter({SMALL}).length") == 0
    before = browser.run('byId("move-domain_share").focus(); return state.values.domain_share;')
    for _ in range(10):  # the first ones stay at the measured level
        browser.press("ArrowRight")
        browser.run(f"{MOVE} await pause();")
    assert browser.value("state.values.domain_share") == before + 0.01
    browser.run('byId("plot").focus();')
    browser.press("ArrowRight")
    assert re.match(r"run \d+: (general|domain) loss \d", browser.value("byId('told').textContent"))


@pytest.mark.parametrize("name", ["nested_data_mixing", "cross_domain_dcpt", "lr_annealing", "domain_upsampling"])
def test_pages_of_other_kinds_of_law_have_the_numbers_of_predict(browser, name, table_for, tmp_path):
    fit = stand_in(models.catalogue[name], table_for, draws=30)
    last = "weight_code" if name == "nested_data_mixing" else fit.model.law.columns[-1]
    script = f'await move("move-{last}", 700); return [table(), state.shares];'
    text, shares = opened(browser, fit.explore(tmp_path / "page.html"), script)
    assert len(checked_table(text, fit)) > 100 and sum(shares) == pytest.approx(1 if shares else 0)


def test_labels_choose_their_own_coefficients_and_a_run_can_be_gone_to(browser, table_for, tmp_path):
    runs, by = bl.read_runs(table_for(models.dcpt)), {"B": "domain", "C": "N"}
    fit = bl.Model(models.dcpt, runs, by=by, monotone=None, misfit="scales").prior_predictive(draws=30)
    script = f"""
const first = {ROWS};
await tell("label-0", "2", "change");
const unseen = [{ROWS}, new URLSearchParams(location.hash.slice(1)).get("domain")];
await move("move-N", 0);
const smallest = state.values.N;
goTo(drawn.marks.find((one) => !one.full));
await pause();
return {{ first, unseen, smallest, full: drawn.marks.filter((one) => one.full).length }};
"""
    found = opened(browser, fit.explore(tmp_path / "page.html"), script)
    assert found["unseen"][1] == bl.UNSEEN and found["first"] != found["unseen"][0]
    assert found["smallest"] == 1e8 and found["full"] > 0


def test_the_page_on_the_start_page_of_the_docs_is_made_of_what_is_here():
    folder, page = resources.files("bayeslaw.explore") / "templates", DOCS / "_static" / "tinycpt.html"
    written, start = page.read_text(encoding="utf-8"), (DOCS / "index.md").read_text(encoding="utf-8")
    for part in PARTS:
        assert (folder / part).read_text(encoding="utf-8") in written, f"{part} has changed since: make report"
    assert f"_static/{page.name}" in start and page.stat().st_size < 1_000_000


def test_the_command_writes_the_page(dcpt, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from bayeslaw.cli import app

    monkeypatch.chdir(tmp_path)
    dcpt.save("fit.nc")
    done = CliRunner().invoke(app, ["explore", "fit.nc", "-o", "page.html", "--title", "Python"])
    assert done.exit_code == 0 and done.output.strip() == "page.html", done.output
    assert "<h1>Python</h1>" in (tmp_path / "page.html").read_text(encoding="utf-8")
