"""Pages of reports in a real browser: no console errors, no missing images, nothing wider than a phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bayeslaw import models
from bayeslaw.checks import CheckResult
from bayeslaw.reporting import content, report
from tests.browser import Chromium, find
from tests.stand_ins import stand_in

SITE = Path(__file__).parents[2] / "docs" / "_build"
BUILT = sorted(SITE.glob("reports/*.html"))
SCREENS = [(1280, False), (1280, True), (390, False), (390, True)]

pytestmark = pytest.mark.skipif(
    find() is None, reason="there is no Chromium here: install Debian's, or name one in CHROMIUM"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium(find() or "") as started:
        yield started


@pytest.mark.parametrize("name", ["dcpt", "data_mixing", "lr_annealing", "domain_upsampling", "chinchilla"])
def test_a_report_in_one_file(browser, name, table_for, tmp_path, monkeypatch):
    monkeypatch.setattr(content, "beside_papers_fit", lambda _: CheckResult("papers' fit", True, "the two agree"))
    page = report(stand_in(models.catalogue[name], table_for, draws=60), tmp_path / "law.html")
    for width, dark in SCREENS:
        assert browser.show(page, width, dark) == [], (width, dark)
        assert browser.barriers() == [], (width, dark)
    assert browser.value("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)", "dark is dark"


@pytest.mark.skipif(not BUILT, reason="the site is not built: make docs")
@pytest.mark.parametrize("page", BUILT, ids=lambda p: p.stem)
def test_a_report_on_the_site(browser, page):
    for width in (1280, 390):
        assert browser.show(page, width) == [], width


def test_what_keeps_readers_out_is_found(browser, tmp_path):
    page = tmp_path / "closed.html"
    pixel = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
    page.write_text(
        "<!doctype html><meta name=viewport content='width=device-width'><h1>one</h1><h3>three</h3><main>"
        f"<p style='color:#999'>pale</p><p style='font-size:9px'>small</p><img src='{pixel}' alt='law_files/a.png'>"
        "<a href='#x'></a><select></select><div style='overflow-x:auto'><p style='width:900px'>wide</p></div></main>"
    )
    browser.show(page, 390)
    said = "\n".join(browser.barriers())
    for part in (
        "contrast of 2.8",
        "9 px: p small",
        "H3 after H1",
        "no language",
        "law_files",
        "no name: <a",
        "no label",
    ):
        assert part in said, said
    assert "keys do not scroll" in said


def test_what_is_broken_is_found(browser, tmp_path):
    page = tmp_path / "broken.html"
    page.write_text(
        "<!doctype html><meta name=viewport content='width=device-width'><img src=gone.png alt=x>"
        "<script>console.error('said'); undefined_function()</script><p style='width:900px'>wide</p>"
    )
    said = "\n".join(browser.show(page, 390))
    for part in ("said", "undefined_function", "missing image", "gone.png", "wider than the screen"):
        assert part in said
