"""A fit on a terminal says what it is doing."""

import sys

from tests.base.test_terminal import in_terminal, plain

SESSION = """
from tests.benchmarks import small_tables
fit = small_tables.model().fit(draws=400, tune=400, chains=2, cores=1)
print("done", fit.draws)
"""


def test_it_says_compiling_warm_up_and_sampling():
    said = plain(in_terminal(100, sys.executable, "-c", SESSION))
    assert said.index("compiling ...") < said.index("warm-up") < said.index("sampling") < said.index("done 800")
    assert "1600/1600" in said


def test_checks_on_a_terminal_are_announced_and_the_verdict_follows():
    code = (
        "from bayeslaw.base.progress import working\nimport time\n"
        "with working('checks'):\n    time.sleep(0.3)\nprint('15 of 16 checks passed')"
    )
    said = plain(in_terminal(80, sys.executable, "-c", code))
    assert said.index("checks ...") < said.index("15 of 16 checks passed")
