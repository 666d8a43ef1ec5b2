"""The site: every object has a page and an example that runs, lists are whole, equations drawn, nothing is fetched."""

import re
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import bayeslaw as bl
from bayeslaw import models, plots
from tests.browser import Chromium, find

ROOT = Path(__file__).parents[2]
DOCS, SITE = ROOT / "docs", ROOT / "docs" / "_build"
sys.path.insert(0, str(ROOT))

from docs.building import api, equations, laws, lists, styles, weight  # noqa: E402
from docs.building.examples import EXAMPLES, SECTIONS  # noqa: E402

OBJECTS = {dotted: members for section in SECTIONS.values() for dotted, members in section.items()}

WITHOUT = {f"errors.{name}" for name in ("MissingExtra", "RefitError", "SamplingError")}
"""Objects without an example: they need a package that is missing, or a fault of the machine."""


@pytest.mark.parametrize("dotted", EXAMPLES)
def test_every_example_runs_and_shows_something(dotted):
    assert api.run(EXAMPLES[dotted], dict(api.prepared()))
    plt.close("all")


def test_every_object_has_a_page_and_an_example():
    assert set(EXAMPLES) | WITHOUT == set(OBJECTS) and not set(EXAMPLES) & WITHOUT
    known = {api.short_name(dotted) for dotted in OBJECTS}
    modules = {"datasets", "models", "plots", "schedules", "splits", "__version__"}
    assert set(bl.__all__) - modules <= known | {name.rpartition(".")[2] for name in known}
    assert {f"plots.{name}" for name in plots.__all__} <= set(OBJECTS)
    files = [api.file_of(dotted).casefold() for dotted in OBJECTS]
    assert len(set(files)) == len(files), "two pages have one name on systems that do not tell cases apart"
    assert all(api.sentence(dotted).endswith(".") for dotted in OBJECTS)
    assert api.sentence("posterior.draws.UNSEEN").startswith("The label of a group that was not fitted")


def test_every_guide_is_listed_with_its_first_sentence():
    listed = [name for names in lists.GUIDES.values() for name in names]
    assert sorted(listed) == sorted(p.stem for p in (DOCS / "how-to").glob("*.md") if p.stem != "index")
    for folder in ("explanation", "studies"):
        rows = lists.every(folder).splitlines()[2:]
        assert all(re.fullmatch(r"\| \[.+\]\(\S+\.md\) \| .{20,} \|", row) for row in rows), rows


def test_the_start_page_shows_the_session_of_readme_and_what_it_printed():
    page = [(DOCS / "index.md").read_text(encoding="utf-8")]
    lists.fill(None, "index", page)
    assert "fit.critical_ratio(" in page[0] and re.search(r"^0\.\d+ \[0\.\d+, 0\.\d+\]  critical ratio", page[0], re.M)


def test_the_chooser_has_every_law_with_what_its_card_says():
    rows = re.findall(
        r'<tr data-kind="(\w+)" data-takes="([^"]*)" data-answers="([^"]*)"><td><a href="(\w+)', laws.chooser()
    )
    assert {name: (kind, takes) for kind, takes, _, name in rows} == {
        name: (law.kind, " ".join(law.columns)) for name, law in models.catalogue.items()
    }
    assert dict((name, answers) for *_, answers, name in rows)["dcpt"].split()[:2] == [
        "critical_ratio",
        "smallest_replay",
    ]


@pytest.mark.parametrize("name", models.catalogue)
def test_a_page_of_a_law_has_its_symbols_its_papers_and_a_picture(name, tmp_path):
    law = models.catalogue[name]
    card = laws.linked(laws.with_symbols(law.card(), law))
    assert "arXiv:" not in re.sub(r"\[arXiv:[\d.]+\]\(https://arxiv.org/abs/[\d.]+\)", "", card)
    assert all(f"`{coefficient}` |" in card for coefficient in law.coefficients)
    laws.draw(law, tmp_path / "law.png")
    assert (tmp_path / "law.png").stat().st_size < 60_000 and "median" in laws.seen(law)
    assert (
        "<svg" in equations.drawn(law.equation)
        and "\\" not in re.findall('aria-label="([^"]+)', equations.drawn(law.equation))[0]
    )


def test_the_card_of_dcpt_shows_alpha_as_its_equation_does():
    card = laws.with_symbols(models.dcpt.card(), models.dcpt)
    assert r"| $\alpha$ `alpha` |" in card and r"| $\varepsilon$ `eps` |" in card and "| `E` |" in card


built = pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="the site is not built: make docs")
seen = pytest.mark.skipif(find() is None, reason="there is no Chromium here: install Debian's, or name one in CHROMIUM")


@built
def test_no_page_asks_another_host():
    for page in SITE.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]+src="([^"]+)"|<link[^>]+href="([^"]+)"', text)
        assert not [url for pair in loaded for url in pair if url.startswith(("http:", "https:", "//"))], page


BLOCKING = re.compile(r'<link[^>]*href="([^"?]+\.css)[^"]*"|<script src="([^"?]+)')


@built
def test_what_a_page_waits_for_before_it_is_seen_weighs_less_than_350_kb():
    for page in (p for p in SITE.rglob("*.html") if "_static" not in p.parts):
        head = page.read_text(encoding="utf-8").split("</head>")[0]
        files = {page.parent / name for pair in BLOCKING.findall(head) for name in pair if name}
        assert sum(file.stat().st_size for file in (page, *files)) < 350_000, page
        assert ("searchindex.js" in page.read_text(encoding="utf-8")) == (page.name == "search.html"), page


def test_a_style_keeps_the_rules_that_a_page_may_need():
    style = """/* {no} */ .a{b:c}.gone{b:c}.a:not(.gone),.gone .a,[x="}"]{b:c} @media (x:y){.gone{b:c}} @charset "u";
    @media print{.a,.bs-auto{b:c}} @font-face{src:url("a;b")}"""
    kept = '.a{b:c}.a:not(.gone),[x="}"]{b:c}@charset "u";@media print{.a,.bs-auto{b:c}}@font-face{src:url("a;b")}'
    assert styles.needed(style, {"a"}) == kept and styles.needed(kept, {"a"}) == kept


def test_a_page_puts_off_what_it_can_wait_for():
    page = '<script src="x/searchindex.js?v=1"></script><script src="doctools.js"></script><img src="a"><img src="b">'
    lighter = '<script defer src="doctools.js"></script><img src="a"><img loading="lazy" src="b">'
    assert weight.light(page, searches=False) == lighter == weight.light(lighter, searches=False)
    assert "searchindex" in weight.light(page, searches=True)


PAGES = (
    "index",
    "laws/index",
    "laws/dcpt",
    "reference/critical_ratio",
    "how-to/index",
    "tutorial",
    "gallery",
    "search",
    "404",
)


@built
@seen
def test_pages_show_without_errors_on_screens_and_telephones_and_weigh_little():
    with Chromium(find() or "") as browser:
        for page in PAGES:
            for width, dark in ((1400, False), (390, False), (390, True)):
                assert browser.show(SITE / f"{page}.html", width, dark) == [], (page, width)
                assert browser.barriers() == [], (page, width, dark)
            assert browser.value(
                "document.querySelector('h1') !== null && document.querySelector('h1').innerText !== ''"
            )


def test_settings_of_the_site_name_what_is_there():
    conf = runpy.run_path(str(DOCS / "conf.py"))
    for name in (*conf["html_css_files"], "site.js", Path(conf["html_favicon"]).name):
        assert (DOCS / "_static" / name).is_file(), name
    assert conf["html_math_renderer"] == "drawn" and len(conf["myst_html_meta"]) == 1
