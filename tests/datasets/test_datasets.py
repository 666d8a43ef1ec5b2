"""Embedded tables against their cards and sources; the fetcher against changed files. No network."""

import gzip
import hashlib
import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.api.types import is_bool_dtype, is_float_dtype, is_integer_dtype, is_numeric_dtype, is_string_dtype

from bayeslaw import datasets
from bayeslaw.datasets import public
from bayeslaw.errors import BayeslawError, DataError, MissingExtra, UnknownName
from bayeslaw.tables.runs import read_runs
from bayeslaw.tables.scores import read_scores

CATALOGUE = datasets.catalogue().set_index("name")
EMBEDDED = list(CATALOGUE.index[CATALOGUE["home"] == "embedded"])
FETCHABLE = list(CATALOGUE.index[CATALOGUE["home"] == "fetchable"])
SHARED = Path(os.environ.get(public.MIRROR) or Path(__file__).parents[3] / "shared" / "data")
RENAMED = {"run": "run_id", "base": "base_id", "N": "n_params", "N_total": "n_params_total", "D": "tokens"}
RENAMED["duration"] = "upsampled_pct"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the measured originals are not at {SHARED}")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep every test away from the user's cache and mirror."""
    monkeypatch.setenv(public.CACHE, str(tmp_path / "cache"))
    monkeypatch.delenv(public.MIRROR, raising=False)


def table(name):
    if name in FETCHABLE and not SHARED.is_dir():
        pytest.skip(f"no mirror at {SHARED}")
    return datasets.load(name, mirror=SHARED)


def _embedded(name):
    return next(Path(datasets.__file__).parent.glob(f"{name}.csv*"))


# ---------------------------------------------------------------------------------------------------- tables and cards
def test_catalogue_lists_every_data_set_once():
    assert set(EMBEDDED) >= {"tinycpt", "tinycpt-base", "tinycpt-upsampling", "tinycpt-schedules"}
    assert set(EMBEDDED) >= {"dcpt-table5", "dcpt-table6", "cmr-table2", "replay"}
    assert set(FETCHABLE) == set(public.registry())
    assert CATALOGUE.index.is_unique
    assert list(CATALOGUE.columns) == ["rows", "what", "source", "home"]


@pytest.mark.parametrize("name", CATALOGUE.index)
def test_card_lists_exactly_the_columns_and_rows(name):
    data, card = table(name), datasets.card(name)
    assert list(data.columns) == list(card.columns)
    assert len(data) == card.rows
    assert data.attrs == {"dataset": name, "source": card.source}


@pytest.mark.parametrize("name", CATALOGUE.index)
def test_card_prints_everything(name):
    card = datasets.card(name)
    text = str(card)
    squeezed = " ".join(text.split())
    for part in (card.title, card.what, card.source, card.licence, *card.notes, *card.columns):
        assert " ".join(part.split()) in squeezed
    for name_, value in card.numbers.items():
        assert f"{name_} {value:g}" in squeezed
    assert max(map(len, text.splitlines())) <= 100
    assert all(about.meaning for about in card.columns.values())


@pytest.mark.parametrize("name", CATALOGUE.index)
def test_canonical_columns_are_numeric_and_in_range(name):
    data, card = table(name), datasets.card(name)
    assert not data.isna().any().any()
    for column in data.columns:
        unit = card.columns[column].unit
        if column == "held_out":
            assert is_bool_dtype(data[column])
        elif unit:
            assert is_numeric_dtype(data[column]) and np.isfinite(data[column]).all()
            assert (data[column] >= 0).all()
        elif column != "seed":
            assert is_string_dtype(data[column])
        if unit == "share":
            assert data[column].between(0, 1).all()
        if unit in ("parameters", "FLOP"):
            assert (data[column] > 1e4).all()
        if unit == "nats/token":
            assert is_float_dtype(data[column]) and data[column].between(0.5, 10).all()
        if unit in ("steps", "sequences") or (unit in ("parameters", "tokens") and name in EMBEDDED):
            assert is_integer_dtype(data[column])


@pytest.mark.parametrize("name", CATALOGUE.index)
def test_reads_as_runs_without_mapping(name):
    data = table(name)
    if name == "tinycpt-schedules":
        data = data[data["run"] == data["run"].iloc[0]]
    runs = read_scores(data) if data.columns.str.endswith("_score").any() else read_runs(data)
    assert len(runs) + len(runs.baseline) == len(data)


@pytest.mark.parametrize("name", [name for name in CATALOGUE.index if not name.startswith("tinycpt")])
def test_sources_name_paper_and_place(name):
    source = datasets.card(name).source
    assert "arXiv 2" in source
    assert any(place in source for place in ("Table", "Figure", "repository"))


# ------------------------------------------------------------------------------------------- values against the papers
def test_dcpt_table5_crosses_the_limit_where_the_paper_says():
    data, numbers = datasets.load("dcpt-table5"), datasets.card("dcpt-table5").numbers
    assert (data["N"] == 1.8e9).all() and (data["D"] == 1e10).all() and (data["domain"] == "chemistry").all()
    assert list(data.set_index("domain_share").loc[0.924, ["general_loss", "domain_loss"]]) == [2.9445, 1.7291]
    rise = 100 * (data["general_loss"] / numbers["baseline_general_loss"] - 1)
    assert rise.round(3).tolist() == [1.573, 2.066, 2.706, 2.947, 3.643, 4.356, 21.205]  # facts, from Table 5
    limit = numbers["baseline_general_loss"] * (1 + numbers["max_rise"])
    assert np.interp(limit, data["general_loss"], data["domain_share"]) == pytest.approx(0.9245, abs=5e-5)


def test_dcpt_table6_has_fixed_domain_tokens_and_its_minimum():
    data, numbers = datasets.load("dcpt-table6"), datasets.card("dcpt-table6").numbers
    np.testing.assert_allclose(data["D"] * data["domain_share"], 5e9, rtol=1e-9)
    best = data.iloc[int(data["domain_loss"].argmin())]
    assert best["domain_share"] == numbers["best_domain_share"] == 0.732
    assert best["domain_loss"] == numbers["measured_domain_loss"] == 0.7309
    quadratic = np.polyval(np.polyfit(data["domain_share"], data["domain_loss"], 2), data["domain_share"])
    spread = np.sqrt(((data["domain_loss"] - quadratic) ** 2).sum() / (len(data) - 3))
    assert spread == pytest.approx(0.0034, abs=1e-4)  # as the card says


@pytest.mark.parametrize(
    ("size", "n", "refit"),
    [("460M", 4.6e8, 1.5561), ("940M", 9.4e8, 1.4538), ("1.6B", 1.6e9, 1.3993), ("3.1B", 3.1e9, 1.3306)],
)
def test_cmr_table2_predicts_its_held_out_row(size, n, refit):
    """The ratio law alpha R^s + beta through the other four rows; `refit` is our own earlier least-squares answer."""
    data = datasets.load("cmr-table2").query("N == @n")
    assert (data["D"] == 10_000 * 512 * 4096).all()
    held, seen = data[data["held_out"]], data[~data["held_out"]]
    assert held["domain_share"].tolist() == [0.25]
    fits = []
    for s in np.linspace(0.01, 0.5, 491):
        design = np.column_stack([seen["domain_share"] ** s, np.ones(4)])
        coefficients, error, *_ = np.linalg.lstsq(design, seen["domain_loss"])
        fits.append((error[0], coefficients[0] * 0.25**s + coefficients[1]))
    assert min(fits)[1] == pytest.approx(refit, abs=1.5e-4)
    measured = held["domain_loss"].item()
    assert datasets.card("cmr-table2").numbers[f"predicted_domain_loss_{size}"] == pytest.approx(measured, rel=6e-4)


def test_replay_spot_values_and_base_rows():
    data = datasets.load("replay").set_index("run")
    columns = ["D", "domain_share", "general_loss", "domain_loss"]
    assert list(data.loc["pile-german-405M-replay5", columns]) == [2e11, 0.95, 2.57, 1.12]
    assert list(data.loc["pile-slimpajama-405M-replay0.5", columns]) == [3e11, 0.995, 2.27, 2.5]
    assert list(data.loc["pile-slimpajama-10B-base", columns]) == [0, 0, 1.75, 2.24]
    assert not data.index.str.contains("union").any()
    assert data.groupby("set", sort=False).size().tolist() == [6, 7, 3]
    continued = data[data["D"] > 0]
    for _, runs in continued.sort_values("domain_share").groupby("set"):
        assert runs["general_loss"].is_monotonic_increasing and runs["domain_loss"].is_monotonic_decreasing


# --------------------------------------------------------------------------------------------------------- own runs
def test_tinycpt_holds_the_design():
    data = datasets.load("tinycpt")
    grid = data[data["set"] == "grid"]
    assert data["run"].nunique() == 51 and grid.groupby(["size", "domain_share"])["run"].nunique().eq(1).all()
    assert (grid["size"].nunique(), grid["domain_share"].nunique()) == (4, 9)
    assert dict(zip(data["size"], data["N"], strict=True)) == {"XS": 12384, "S": 49344, "M": 221664, "L": 922720}
    assert not data.duplicated(["run", "step"]).any()
    last = data[data["step"] == 1500]
    np.testing.assert_allclose(last["domain_tokens"], last["domain_share"] * last["D"])


def test_tinycpt_noise_is_what_the_card_says():
    data, numbers = datasets.load("tinycpt"), datasets.card("tinycpt").numbers
    cells = data.query("step == 1500 and schedule == 'constant'").groupby(["size", "domain_share"])
    for loss in ("general_loss", "domain_loss"):
        squares, df = ((cells[loss].count() - 1) * cells[loss].var()).sum(), (cells[loss].count() - 1).sum()
        assert df == 11
        assert np.sqrt(squares / df) == pytest.approx(numbers[f"replicate_sd_{loss}"], abs=5e-5)


def test_tinycpt_decayed_schedules_end_lower_as_the_card_says():
    last = datasets.load("tinycpt").query("set == 'sched' and step == 1500").set_index("schedule")
    for loss, (low, high) in {"general_loss": (0.14, 0.17), "domain_loss": (0.115, 0.145)}.items():
        gain = last[loss]["constant"] - last[loss][["multistep", "twostage", "wsd"]]
        assert gain.between(low, high).all()


@pytest.mark.parametrize("name", ["tinycpt", "tinycpt-base", "tinycpt-upsampling"])
def test_schedules_join_one_step_behind(name):
    steps = datasets.load("tinycpt-schedules")
    steps["seen"] = steps.groupby("run")["domain_seqs"].cumsum() * 128
    data = datasets.load(name).query("step > 0")
    steps["step"] += 1
    joined = data.merge(steps, on=["run", "step"], suffixes=("", "_step"), validate="one_to_one")
    assert len(joined) == len(data)
    assert (joined["lr"] == joined["lr_step"]).all()
    if "domain_tokens" in joined:
        assert (joined["domain_tokens"] == joined["seen"]).all()


def test_cpt_runs_start_from_their_base():
    base = datasets.load("tinycpt-base").query("step == 4000").set_index("run")
    start = datasets.load("tinycpt").query("D == 0")
    assert (start["general_loss"] == base.loc[start["base"], "general_loss"].to_numpy()).all()
    assert (start["domain_loss"] == base.loc[start["base"], "python_loss"].to_numpy()).all()


@needs_shared
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("tinycpt", "cpt_runs.csv"),
        ("tinycpt-base", "base_runs.csv"),
        ("tinycpt-upsampling", "upsampling_runs.csv"),
        ("tinycpt-schedules", "lr_schedules.csv.gz"),
    ],
)
def test_embedded_values_are_the_measured_ones(name, file):
    """Compared as text, so that no parser can hide a change."""
    measured, ours = pd.read_csv(SHARED / "tinycpt" / file, dtype=str), pd.read_csv(_embedded(name), dtype=str)
    loaded = datasets.load(name)
    for column in map(str, ours):
        theirs = measured.pop(RENAMED.get(column, column))
        if column == "duration":
            theirs = (theirs.astype(int) / 100).astype(str)
        assert ours[column].to_list() == theirs.to_list()
        if is_float_dtype(loaded[column]):
            np.testing.assert_allclose(loaded[column], [float(text) for text in theirs], rtol=1e-15)
    assert all(c == "seconds" or c.endswith("_per_byte") or measured[c].nunique() == 1 for c in map(str, measured))


# ------------------------------------------------------------------------------------------------------- public files
@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Make a mirror with one file of one public data set."""
    file = tmp_path / "mirror" / "toy" / "part" / "a.csv"
    file.parent.mkdir(parents=True)
    file.write_text("step,loss\n1,2.5\n")
    entry: dict[str, Any] = {"folder": "toy", "repository": "some/where", "commit": "c0ffee", "root": "data"}
    entry["files"] = {"part/a.csv": hashlib.sha256(file.read_bytes()).hexdigest()}
    monkeypatch.setattr(public, "registry", lambda: {"toy": entry})
    return file


def test_fetch_copies_from_the_mirror_and_then_needs_it_no_more(toy, tmp_path):
    local = datasets.fetch("toy", mirror=tmp_path / "mirror")
    assert list(local) == ["part/a.csv"]
    assert local["part/a.csv"].is_relative_to(tmp_path / "cache")
    assert local["part/a.csv"].read_bytes() == toy.read_bytes()
    toy.unlink()
    assert datasets.fetch("toy") == local


def test_fetch_takes_the_mirror_from_the_environment(toy, tmp_path, monkeypatch):
    monkeypatch.setenv(public.MIRROR, str(tmp_path / "mirror"))
    assert datasets.fetch("toy")["part/a.csv"].is_file()


def test_fetch_refuses_a_changed_file(toy, tmp_path):
    toy.write_text("step,loss\n1,2.4\n")
    with pytest.raises(DataError, match="differs from the public original"):
        datasets.fetch("toy", mirror=tmp_path / "mirror")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_fetch_replaces_a_damaged_cache(toy, tmp_path):
    local = datasets.fetch("toy", mirror=tmp_path / "mirror")["part/a.csv"]
    local.write_text("damaged")
    datasets.fetch("toy", mirror=tmp_path / "mirror")
    assert local.read_bytes() == toy.read_bytes()


def test_fetch_names_a_file_the_mirror_lacks(toy, tmp_path):
    toy.unlink()
    with pytest.raises(DataError, match="the mirror has no file .*a.csv"):
        datasets.fetch("toy", mirror=tmp_path / "mirror")


def test_fetch_without_pooch_gives_the_pip_line(toy, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtra, match=r"bayeslaw\[data\]"):
        datasets.fetch("toy")


def test_download_asks_for_the_pinned_file_with_its_hash(toy, tmp_path, monkeypatch):
    calls = []

    def retrieve(url, known_hash, fname, path):
        calls.append((url, known_hash))
        (Path(path) / fname).write_bytes(toy.read_bytes())

    monkeypatch.setitem(sys.modules, "pooch", types.SimpleNamespace(retrieve=retrieve))
    assert datasets.fetch("toy")["part/a.csv"].read_bytes() == toy.read_bytes()
    [(url, known_hash)] = calls
    assert url.endswith("/some/where/c0ffee/data/part/a.csv") and url.startswith("https://")
    assert known_hash == "sha256:" + hashlib.sha256(toy.read_bytes()).hexdigest()


@pytest.mark.parametrize("failure", [ConnectionError("no route"), ValueError("hash of downloaded file does not match")])
def test_failed_download_is_one_sentence(toy, monkeypatch, failure):
    def retrieve(*_, **__):
        raise failure

    monkeypatch.setitem(sys.modules, "pooch", types.SimpleNamespace(retrieve=retrieve))
    with pytest.raises(DataError, match=f"could not fetch https://.*{failure}.*{public.MIRROR}"):
        datasets.fetch("toy")


@needs_shared
def test_registry_agrees_with_the_recorded_hashes():
    recorded = {file: h for h, file in map(str.split, (SHARED / "SHA256SUMS").read_text().splitlines())}
    listed = {f"{e['folder']}/{file}": h for e in public.registry().values() for file, h in e["files"].items()}
    assert listed == recorded


@needs_shared
def test_a_tampered_original_is_refused(tmp_path):
    source = SHARED / "chinchilla_epoch" / "svg_extracted_data.csv"
    copy = tmp_path / "mirror" / "chinchilla_epoch" / source.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(source.read_bytes().replace(b"5.005581996196243", b"5.005581996196244"))
    with pytest.raises(DataError, match="differs"):
        datasets.load("chinchilla-epoch", mirror=tmp_path / "mirror")


@needs_shared
def test_public_tables_hold_the_known_values():
    curves = datasets.load("multipowerlaw", mirror=SHARED)
    ends = curves.groupby("run")["loss"].last()
    assert ends["25M-cosine_72000"] == 3.2038 and ends["100M-wsdcon_3"] == 3.0676  # facts: final losses
    assert curves["run"].nunique() == 18 and curves.groupby("run")["held_out"].first().sum() == 12
    mixtures = datasets.load("regmix", mirror=SHARED)
    weights = mixtures.filter(like="weight_")
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert weights.shape == (1024, 17) and mixtures.filter(like="_loss").shape == (1024, 13)
    test = mixtures[mixtures["held_out"]]
    small, large = (test.loc[test["N"] == n, weights.columns].to_numpy() for n in (1e6, 6e7))
    assert (small == large).all()
    ranges = test.groupby("N")["pile_cc_loss"].agg(["min", "max"]).round(2).to_numpy().tolist()
    assert ranges == [[5.13, 6.68], [4.10, 5.62]]  # facts
    points = datasets.load("chinchilla-epoch", mirror=SHARED)
    np.testing.assert_allclose(6 * points["N"] * points["D"], points["flops"])
    worst = points.nlargest(5, "loss")
    assert set(worst["run"]) == set(points.nsmallest(5, "D")["run"]) and worst["D"].max() < 8.2e8
    fit = datasets.card("chinchilla-epoch").numbers
    refit = fit["E"] + fit["A"] * points["N"] ** -fit["alpha"] + fit["B"] * points["D"] ** -fit["beta"]
    assert (points["loss"] - refit).abs().median() < 0.02


# ------------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize("verb", [datasets.load, datasets.card])
def test_unknown_name_suggests_the_nearest(verb):
    with pytest.raises(UnknownName, match="no data set 'tinycp'; did you mean 'tinycpt'") as caught:
        verb("tinycp")
    assert isinstance(caught.value, BayeslawError) and isinstance(caught.value, KeyError)


def test_fetch_of_an_unknown_or_embedded_name_is_refused():
    with pytest.raises(UnknownName, match="did you mean 'regmix'"):
        datasets.fetch("regmx")
    with pytest.raises(UnknownName, match="no fetchable data set 'replay'"):
        datasets.fetch("replay")


def test_the_embedded_archive_is_reproducible():
    """Written without a time stamp, so that building it again gives the same bytes."""
    archive = _embedded("tinycpt-schedules").read_bytes()
    assert archive[4:8] == b"\0\0\0\0" and gzip.decompress(archive).count(b"\n") == 110_501
