"""One way to write a number, whatever face shows it."""

import ast
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw.base.frames import Frame
from bayeslaw.base.numbers import (
    amount,
    apart,
    as_share,
    between,
    exact,
    level,
    p_value,
    percent,
    probability,
    short,
    times,
    with_interval,
    writer,
    written,
)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0.6184, "0.618"),
        (-0.07237, "-0.0724"),
        (270.4, "270"),
        (9995, "10 k"),
        (1274.2, "1270"),
        (12384, "12.4 k"),
        (6.95e9, "6.95 B"),
        (999_600_000, "1 B"),
        (1.2e12, "1.2 T"),
        (3.0e21, "3e21"),
        (2e-5, "2e-5"),
        (-1.5e-7, "-1.5e-7"),
        (0.0, "0"),
        (5, "5"),
    ],
)
def test_three_digits_and_letters(number, said):
    assert short(number) == said and short(np.float64(number)) == said


def test_sizes_and_tokens_have_a_letter_from_a_thousand_on():
    assert [amount(n) for n in (999.4, 999.6, 1500, 24_960_000, 7e9)] == ["999", "1 k", "1.5 k", "25 M", "7 B"]
    assert [written(c, 1500.0) for c in ("N", "D", "step", "loss")] == ["1.5 k"] * 3 + ["1500"]
    assert [writer(unit)(1500.0, 3) for unit in ("tokens", "parameters (N), tokens (D)", "nats per token")] == [
        "1.5 k",
        "1.5 k",
        "1500",
    ]


@pytest.mark.parametrize(
    ("column", "said"), [("domain_share", "0"), ("p_never", "0"), ("weight_web", "0"), ("lr", "1e-6")]
)
def test_a_share_that_does_not_count_is_nothing(column, said):
    assert written(column, 1e-6) == said


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((0.61841, 0.60812, 0.62819), "0.618 [0.608, 0.628]"),
        ((2.71853, 2.71793, 2.71911), "2.7185 [2.7179, 2.7191]"),  # three digits would show no interval
        ((1.5, 0.6751, 3.339), "1.5 [0.675, 3.34]"),
        ((0.0013, 1.2e-7, 0.0046), "0.0013 [0, 0.0046]"),
        ((4.12e10, 3.98e10, 4.3e10), "41.2 B [39.8 B, 43 B]"),
        ((2.0, 2.0, 2.0), "2"),
        ((0.5, -math.inf, math.inf), "0.5 [-inf, inf]"),
    ],
)
def test_an_interval_has_the_digits_of_its_width(numbers, said):
    assert with_interval(*numbers) == said


def test_ranges_have_no_infinite_ends():
    assert [between(*ends) for ends in ((0.1, 1), (0, math.inf), (-math.inf, 5), (-math.inf, math.inf))] == [
        "0.1 to 1",
        "0 or more",
        "at most 5",
        "any number",
    ]


def test_ratios_and_probabilities():
    assert [percent(p) for p in (0.89, 0.0172, 1.0)] == ["89 %", "1.7 %", "100 %"]
    assert [apart(math.log(x)) for x in (2.3, 0.9)] == ["130 %", "10 %"]
    assert [times(x) for x in (1.016, 410.3)] == ["1.6 %", "410 times"]
    assert [probability(p) for p in (0, 0.003, 0.95, 0.997, 1)] == [
        "below 0.01",
        "below 0.01",
        "0.95",
        "above 0.99",
        "above 0.99",
    ]
    assert [p_value(p) for p in (0.17, 2e-4, 1e-12)] == ["p = 0.17", "p = 0.0002", "p below 0.0001"]
    assert [exact(x) for x in (1e9, 0.05, 2.5e-06, 3)] == ["1e9", "0.05", "2.5e-6", "3"]
    assert [level(p) for p in (0.89, 0.955, 0.999, 0.07)] == ["89 %", "95.5 %", "99.9 %", "7 %"]
    assert [as_share(x) for x in (0.4123, 0.5, 1, 4e-4)] == ["0.41", "0.5", "1", "0"]


FORMATS_OF_THEIR_OWN = {
    "decisions/suggestions.py": "a number of a command line",
    "declare/scale.py": "a value is rounded",
    "posterior/convergence.py": "R-hat has three decimals and E-BFMI two, as everywhere",
    "posterior/shared_errors.py": "a label",
    "posterior/store.py": "a fingerprint",
    "reporting/choices.py": "a value is rounded",
    "reporting/page.py": "CSS and SVG",
    "sampler/stored.py": "its text is part of the key of what is compiled",
    "tables/areas.py": "the name of a column",
    "tables/reading.py": "a label",
    "validation/neighbourhood.py": "a value is rounded",
    "validation/splits.py": "a label",
}


def test_one_module_formats_the_numbers():
    """No f-string has a format of numbers, except where a number is not for reading."""
    home = Path(bl.__file__).parent
    found = set()
    for file in home.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            spec = getattr(node, "format_spec", None) if isinstance(node, ast.FormattedValue) else None
            if spec and re.search(
                r"[.,%]|[efg]$", "".join(str(v.value) for v in spec.values if isinstance(v, ast.Constant))
            ):
                found.add(str(file.relative_to(home)))
    assert found == {"base/numbers.py", *FORMATS_OF_THEIR_OWN}
    assert not [file for file in home.rglob("*.jinja") if "| format" in file.read_text(encoding="utf-8")]


def test_a_table_shows_what_it_holds_and_keeps_it():
    frame = Frame({"N": [922720, 12384], "loss": [2.718281828, 1e-6]})
    assert "923 k" in repr(frame) and "2.72" in repr(frame) and "1e-6" in str(frame._repr_html_())
    assert frame["N"].tolist() == [922720, 12384] and frame["loss"][0] == 2.718281828
    assert isinstance(frame.query("N > 20000"), Frame) and "923 k" in repr(frame.query("N > 20000"))
    pd.testing.assert_frame_equal(
        pd.DataFrame(frame), pd.DataFrame({"N": [922720, 12384], "loss": [2.718281828, 1e-6]})
    )


@pytest.mark.parametrize("folder", ["checks", "cli", "decisions", "plots", "posterior", "reporting"])
def test_no_sentence_rounds_to_significant_digits_by_itself(folder):
    """Rounded values (`float(f"...")`) and keys of files are no sentences; commands take numbers without letters."""
    keys = ("store.py", "suggestions.py")
    for file in sorted((Path(bl.__file__).parent / folder).glob("*.py")):
        text = re.sub(r'float\(f"[^"]*"\)|map\("[^"]*"', "", file.read_text(encoding="utf-8"))
        assert file.name in keys or not re.search(r":\.\d[ge]\}", text), file
