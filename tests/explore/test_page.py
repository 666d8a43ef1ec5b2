"""The page: whole in one file, without network, written or refused in a sentence; and what a browser makes of it."""

import io
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import ArgumentError, RangeError, StoreError
from bayeslaw.explore.contents import contents, travelling
from tests.explore.javascript import needs_browser, opened
from tests.stand_ins import stand_in

ROWS = "[...document.querySelectorAll('#here tr')].map((row) => [...row.children].map((cell) => cell.textContent))"

MOVE = """
const move = async (id, value) => {
  const range = document.getElementById(id);
  range.focus();
  range.value = value;
  range.dispatchEvent(new Event("input", { bubbles: true }));
  range.dispatchEvent(new Event("change", { bubbles: true }));
  await pause();
};
const type = async (id, text, event = "change") => {
  const field = document.getElementById(id);
  field.value = text;
  field.dispatchEvent(new Event(event, { bubbles: true }));
  await pause();
};
const choose = async (selector) => { document.querySelector(selector).click(); await pause(); };
"""
"""What a reader does."""


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
    with pytest.raises(StoreError, match=r"give a path that ends in \.html, not 'page\.txt'"):
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
    asked = []
    monkeypatch.setattr("bayeslaw.posterior.cautions.cautions", lambda fit: asked.append(fit.draws) or ["do not act"])
    assert '{"cautions": ["do not act"]' in page_of(dcpt, tmp_path, draws=10)
    assert asked == [dcpt.draws]


def test_sliders_have_numbers_that_a_run_can_have(table_for):
    for name, one in models.catalogue.items():
        if one.kind == "score":
            continue
        for column in contents(stand_in(one, table_for, draws=5))["columns"]:
            assert column["low"] < column["high"] and column["low"] <= column["start"] <= column["high"], (name, column)
            assert not column["log"] or column["low"] > 0


@needs_browser
def test_sliders_move_the_bands_and_the_link_keeps_them(dcpt, tmp_path):
    page = page_of(dcpt, tmp_path)
    script = (
        MOVE
        + f"""
const first = {{ rows: {ROWS}, table: table(), hash: location.hash }};
await move("move-D", 300);
const moved = {{ rows: {ROWS}, table: table(), hash: location.hash, ratio: byId("ratio").textContent }};
await type("size", "5", "input");
await choose("input[name=mode][value=new]");
await type("type-N", "500M");
const last = {{ rows: {ROWS}, table: table(), hash: location.hash, ratio: byId("ratio").textContent }};
last.safe = byId("safe").textContent;
await type("type-N", "many");
const refused = [byId("type-N").getAttribute("aria-invalid"), location.hash === last.hash];
return {{ first, moved, last, refused, width: document.documentElement.scrollWidth }};
"""
    )
    found = opened(page, script)
    first, moved, last = (found[k] for k in ("first", "moved", "last"))
    assert first["rows"] != moved["rows"] != last["rows"] and first["hash"] != moved["hash"]
    for one in (first, moved):
        assert checked_table(one["table"], dcpt)["measured"].notna().any() or one is moved
    assert "new+run" not in last["hash"] and "of=new" in last["hash"] and "N=500000000" in last["hash"]
    assert found["refused"] == ["true", True] and found["width"] <= 1000
    few = travelling(dcpt, 300)
    D = float(dict(part.split("=") for part in last["hash"].removeprefix("#").split("&"))["D"])
    ratio = few.critical_ratio(N=5e8, D=D, max_rise=0.05, new_run=True)  # type: ignore[attr-defined]
    assert last["ratio"].split(" ")[0] in (f"{float(ratio.median()):.3g}", "≥", "≤")
    share = float(ratio.probability_safe(0.5))
    said = f"{min(99, max(1, round(100 * share)))} %" if 0 < share < 1 else "%"
    assert last["safe"].startswith("P(0.5 is safe): ") and said in last["safe"]
    again = opened(page, f"return [{ROWS}, table(), location.hash];", last["hash"])
    assert again == [last["rows"], last["table"], last["hash"]]


@needs_browser
@pytest.mark.parametrize("name", ["nested_data_mixing", "cross_domain_dcpt", "lr_annealing", "domain_upsampling"])
def test_pages_of_other_kinds_of_law_have_the_numbers_of_predict(name, table_for, tmp_path):
    fit = stand_in(models.catalogue[name], table_for, draws=30)
    last = "weight_code" if name == "nested_data_mixing" else fit.model.law.columns[-1]
    script = MOVE + f'await move("move-{last}", 700); return [table(), state.shares];'
    text, shares = opened(page_of(fit, tmp_path), script)
    table = checked_table(text, fit)
    assert len(table) > 100 and sum(shares) == pytest.approx(1 if shares else 0)


@needs_browser
def test_labels_choose_their_own_coefficients_and_a_run_can_be_gone_to(table_for, tmp_path):
    model = bl.Model(
        models.dcpt, bl.read_runs(table_for(models.dcpt)), by={"B": "domain", "C": "N"}, monotone=None, misfit="scales"
    )
    fit = model.prior_predictive(draws=30)
    script = (
        MOVE
        + f"""
const first = {ROWS};
byId("label-0").value = "2";
byId("label-0").dispatchEvent(new Event("change"));
await pause();
const unseen = [{ROWS}, new URLSearchParams(location.hash.slice(1)).get("domain")];
await move("move-N", 0);
const smallest = state.values.N;
goTo(drawn.marks.find((one) => !one.full));
await pause();
byId("plot").dispatchEvent(new KeyboardEvent("keydown", {{ key: "ArrowRight" }}));
return {{ first, unseen, smallest, told: byId("told").textContent, full: drawn.marks.some((one) => one.full) }};
"""
    )
    found = opened(page_of(fit, tmp_path), script)
    assert found["unseen"][1] == bl.UNSEEN and found["first"] != found["unseen"][0]
    assert found["smallest"] == 1e8 and found["full"] and re.match(r"run \d+: (general|domain) loss", found["told"])


def test_the_command_writes_the_page(dcpt, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from bayeslaw.cli import app

    monkeypatch.chdir(tmp_path)
    dcpt.save("fit.nc")
    done = CliRunner().invoke(app, ["explore", "fit.nc", "-o", "page.html", "--title", "Python"])
    assert done.exit_code == 0 and done.output.strip() == "page.html", done.output
    assert "<h1>Python</h1>" in (tmp_path / "page.html").read_text(encoding="utf-8")
