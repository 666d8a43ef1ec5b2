"""Input that is wrong, strange or hostile: one sentence of a typed error, or the very same numbers; nothing between."""

import gzip
import io
import json
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import ArgumentError, BayeslawError, DataError, LawError, StoreError
from bayeslaw.tables.runs import Runs, read_runs
from bayeslaw.workflow import Fit

FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(FEW, max_examples=40)
COLUMNS = ["N", "D", "domain_share", "general_loss", "domain_loss"]


def grid() -> pd.DataFrame:
    levels: list[Any] = [[5e8, 2e9], [1e9, 1e10, 1e11], [0.2, 0.5, 0.8], ["code", "law"]]
    table = pd.MultiIndex.from_product(levels, names=["N", "D", "domain_share", "domain"]).to_frame(index=False)
    rng = np.random.default_rng(0)
    return table.assign(general_loss=rng.uniform(2, 3, len(table)), domain_loss=rng.uniform(1, 2, len(table)))


def refused(found: BaseException) -> bool:
    """Whether an error is one sentence that a user can read."""
    text = str(found)
    assert isinstance(found, BayeslawError), repr(found)
    assert "\n" not in text and text.strip() == text and 15 < len(text) < 500, text
    return True


def attempt(table: Any, law: bl.Law = models.dcpt, **columns: Any) -> Runs | None:
    """The runs of a table that a law takes, or None where it is refused in a sentence."""
    try:
        runs = read_runs(table, **columns)
        bl.Model(law, runs)
    except BayeslawError as e:
        assert refused(e)
        return None
    return runs


def cells(runs: Runs) -> set[tuple[Any, ...]]:
    """What was measured, whatever the runs are called."""
    return set(runs.table[[*COLUMNS, "domain"]].itertuples(index=False, name=None))


# ------------------------------------------------------------------------------------------------------------ tables
@FEW
@given(st.permutations(range(36)), st.booleans())
def test_a_permuted_table_is_the_same_design(order, named):
    table = grid()
    if named:
        table["run"] = table[["N", "domain_share", "domain"]].astype(str).agg("-".join, axis="columns")
    one, other = (bl.Model(models.dcpt, read_runs(t), by={"E": "domain"}) for t in (table, table.iloc[list(order)]))
    xr.testing.assert_identical(one.design.rows, other.design.rows)
    np.testing.assert_array_equal(one.design.groups["domain"], other.design.groups["domain"])
    for key, value in one.design.order().items():
        np.testing.assert_array_equal(value, other.design.order()[key])


@FEW
@given(st.lists(st.integers(0, 35), min_size=1, max_size=5), st.booleans())
def test_rows_given_twice_are_refused(again, changed):
    extra = grid().iloc[again]
    if changed:
        extra = extra.assign(general_loss=extra["general_loss"] + 0.1)
    with pytest.raises(DataError, match="measures the same cell as row"):
        read_runs(pd.concat([grid(), extra]))


NUMBER = st.one_of(
    st.floats(width=64),
    st.integers(-(10**20), 10**20),
    st.sampled_from([0, -1, 7, 1e3, 1e9, 33.3, 1e-300, 5e-324, 1e308, np.nan, np.inf, "7B", "1,800", "2,5", "", None]),
    st.booleans(),
    st.text(max_size=5),
)


@MANY
@given(st.sampled_from(COLUMNS), st.integers(0, 35), NUMBER)
def test_one_strange_number_is_refused_or_kept(column, row, value):
    table = grid()
    table[column] = table[column].astype(object)
    table.at[row, column] = value
    runs = attempt(table)
    if runs is not None:
        number = np.nan if value is None or value == "" else float(value)
        kept = runs.table if number > 0 or column != "D" else runs.baseline
        found = kept[column].isna().any() if np.isnan(number) else number in set(kept[column])
        assert found and len(runs) + len(runs.baseline) == 36


@pytest.mark.parametrize(
    ("column", "factor"),
    [("general_loss", 1e300), ("domain_loss", 1e-12), ("N", 1e10), ("N", 1e-9), ("D", 1e-9), ("D", 1e15), ("D", 1e300)],
)
def test_units_that_cannot_be_meant_are_refused(column, factor):
    assert attempt(grid().assign(**{column: grid()[column] * factor})) is None
    mixed = grid()
    mixed.loc[mixed.index % 2 == 0, column] *= factor
    assert attempt(mixed) is None


NAME = st.text(min_size=1, max_size=8) | st.sampled_from(["1", "01", "1.0", "1e0", "nan", "NA", "None", "é", "e\u0301"])


@FEW
@given(NAME, NAME)
def test_names_are_kept_as_they_are_or_refused(one, other):
    """Two names of the table are two groups of the model, whatever they look like; nothing merges, nothing is lost."""
    assume(one != other and "\r" not in one + other)
    table = grid().replace({"domain": {"code": one, "law": other}})
    text = table.to_csv(index=False)
    with_file = []
    for given_table in (table, _written(text)):
        runs = attempt(given_table)
        if runs is not None:
            assert set(runs.table["domain"]) == {one, other} and cells(runs) == cells(read_runs(table))
            with_file.append(runs.hash)
    assert len(set(with_file)) <= 1


def _written(text: str, name: str = "runs.csv", encoding: str = "utf-8") -> Path:
    folder = Path(os.environ["BAYESLAW_TEST_FOLDER"])
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(text.encode(encoding, "surrogatepass" if encoding == "utf-8" else "strict"))
    return path


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BAYESLAW_TEST_FOLDER", str(tmp_path))


@pytest.mark.parametrize("runs", [["1", "01", "1.0", "1e0"], ["NA", "nan", "null", "None"], ["0x1", "1_0", "10", "１"]])
def test_runs_with_names_that_look_like_numbers_stay_apart(runs):
    rows = pd.MultiIndex.from_product([runs[:3], [1e9, 1e10]], names=["id", "D"]).to_frame(index=False)
    rows["N"] = rows["id"].map(dict(zip(runs, [1e8, 5e8, 2e9, 5e9], strict=True)))
    read = read_runs(_written(rows.assign(loss=3.0).to_csv(index=False)), run="id")
    assert set(read.table["run"]) == set(runs[:3]) and read.table["run"].nunique() == 3


def test_labels_that_only_look_alike_are_refused():
    for one, other in (("law", "law "), ("me\u0301d", "m\u00e9d"), ("1", 1), ("a\u00a0b", "a b")):
        table = grid().assign(domain=[one, other] * 18)
        with pytest.raises(DataError, match="two labels that look alike"):
            read_runs(table)


@pytest.mark.parametrize("name", ["row", "eval", "chain", "draw", "measurement", "weight", "source"])
def test_columns_with_names_of_dims_are_refused(name):
    with pytest.raises(DataError, match=f"column '{name}'"):
        read_runs(grid().assign(**{name: 1}))


STRANGE = {
    "dates": {"D": pd.Timestamp("2024-01-01")},
    "complex numbers": {"D": 1e9 + 1j},
    "truth values": {"domain_share": True},
    "hexadecimals": {"D": "0x3B9ACA00"},
    "other digits": {"D": "١٠٠٠"},
    "lists": {"domain": [[1]] * 36},
    "missing integers": {"D": pd.array([None] + [10**9] * 35, dtype="Int64")},
}


@pytest.mark.parametrize("columns", STRANGE.values(), ids=STRANGE)
def test_cells_that_are_no_numbers_are_refused(columns):
    assert attempt(grid().assign(**columns)) is None


def test_labels_may_hold_anything():
    odd: dict[str, Any] = {
        "note": [[1], {"a": 1}, None, "x\ny"] * 9,
        "when": pd.Timestamp("2024-01-01"),
        "held": [True, False] * 18,
    }
    assert attempt(grid().assign(**odd).astype({"domain": "category", "N": "Int64"})) is not None


@pytest.mark.parametrize("mapping", [{"N": ["N"]}, {"N": 5}, {"loss": 5}, {"loss": ["a"]}, {"loss": {}}])
@pytest.mark.parametrize("loss", [None, {1: "general_loss"}, {None: "general_loss"}, {"": "general_loss"}])
def test_mappings_that_are_none_are_refused(mapping, loss):
    assert attempt(grid(), **({"loss": loss} | mapping)) is None


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("law", [models.dcpt, models.chinchilla, models.regmix], ids=lambda law: law.name)
def test_tables_of_no_row_or_one(rows, law, table_for):
    table = table_for(law).iloc[:rows]
    runs = attempt(table, law)
    if rows == 0 or law is not models.regmix:
        assert runs is None
    else:  # a mixture law has its priors
        assert runs is not None
        assert np.isfinite(bl.Model(law, runs).fit(method="mle").posterior["sigma"]).all()


# ------------------------------------------------------------------------------------------------------------- files
PLAIN = grid().round(6).to_csv(index=False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_spreadsheets_are_read_as_they_are(separator, encoding):
    path = _written(PLAIN.replace(",", separator), encoding=encoding)
    assert read_runs(path).hash == read_runs(grid().round(6)).hash


SPREADSHEETS = {
    "decimal commas": ("N;D;loss\n1e9;1e10;2,5\n", "'2,5'"),
    "thousands": ('N,D,loss\n"1,000,000,000",1e10,2.5\n', "'1,000,000,000'"),
    "thousands in points": ("N;D;loss\n1.000.000.000;1e10;2.5\n", "'1.000.000.000'"),
    "thousands without quotes": ("N,D,loss\n1,800,1e10,2.5\n", "more cells than its header"),
    "a comma at the end": ("N,D,loss\n1e9,1e10,2.5,\n2e9,1e10,2.4,\n", "more cells than its header"),
    "a column twice": ("N,D,loss,loss\n1e9,1e10,2.5,2.6\n", "'loss' twice"),
    "an open quote": ('N,D,loss\n1e9,1e10,"2.5\n2e9,1e10,2.4\n', "cannot read"),
    "percent": ("N,D,domain_share,loss\n1e9,1e10,50%,2.5\n", "'50%'"),
    "overflow": ("N,D,loss\n1e9,1e999,2.5\n", "infinite"),
    "only a header": ("N;D;loss\n", "no rows"),
}


@pytest.mark.parametrize(("text", "words"), SPREADSHEETS.values(), ids=SPREADSHEETS)
def test_spreadsheets_that_need_guessing_are_refused(text, words):
    with pytest.raises(DataError) as caught:
        read_runs(_written(text))
    assert refused(caught.value) and words in str(caught.value)


@FEW
@given(st.integers(0, len(PLAIN) - 1))
def test_a_truncated_table_is_refused_or_a_part_of_it(end):
    """Only the number at the very end may be cut; the rows before it are those of the table."""
    runs = attempt(_written(PLAIN[:end]))
    if runs is not None:
        assert len(cells(runs) - cells(read_runs(grid().round(6)))) <= 1


@FEW
@given(st.binary(max_size=200), st.sampled_from(["csv", "csv.gz", "parquet", "tsv", "xlsx", "PARQUET"]))
def test_bytes_are_no_table(content, suffix):
    path = _written("", f"bytes.{suffix}")
    path.write_bytes(gzip.compress(content) if suffix == "csv.gz" and len(content) % 2 else content)
    assert attempt(path) is None


def test_parquet_is_read_like_csv_and_refused_when_cut():
    buffer = io.BytesIO()
    grid().to_parquet(buffer)
    path = _written("", "runs.parquet")
    path.write_bytes(buffer.getvalue())
    assert read_runs(path).hash == read_runs(grid()).hash
    path.write_bytes(buffer.getvalue()[:-20])
    assert attempt(path) is None


@pytest.mark.parametrize("path", ["a\0b.csv", "x" * 5000, ".", "", "http://example.org/runs.csv", "nowhere/runs.csv"])
def test_paths_that_are_none_are_refused(path):
    assert attempt(path) is None
    with pytest.raises(StoreError) as caught:
        bl.load(path)
    assert refused(caught.value)


# -------------------------------------------------------------------------------------------------------------- fits
@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fit, bytes]:
    """A fit with odd labels and priors of its own, without sampling; and its file."""
    rng = np.random.default_rng(0)
    labels: dict[str, Any] = {"note": ["", "ä", None] * 12, "held": [True, False] * 18, "half": [0.5, None] * 18}
    odd = grid().assign(**labels, count=range(36))
    noise = bl.Noise(robust=True, sigma=bl.positive(0.02, spread=0.5))
    runs = replace(read_runs(odd), note="shares were divided")
    model = bl.Model(models.dcpt, runs, by={"E": "domain"}, priors={"alpha": bl.positive(0.4, 0.2)}, noise=noise)
    coords: dict[str, Any] = {"chain": [0, 1], "draw": range(15), "eval": model.design.evals}
    draws: dict[str, Any] = {}
    for name, prior in model.coefficient_priors.items():
        dims = {**coords, **{d: model.design.groups[d] for d in prior.dims or () if d in model.design.groups}}
        draws[name] = xr.DataArray(rng.uniform(0.1, 1.0, [len(v) for v in dims.values()]), dims)
    for name in ("E_mu", "E_sigma", "sigma"):
        draws[name] = xr.DataArray(rng.uniform(0.01, 0.1, [len(v) for v in coords.values()]), coords)
    for name in ("run_weight", "correlation_length", "eval_correlation"):
        draws[name] = xr.DataArray(rng.uniform(0.1, 0.4, (2, 15)), {k: coords[k] for k in ("chain", "draw")})
    fit = Fit(model, xr.DataTree.from_dict({"posterior": xr.Dataset(draws)}), {"method": "stand-in", "seed": 1}, 1.0)
    path = fit.save(tmp_path_factory.mktemp("fits") / "fit.nc")
    return fit, path.read_bytes()


def test_nothing_of_a_fit_is_lost_in_its_file(stored, tmp_path):
    fit, content = stored
    (path := tmp_path / "fit.nc").write_bytes(content)
    back = bl.load(path)
    pd.testing.assert_frame_equal(back.model.runs.table, fit.model.runs.table)
    assert (back.model.runs.note, back.model.runs.hash) == (fit.model.runs.note, fit.model.runs.hash)
    assert back.model.noise.sigma.parameters == fit.model.noise.sigma.parameters
    assert back.model.table().equals(fit.model.table()) and repr(back.model) == repr(fit.model)
    assert back.posterior.equals(fit.posterior) and back.settings == fit.settings
    assert back.save(path) == path and bl.load(path).posterior.equals(fit.posterior)


@MANY
@given(st.integers(0, 10**9), st.integers(1, 255))
def test_a_damaged_file_is_refused(stored, place, change):
    fit, content = stored
    damaged = bytearray(content)
    damaged[place % len(content)] ^= change
    (path := _written("", "damaged.nc")).write_bytes(damaged)
    try:
        back = bl.load(path)
    except StoreError as e:
        assert refused(e)
    else:  # damage to the seal's own name only: the file counts as an older one, its numbers are whole
        assert back.posterior.equals(fit.posterior) and back.model.runs.hash == fit.model.runs.hash


def test_damage_is_said(stored):
    damaged = bytearray(stored[1])
    damaged[len(damaged) // 2] ^= 1
    (path := _written("", "damaged.nc")).write_bytes(damaged)
    with pytest.raises(StoreError, match="was damaged after fit.save wrote it: restore a copy, or fit again"):
        bl.load(path)


@FEW
@given(st.integers(0, 10**9))
def test_a_truncated_file_is_refused(stored, end):
    (path := _written("", "cut.nc")).write_bytes(stored[1][: end % (len(stored[1]) - 82)])
    with pytest.raises(StoreError) as caught:
        bl.load(path)
    assert refused(caught.value)


class Payload:
    """What a hostile pickle would do."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("owned",)


RECIPES: dict[str, Any] = {
    "no text": 7,
    "no JSON": "{",
    "a list": "[1]",
    "empty": "{}",
    "without pooling": ("by", None),
    "an unknown law": ("law", "__import__('os')"),
    "no law": ("law", ["dcpt"]),
    "an unknown coefficient": ("by", {"x": "domain"}),
    "a word for a reference": ("reference", {"N": "__import__('os')"}),
    "a distribution that is none": ("priors", {"alpha": {"dist": "save", "kwargs": {}}}),
    "a module as a distribution": ("priors", {"alpha": {"dist": "sampling", "kwargs": {}}}),
    "a transform that is code": ("priors", {"alpha": {"dist": "Normal", "transform": "__builtins__"}}),
    "code in a prior": ("priors", {"alpha": {"dist": "Normal", "kwargs": {"mu": {"class": "os.system"}}}}),
    "an unknown error model": ("noise", {"magic": True}),
    "other validation sets": ("evals", ["a", "b"]),
    "seconds that are words": ("seconds", "soon"),
}


@pytest.mark.parametrize("change", RECIPES.values(), ids=RECIPES)
def test_a_recipe_that_is_none_is_refused(stored, change, tmp_path, monkeypatch):
    """Whoever can write a file can seal it: what it says is checked, and nothing in it is run."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "fit.nc"
    path.write_bytes(stored[1].rpartition(b"\nbayeslaw sha-256 ")[0])
    with h5py.File(path, "a") as file:
        if isinstance(change, tuple):
            change = json.dumps(json.loads(file.attrs["bayeslaw"]) | {change[0]: change[1]})
        file.attrs["bayeslaw"] = change
    with pytest.raises(BayeslawError) as caught:
        bl.load(path)
    assert refused(caught.value) and [p.name for p in tmp_path.iterdir()] == ["fit.nc"]


def test_foreign_files_are_refused_and_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {"pickle.nc": pickle.dumps(Payload()), "text.nc": b"import os", "hdf.nc": b"", "other.nc": b""}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with h5py.File(tmp_path / "hdf.nc", "w") as file:
        file["x"] = np.void(pickle.dumps(Payload()))
    xr.DataTree.from_dict({"posterior": xr.Dataset({"mu": (("chain", "draw"), np.ones((2, 3)))})}).to_netcdf(
        tmp_path / "other.nc", engine="h5netcdf"
    )
    for name in files:
        with pytest.raises(StoreError) as caught:
            bl.load(name)
        assert refused(caught.value) and not (tmp_path / "owned").exists()
    with pytest.raises(ArgumentError, match="law is 'dcpt': give a Law"):
        bl.load("other.nc", law="dcpt")  # type: ignore[arg-type]


def test_a_fit_without_its_draws_is_refused(stored, tmp_path):
    path = tmp_path / "fit.nc"
    for group in ("posterior", "posterior/gamma", "runs", "baseline", "runs/N"):
        path.write_bytes(stored[1].rpartition(b"\nbayeslaw sha-256 ")[0])
        with h5py.File(path, "a") as file:
            del file[group]
        with pytest.raises(StoreError, match="incomplete"):
            bl.load(path)


def test_a_domain_that_looks_like_a_number_is_that_domain(stored):
    fit, _ = stored
    table = fit.model.runs.table.replace({"domain": {"code": "7", "law": "07"}})
    model = bl.Model(models.dcpt, Runs(table, fit.model.runs.evals, fit.model.runs.baseline), by={"E": "domain"})
    named = fit.posterior.assign_coords(domain=["7" if d == "code" else "07" for d in fit.posterior["domain"].values])
    seven = Fit(model, xr.DataTree.from_dict({"posterior": named}))
    where: dict[str, Any] = {"N": 1e9, "D": 1e10, "domain_share": 0.5}
    np.testing.assert_array_equal(seven.predict(domain=7, **where).draws, fit.predict(domain="code", **where).draws)


# -------------------------------------------------------------------------------------------------------------- laws
def declared(function: Any = None, **changed: Any) -> bl.Law:
    """A small law, with something else in its declaration."""
    constant = bl.Coefficient(bl.positive(2.0, spread=0.5), "nats", "floor", "guess")
    card: dict[str, Any] = {
        "title": "A law",
        "source": "none",
        "equation": "L = E",
        "covariates": {"N": bl.Covariate("parameters", "size")},
        "coefficients": {"E": constant},
    }
    if name := changed.pop("called", None):
        card["coefficients"] = {"E": constant, name: constant}
    return bl.Law(function=function or (lambda N, /, *, E: E + 0 * N), **(card | changed))


LAWS: dict[str, Any] = {
    "no function": lambda: declared(7),
    "a class instance": lambda: declared(declared()),
    "a default argument": lambda: declared(lambda N, x=1, /, *, E: E),
    "star arguments": lambda: declared(lambda N, /, *rest, E: E),
    "coefficients by position": lambda: declared(lambda N, E: E),
    "a number for a prior": lambda: bl.Coefficient(0.3, "", "", ""),  # type: ignore[arg-type]
    "no spread between groups": lambda: bl.Coefficient(bl.positive(1, 1), "", "", "", between=0),
    "a covariate that is text": lambda: declared(covariates={"N": "parameters"}),
    "a coefficient that is a prior": lambda: declared(coefficients={"E": bl.positive(1, 1)}),
    "a reference of 0": lambda: bl.Covariate("", "", reference=0),
    "an empty range": lambda: bl.Covariate("", "", valid=(1.0, 1.0)),
    "an unknown covariate": lambda: declared(falls_in=("D",)),
}


@pytest.mark.parametrize("make", LAWS.values(), ids=LAWS)
def test_a_law_that_is_none_is_refused(make):
    with pytest.raises(BayeslawError) as caught:
        make()
    assert refused(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        lambda N, /, *, E: missing + E,  # type: ignore[name-defined]  # noqa: F821
        lambda N, /, *, E: np.exp(E) * N,
        lambda N, /, *, E: E + N.sort(),
    ],
    ids=["an unknown name", "a function of NumPy", "an unknown method"],
)
def test_a_law_that_cannot_be_evaluated_says_so(body):
    model = bl.Model(declared(body), read_runs(grid()[["N", "D", "general_loss"]].drop_duplicates(["N", "D"])))
    with pytest.raises(BayeslawError) as caught:
        assert model.pymc_model is None
    assert refused(caught.value) and "functions of bayeslaw.declare" in str(caught.value)


NOISE = bl.Noise(correlated=True, joint=True).priors(2)


@pytest.mark.parametrize("name", [*NOISE, "chain", "eval", "source", "loss", "shape", "E_mu", "E_sigma", "E_paper"])
def test_a_coefficient_with_the_name_of_something_else_is_refused(name):
    functions: dict[str, Any] = {}
    exec(f"def law(N, /, *, E, {name}): return E + {name}", functions)  # names of keywords cannot be made otherwise
    with pytest.raises(LawError, match=f"the coefficient {name} has the name of"):
        declared(functions["law"], called=name)


def test_a_coefficient_with_the_name_of_a_column_is_refused():
    derived = bl.Covariate("", "", derive=lambda D: D)
    with pytest.raises(LawError, match="the coefficient D has the name of a column"):
        declared(lambda x, /, *, E, D: E, called="D", covariates={"x": derived})


# ------------------------------------------------------------------------------------------------------ command line
@pytest.mark.parametrize("prob", ["0", "1", "89", "-0.1", "nan"])
def test_a_probability_is_checked_before_anything_is_read(prob, monkeypatch, capsys):
    from bayeslaw.cli import app, deciding

    monkeypatch.setattr(deciding, "load_fit", lambda _: pytest.fail("the fit was read"))
    with pytest.raises(SystemExit) as left:
        app(["decide", "critical-ratio", "fit.nc", "--D", "1e10", f"--prob={prob}"])
    assert left.value.code == 2 and capsys.readouterr().err.startswith(f"bayeslaw: --prob is {float(prob):g}: give")
