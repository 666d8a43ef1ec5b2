"""Text on terminals: wrapped between words at the width that is there, coloured there only; notebooks unfold."""

import html.parser
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.notebook import table
from bayeslaw.base.terminal import wrapped
from bayeslaw.checks import CheckResult, Checks
from bayeslaw.declare.equations import plain_equation, symbol
from tests.stand_ins import stand_in

LONG = "the law is off most in the domain loss at N 923 k; add runs there, or `bayeslaw fit --misfit`"
CHECKS = Checks(
    (
        CheckResult("convergence", True, "largest R-hat 1.002"),
        CheckResult("misfit by group", False, LONG),
    ),
    {"papers' fit": "a point fit has no posterior"},
)


def in_terminal(columns: int, *command: str) -> str:
    """What a command prints on a terminal of so many columns."""
    here, there = pty.openpty()
    own = {"COLUMNS": str(columns), "TERM": "xterm", "PYTHONPATH": str(Path(bl.__file__).parents[1])}
    known = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    started = subprocess.Popen(command, env=known | own, stdin=there, stdout=there, stderr=there)
    os.close(there)
    said = b""
    with suppress(OSError):  # the other end is closed
        while piece := os.read(here, 4096):
            said += piece
    os.close(here)
    assert started.wait() == 0, said.decode()
    return said.decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("law", ["dcpt", "cmr_general"])
def test_a_card_is_set_at_the_width_of_the_terminal(columns, law):
    said = in_terminal(columns, sys.executable, "-m", "bayeslaw.cli", "laws", law)
    lines = plain(said).splitlines()
    assert max(map(len, lines)) <= columns and "\\" not in said and "$" not in said
    assert any(line.startswith("coefficient  unit  ") for line in lines)
    card = models.catalogue[law].card()
    for word in re.findall(r"[A-Za-z][a-z]{9,}", " ".join(lines)):
        assert word in card or word in ("coefficient", "covariate"), f"{word} is part of a word"


SESSION = """
from bayeslaw.base.terminal import coloured
from tests.base.test_terminal import CHECKS
print(repr(CHECKS)); print("----"); print(coloured(str(CHECKS)))
"""


def test_checks_are_wrapped_between_words_and_coloured_on_a_terminal():
    shown, spoken = in_terminal(50, sys.executable, "-c", SESSION).split("----\n")
    assert "\x1b" not in shown and "\x1b[" in spoken and plain(spoken) == shown
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 50 and " ".join(shown.split()) == " ".join(str(CHECKS).split())
    assert [line for line in lines if line.startswith(" " * 8)], "a line goes on below its text"
    assert lines.index(next(x for x in lines if "FAIL" in x)) < lines.index(next(x for x in lines if "pass  " in x))


def test_elsewhere_every_line_is_whole_and_plain(capsys):
    assert repr(CHECKS) == str(CHECKS) == wrapped(str(CHECKS))
    assert f"  FAIL  misfit by group: {LONG}" in str(CHECKS).splitlines()


@pytest.mark.parametrize("name", models.catalogue)
def test_every_equation_can_be_read_without_latex(name):
    said = plain_equation(models.catalogue[name].equation)
    assert not re.search(r"[\\{}$]|left|right|frac|  (?=\S)(?<!,  )", said), said
    assert said.count("(") == said.count(")") and said.startswith(("L = ", "L_gen = "))


def test_equations_name_coefficients_as_tables_do():
    expected = "L = E + A (N/N0)^-alpha + B r^eta (D/D0)^-beta + C (r + eps)^-gamma"
    assert plain_equation(models.dcpt.equation) == expected
    assert [symbol(name) for name in ("alpha", "eps", "L_ref", "L0", "lack")] == [
        *(r"\alpha", r"\varepsilon", "L_{ref}", "L_{0}", r"\mathrm{lack}")
    ]


class Outline(html.parser.HTMLParser):
    """The titles that unfold, and the texts that are seen before one does."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.titles: list[str] = []
        self.seen = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.inside.append(tag)

    def handle_endtag(self, tag):
        while self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if "summary" in self.inside:
            self.titles.append(data)
        elif "details" not in self.inside and "style" not in self.inside:
            self.seen += data


def test_failed_checks_come_first_in_a_notebook():
    page = Outline(CHECKS._repr_html_())
    assert page.titles == ["1 passed", "1 skipped"]
    assert LONG in page.seen and "in doubt: 1 of 2 checks passed" in page.seen and "R-hat" not in page.seen
    bad = Checks((CheckResult("convergence", False, "R-hat at most 1.4"),))
    assert "badge bad" in bad._repr_html_() and "do not act" in bad._repr_html_()
    assert "badge good" in Checks(CHECKS.results[:1])._repr_html_()


def test_a_fit_in_a_notebook_has_its_verdict_its_answer_and_folded_coefficients(table_for):
    fit = stand_in(models.dcpt, table_for, by={"B": "N"}, draws=250)
    scale = np.log(fit.posterior["B"].median("N"))
    of_population = {"B_mu": scale, "B_sigma": abs(scale), "B_paper": fit.posterior["B"]}
    fit = replace(fit, idata=xr.DataTree.from_dict({"posterior": fit.posterior.assign(of_population)}))
    shown = fit._repr_html_()
    page = Outline(shown)
    assert page.titles[-2:] == ["coefficients", "model"] and "Fit of dcpt" in page.seen
    assert "critical ratio" in page.seen and "alpha" not in page.seen
    assert "B_mu" not in shown and "_paper" not in shown and ">alpha<" in shown


def test_numbers_stand_on_the_right_and_texts_on_the_left():
    cells = table(["of", "share"], [["<a>", "0.5"]])
    assert "<td>&lt;a&gt;</td><td class=number>0.5</td>" in cells
