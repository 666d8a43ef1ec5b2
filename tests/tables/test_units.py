"""Losses in other units than nats per token: converted when told how, refused when only their name says so."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw.errors import BayeslawError

NATS = pd.DataFrame({"run": list("abcd"), "N": [1e8, 1e8, 1e9, 1e9], "D": [1e9, 2e9] * 2, "x": [3.0, 2.9, 2.7, 2.6]})
WRITTEN = {
    "nats": NATS["x"],
    "bits": NATS["x"] / np.log(2),
    "bits per byte": NATS["x"] / np.log(2) / 4.2,
    "perplexity": np.exp(NATS["x"]),
}


@pytest.mark.parametrize("unit", WRITTEN)
def test_losses_are_converted_to_nats_and_it_is_said(unit):
    table = NATS.assign(x=WRITTEN[unit])
    sizes: dict[str, Any] = {"bytes_per_token": 4.2} if unit == "bits per byte" else {}
    runs = bl.read_runs(table, loss="x", unit=unit, **sizes)
    np.testing.assert_allclose(runs.table["validation_loss"], NATS["x"], rtol=1e-12)
    assert ("x converted to nats per token" in runs.note) == (unit != "nats")


def test_each_validation_set_has_its_unit_and_known_errors_are_converted_too():
    table = NATS.drop(columns="x").assign(ppl_en=WRITTEN["perplexity"], law_bpb=WRITTEN["bits per byte"])
    table = table.assign(ppl_sd=0.01 * table["ppl_en"], bpb_sd=0.01 * table["law_bpb"])
    runs = bl.read_runs(
        table,
        loss={"general": "ppl_en", "domain": "law_bpb"},
        loss_sd={"general": "ppl_sd", "domain": "bpb_sd"},
        unit={"general": "perplexity", "domain": "bits per byte"},
        bytes_per_token={"domain": 4.2},
    )
    for name in runs.loss_columns:
        np.testing.assert_allclose(runs.table[name], NATS["x"], rtol=1e-12)
    np.testing.assert_allclose(runs.table["general_loss_sd"], 0.01)  # of a logarithm: the relative error
    np.testing.assert_allclose(runs.table["domain_loss_sd"], 0.01 * NATS["x"])
    assert "law_bpb converted to nats per token, bits per byte times 2.911" in runs.note


def test_curves_are_converted_too():
    log = pd.DataFrame({"run": "a", "step": range(1, 41), "lr": 1e-3, "loss": np.linspace(4, 3, 40)})
    bits = bl.read_curves(log.assign(loss=log["loss"] / np.log(2)), warmup=0, unit="bits")
    np.testing.assert_allclose(bits.table["validation_loss"], log["loss"])
    assert "loss converted to nats per token, bits times 0.6931" in bits.note


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("ppl_en", "perplexity"),
        ("val/perplexity", "perplexity"),
        ("law_bpb", "bits per byte"),
        ("bits_per_byte", "bits per byte"),
        ("val_loss_bits", "bits"),
        ("bpc", "bits"),
        ("PPL", "perplexity"),
    ],
)
def test_a_column_named_after_another_unit_needs_to_say_which_it_is(column, unit):
    table = NATS.rename(columns={"x": column})
    for read in (bl.read_runs, bl.read_curves):
        with pytest.raises(BayeslawError) as caught:
            read(table.assign(step=[1, 2, 1, 2], lr=1e-3), loss=column)
        assert f"the column {column!r} looks like {unit}: give unit={{'validation': {unit!r}}}" in str(caught.value)
    assert bl.read_runs(table, loss=column, unit="nats").note == ""


@pytest.mark.parametrize("column", ["loss", "orbit_loss", "en_loss", "habits_loss", "nll/applied"])
def test_other_names_are_nats(column):
    assert bl.read_runs(NATS.rename(columns={"x": column}), loss=column).note == ""


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"unit": "ppl"}, "no unit of a loss 'ppl' .known: nats, bits, bits per byte, perplexity"),
        ({"unit": {"code": "bits"}}, "no validation set .in unit=. 'code'"),
        ({"unit": "bits per byte"}, "bytes_per_token of 'validation' is None: .* for example 4.3"),
        ({"unit": "bits per byte", "bytes_per_token": 0}, "bytes_per_token of 'validation' is 0"),
        ({"unit": "bits per byte", "bytes_per_token": "four"}, "bytes_per_token"),
        ({"bytes_per_token": {"code": 4}}, "no validation set .in bytes_per_token=. 'code'"),
    ],
)
def test_units_that_are_none_are_refused(settings, words):
    with pytest.raises(BayeslawError, match=words):
        bl.read_runs(NATS, loss="x", **settings)


def test_implausible_numbers_name_the_column_as_it_is_called():
    with pytest.raises(BayeslawError, match=r"x is 0.5 in row 1 \(counted from 0\): a perplexity lies above 1"):
        bl.read_runs(NATS.assign(x=[20, 0.5, 20, 20]), loss="x", unit="perplexity")
    with pytest.raises(BayeslawError, match="x is 400 in row 0 .*: losses in nats .* unit='perplexity'"):
        bl.read_runs(NATS.assign(x=400.0), loss="x")
    with pytest.raises(BayeslawError, match="x in nats is 693.147 in row 0"):
        bl.read_runs(NATS.assign(x=1000.0), loss="x", unit="bits")
