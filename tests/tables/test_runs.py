"""Tables in: what is accepted, and the one sentence for everything that is not."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import ArgumentError, BayeslawError, DataError, UnknownName
from bayeslaw.spec.design import Design
from bayeslaw.tables.runs import Runs, read_runs


def grid() -> pd.DataFrame:
    cells = pd.MultiIndex.from_product(
        [[5e8, 2e9], [1e9, 1e10, 1e11], [0.2, 0.5, 0.8], ["code", "law"]], names=["N", "D", "domain_share", "domain"]
    )
    table = cells.to_frame(index=False)
    rng = np.random.default_rng(0)
    return table.assign(general_loss=rng.uniform(2, 3, len(table)), domain_loss=rng.uniform(1, 2, len(table)))


def put(column, row, value):
    def spoil(table):
        table[column] = table[column].astype(object)
        table.loc[row, column] = value
        return table

    return spoil


def named() -> pd.DataFrame:
    return read_runs(grid()).table


def model(table, law=models.dcpt, **settings):
    return bl.Model(law, read_runs(table), **settings)


def sentence(error: BaseException) -> str:
    text = str(error)
    assert isinstance(error, BayeslawError)
    assert text == text.strip() and "\n" not in text and 20 < len(text) < 400, text
    return text


# ------------------------------------------------------------------------------------------------------- what is read
@pytest.mark.parametrize(
    ("name", "law", "rows", "baseline"),
    [("tinycpt", models.dcpt, 1013, 51), ("dcpt-table5", models.dcpt, 7, 0), ("replay", models.dcpt, 14, 2)],
)
def test_data_sets_need_no_mapping(name, law, rows, baseline):
    runs = read_runs(bl.datasets.load(name))
    assert runs.evals == ("general", "domain")
    assert (len(runs), len(runs.baseline)) == (rows, baseline)
    design = Design.of(law, runs, law.reference(), (), include_outside=True, roles={})
    assert len(design.log_loss) == 2 * rows
    assert design.measured.all()


def test_a_mapping_gives_the_same_runs_as_canonical_names():
    table = grid()
    renamed = table.rename(
        columns={"N": "params", "D": "tokens", "domain_share": "ratio", "general_loss": "g", "domain_loss": "d"}
    )
    mapped = read_runs(renamed, N="params", D="tokens", domain_share="ratio", loss={"general": "g", "domain": "d"})
    pd.testing.assert_frame_equal(mapped.table, read_runs(table).table)
    assert mapped.hash == read_runs(table).hash


def test_a_mapped_column_takes_the_place_of_a_namesake():
    table = grid().assign(general=3.0, loss_g=2.5)
    runs = read_runs(table.assign(n=3 * table["N"]), N="n", loss={"general": "loss_g"})
    assert set(runs.table["N"]) == {1.5e9, 6e9}
    assert set(runs.table["general_loss"]) == {2.5}


def test_columns_may_change_places():
    table = grid().rename(columns={"N": "D", "D": "N"})
    pd.testing.assert_frame_equal(read_runs(table, N="D", D="N").table, read_runs(grid()).table)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_files_are_read_like_frames(tmp_path, suffix):
    path = tmp_path / f"runs{suffix}"
    grid().to_csv(path, index=False)
    assert read_runs(path).hash == read_runs(str(path)).hash == read_runs(grid()).hash


def test_spreadsheet_csv_with_byte_order_mark_and_blanks(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("N, D, loss\n1e9, 1e10, 2.5\n2e9, 1e10, 2.4\n", encoding="utf-8-sig")
    runs = read_runs(path)
    assert runs.evals == ("validation",)
    assert list(runs.table.columns) == ["run", "N", "D", "validation_loss"]


def test_the_table_given_is_left_alone():
    table = grid()
    before = table.copy(deep=True)
    read_runs(table)
    pd.testing.assert_frame_equal(table, before)


def test_rows_that_share_everything_but_tokens_are_one_run():
    runs = read_runs(grid())
    assert runs.table["run"].nunique() == 2 * 3 * 2
    assert (runs.table.groupby("run")[["N", "domain_share", "domain"]].nunique() == 1).all(axis=None)


def test_baseline_rows_are_kept_apart():
    table = pd.concat([grid(), grid().query("D == 1e9").assign(D=0.0)], ignore_index=True)
    runs = read_runs(table)
    assert (runs.table["D"] > 0).all() and len(runs) == len(grid())
    assert (runs.baseline["D"] == 0).all() and len(runs.baseline) == 12
    assert runs.select(runs.table["N"] == 5e8).baseline is runs.baseline
    assert "baseline" in repr(runs) and "12 rows" in repr(runs)


def test_dataset_has_rows_and_validation_sets():
    runs = read_runs(grid())
    assert runs.dataset["loss"].dims == ("row", "eval")
    assert list(runs.dataset["eval"].values) == ["general", "domain"]
    np.testing.assert_array_equal(runs.dataset["loss"].sel(eval="domain"), grid()["domain_loss"])


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(36)), st.booleans())
def test_the_order_of_the_rows_does_not_matter(order, named):
    table = grid()
    if named:
        table["run"] = table[["N", "domain_share", "domain"]].astype(str).agg(" ".join, axis=1)
    first, second = read_runs(table), read_runs(table.iloc[list(order)])

    def sorted_hash(runs: Runs) -> str:
        by = ["run", "D"] if named else ["N", "D", "domain_share", "domain"]
        rows = runs.table.sort_values(by).reset_index(drop=True)
        return Runs(rows if named else rows.drop(columns="run"), runs.evals, runs.baseline).hash

    assert sorted_hash(first) == sorted_hash(second)
    a, b = (
        Design.of(models.dcpt, r, models.dcpt.reference(), ("domain",), include_outside=False, roles={})
        for r in (first, second)
    )
    if named:
        np.testing.assert_array_equal(a.log_loss, b.log_loss)
    np.testing.assert_array_equal(np.sort(a.log_loss), np.sort(b.log_loss))
    assert a.on_grid == b.on_grid


# -------------------------------------------------------------------------------------------------- what is turned away
CELLS = {
    "word for a number": (put("N", 3, "large"), ("N", "'large'", "row 3", "not a number")),
    "missing number": (put("D", 4, None), ("D", "row 4", "missing", "leave the row out")),
    "missing loss": (put(["general_loss", "domain_loss"], 5, np.nan), ("every loss", "row 5", "missing")),
    "missing only loss": (
        lambda t: put("general_loss", 5, np.nan)(t.drop(columns="domain_loss")),
        ("general_loss", "row 5", "missing", "leave the row out"),
    ),
    "loss as a word": (put("domain_loss", 2, "diverged"), ("domain_loss", "'diverged'", "row 2", "correct it")),
    "negative loss": (put("domain_loss", 7, -1.5), ("domain_loss", "-1.5", "row 7", "above 0")),
    "loss of zero": (put("domain_loss", 7, 0), ("domain_loss", "row 7", "above 0")),
    "infinite loss": (put("general_loss", 6, np.inf), ("general_loss", "infinite", "row 6", "leave")),
    "share below 0": (put("domain_share", 2, -0.1), ("domain_share", "-0.1", "row 2", "[0, 1]", "correct")),
    "share in percent": (put("domain_share", 2, 33.3), ("domain_share", "33.3", "row 2", "divide", "100")),
    "share far off": (put("domain_share", 2, 1e6), ("domain_share", "row 2", "correct")),
    "N in billions": (put("N", 1, 1.8), ("N", "1.8", "row 1", "parameters", "1e9")),
    "D in billions": (put("D", 9, 20), ("D", "20", "row 9", "tokens", "1e9")),
    "U in billions": (lambda t: t.assign(U=2.0), ("U", "2", "row 0", "unique tokens", "1e9")),
    "no unique tokens": (lambda t: t.assign(U=0.0), ("U", "0", "row 0", "unique tokens")),
    "N of zero": (put("N", 2, 0), ("N", "row 2", "above 0")),
    "negative D": (put("D", 2, -1e9), ("D", "row 2", "above 0")),
    "missing label": (put("domain", 8, None), ("domain", "row 8", "name it")),
    "no rows": (lambda t: t.iloc[:0], ("no rows",)),
    "no loss": (lambda t: t.drop(columns=["general_loss", "domain_loss"]), ("loss", "loss=", "domain_share")),
    "same cell twice": (
        lambda t: pd.concat([t, t.iloc[[4]]]),
        ("row 4 (position 36, counted from 0)", "row 4 (counted from 0)", "leave one out", "map", "run column"),
    ),
    "all before training": (
        lambda t: t.drop_duplicates(["N", "domain_share", "domain"]).assign(D=0),
        ("every row", "D = 0"),
    ),
    "column twice": (lambda t: pd.concat([t, t[["N"]]], axis=1), ("'N'", "twice", "rename")),
}


@pytest.mark.parametrize(("spoil", "words"), CELLS.values(), ids=CELLS)
def test_bad_tables_end_in_one_sentence(spoil, words, tmp_path):
    with pytest.raises(DataError) as caught:
        read_runs(spoil(grid()))
    for word in words:
        assert word in sentence(caught.value)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"N": "parms"}, ("column for N", "'parms'", "known", "domain_share")),
        ({"D": "domain_shar"}, ("did you mean 'domain_share'",)),
        ({"loss": "general_los"}, ("loss", "did you mean 'general_loss'")),
        ({"loss": {"general": "nope", "domain": "domain_loss"}}, ("loss", "'nope'")),
        ({"loss": {"general": "general_loss", "domain": "general_loss"}}, ("general_loss", "twice")),
        ({"N": "D", "step": "D"}, ("'D'", "twice")),
    ],
)
def test_bad_mappings_end_in_one_sentence(mapping, words):
    with pytest.raises(BayeslawError) as caught:
        read_runs(grid(), **mapping)
    for word in words:
        assert word in sentence(caught.value)


FILES = {
    "empty.csv": b"",
    "blank.csv": b"\n\n",
    "picture.csv": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)),
    "zeros.csv": bytes(300),
    "ragged.csv": b"N,D,loss\n1e9,1e10,2.5\n1e9,1e10,2.5,7,8\n",
    "header.csv": b"N,D,loss\n",
    "latin.csv": "N,D,loss,domain\n1e9,1e10,2.5,médical\n".encode("latin-1"),
    "plain.csv.gz": b"N,D,loss\n1e9,1e10,2.5\n",
    "cut.csv.gz": gzip.compress(b"N,D,loss\n1e9,1e10,2.5\n" * 100)[:-12],
    "broken.csv.gz": gzip.compress(b"N,D,loss\n1e9,1e10,2.5\n" * 100)[:30] + b"\xff" * 60,
    "text.parquet": b"N,D,loss\n1e9,1e10,2.5\n",
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files_end_in_one_sentence(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(FILES[name])
    with pytest.raises(DataError) as caught:
        read_runs(path)
    assert sentence(caught.value).isprintable()


@pytest.mark.parametrize("name", ["nowhere.csv", "."])
def test_a_missing_file_is_named(name, tmp_path):
    with pytest.raises(DataError, match="no file.*check the path"):
        read_runs(tmp_path / name)


def test_something_that_is_no_table_is_refused():
    with pytest.raises(ArgumentError, match="table is .1, 2, 3.: give a pandas DataFrame .* or a path to CSV"):
        read_runs([1, 2, 3])  # type: ignore[arg-type]


def test_unnamed_columns_are_labels():
    assert "7" in read_runs(grid().assign(**{"x": 1}).rename(columns={"x": 7})).table


def test_labels_are_listed_or_counted():
    table, letters = grid(), "abcdefghijkl"
    few = repr(read_runs(table.assign(family=[letters[i % 2] for i in range(len(table))])))
    assert "family           a, b\n" in few
    many = repr(read_runs(table.assign(family=[letters[i % 12] for i in range(len(table))])))
    assert "family           12 labels\n" in many


# ---------------------------------------------------------------------------------- what does not fit the law asked for
MODELS = {
    "missing column": (lambda: model(named().drop(columns="N")), ("dcpt", "'N'", "read_runs(..., N=")),
    "missing share": (lambda: model(named().drop(columns="domain_share")), ("'domain_share'", "map it")),
    "unknown validation set": (
        lambda: model(grid().rename(columns={"domain_loss": "code_loss"})),
        ("dcpt", "roles={'code'", "--role code=", "each general or domain"),
    ),
    "unnamed validation set": (
        lambda: model(grid().rename(columns={"domain_loss": "loss"})),
        ("dcpt", "'validation'", "each general or domain"),
    ),
    "unknown coefficient in by": (lambda: model(grid(), by={"alhpa": "domain"}), ("by=", "did you mean 'alpha'")),
    "unknown coefficient in priors": (
        lambda: model(grid(), priors={"gama": bl.positive(1, 1)}), ("priors=", "'gama'", "did you mean 'gamma'"),
    ),
    "unknown pooling column": (lambda: model(grid(), by={"E": "domian"}), ("pool", "did you mean 'domain'")),
    "pooling over a loss": (lambda: model(grid(), by={"E": "domain_loss"}), ("pool", "'domain_loss'")),
    "pooling over gaps": (
        lambda: model(grid().assign(lab=pd.Series(["a", None, "b"] * 12)), by={"E": "lab"}),
        ("lab", "missing", "row 1 (counted from 0) of runs.table"),
    ),
    "single run": (
        lambda: model(grid().query("N == 5e8 & domain_share == 0.2 & domain == 'law'")),
        ("single run", "add runs"),
    ),
    "two rows of a run at the same tokens": (
        lambda: model(grid().assign(run=grid()["domain"], step=range(36))),
        ("run 'code'", "D 1e9", "twice", "row 2", "different names"),
    ),
    "nothing in range": (
        lambda: model(grid().assign(domain_share=grid()["domain_share"] / 10).drop(columns="general_loss")),
        ("dcpt", "0.1 to 1", "outside='include'"),
    ),
    "unknown covariate": (lambda: model(grid(), reference={"n": 1e6}), ("covariate", "'n'", "known: N, D")),
    "reference of zero": (lambda: model(grid(), reference={"N": 0}), ("reference of N", "above 0")),
    "unknown shape prior": (lambda: model(grid(), monotone="obsreved"), ("did you mean 'observed'",)),
    "no shape condition": (lambda: model(grid(), models.chinchilla, monotone="paper"), ("chinchilla", "'observed'")),
    "unknown outside": (lambda: model(grid(), outside="exclud"), ("did you mean 'exclude'",)),
    "no law": (lambda: model(grid(), "dcpt"), ("'dcpt'", "bayeslaw.models")),
}  # fmt: skip


@pytest.mark.parametrize(("build", "words"), MODELS.values(), ids=MODELS)
def test_runs_that_do_not_fit_the_law_end_in_one_sentence(build, words):
    with pytest.raises(BayeslawError) as caught:
        build()
    for word in words:
        assert word in sentence(caught.value)


def test_an_unknown_data_set_is_refused():
    with pytest.raises(UnknownName, match="did you mean 'tinycpt'"):
        bl.datasets.load("tinycp")


# ------------------------------------------------------------------------------------------------- known errors
def test_known_errors_are_read_beside_their_losses():
    table = pd.DataFrame({"N": [1e8, 2e8], "D": 1e9, "loss": [3.0, 2.8], "loss_sd": [0.01, 0.0]})
    runs = bl.read_runs(table)
    assert list(runs.table["validation_loss_sd"]) == [0.01, 0.0] and "loss_sd" in runs.dataset
    assert runs.dataset["loss_sd"].dims == ("row", "eval") and "known errors" in repr(runs)
    two = table.rename(columns={"loss": "code_loss", "loss_sd": "spread"}).assign(web_loss=[3.1, 3.0])
    named = bl.read_runs(two, loss_sd={"code": "spread"})
    assert named.dataset["loss_sd"].values.tolist() == [[0.01, 0.0], [0.0, 0.0]]
    assert "loss_sd" not in bl.read_runs(two).dataset


@pytest.mark.parametrize(
    ("sd", "settings", "sentence"),
    [
        (
            [0.1, -0.1],
            {},
            "loss_sd is -0.1 in row 1 \\(counted from 0\\): the standard deviation of a loss lies between 0",
        ),
        ([0.1, 2.0], {}, "loss_sd is 2 in row 1"),
        ([0.1, None], {}, "loss_sd is missing in row 1"),
        ([0.1, 0.1], {"loss_sd": "sd"}, "loss_sd: .*column 'sd'"),
        ([0.1, 0.1], {"loss_sd": {"code": "loss_sd"}}, "loss_sd: .*validation set 'code'"),
    ],
)
def test_impossible_known_errors_are_refused(sd, settings, sentence):
    table = pd.DataFrame({"N": [1e8, 2e8], "D": 1e9, "loss": [3.0, 2.8], "loss_sd": sd})
    with pytest.raises(DataError, match=sentence):
        bl.read_runs(table, **settings)


def test_a_column_that_gives_way_is_noted():
    runs = bl.read_runs(pd.DataFrame({"N": ["a", "b"], "params": [1e8, 1e9], "D": 1e9, "loss": [3.0, 2.8]}), N="params")
    assert runs.note == "params replaces the table's own column N; no run column: 2 runs, distinguished by N"


def test_rows_of_one_run_that_nothing_orders_are_refused():
    table = pd.DataFrame({"run": "a", "step": [1, 2], "weight_web": 0.5, "weight_code": 0.5, "loss": [3.0, 2.8]})
    with pytest.raises(DataError, match="run 'a' is measured more than once, and there is no column 'D'"):
        bl.Model(models.regmix, bl.read_runs(table))


def test_losses_above_a_guess_at_random_are_noted():
    table = grid()
    table.loc[:2, "general_loss"] = [17.7, 12.1, 30.0]
    note = read_runs(table).note
    assert "general_loss is above 12 nats in 3 rows" in note and "give unit='perplexity'" in note
    assert "above 12 nats" not in read_runs(grid()).note
    assert "above 12 nats" not in read_runs(table, unit={"general": "perplexity"}).note


def test_a_gap_in_a_column_that_the_law_may_not_need_says_to_drop_it():
    table = grid().assign(lr=3e-4)
    table.loc[4, "lr"] = np.nan
    with pytest.raises(DataError, match="lr is missing in row 4.*fill it in or leave the row out, or drop the column"):
        read_runs(table)
    assert len(read_runs(table.drop(columns="lr"))) == len(table)
    with pytest.raises(DataError, match="loss is missing in row 0 .*leave the row out$"):
        read_runs(grid().drop(columns="domain_loss").assign(general_loss=[np.nan] + [2.5] * 35))


def test_a_model_before_training_needs_no_numbers_of_the_training(tmp_path):
    """Its row at D = 0 has the loss and the size; a share, a rate or unique tokens it has none."""
    table = grid().assign(lr=3e-4, U=1e9)
    known = ["N", "domain", "general_loss", "domain_loss"]
    start = table[known].drop_duplicates(["N", "domain"]).assign(D=0.0, run=lambda t: t.index)
    both = pd.concat([start, table.assign(run="a" + table.index.astype(str))], ignore_index=True)
    both.to_csv(tmp_path / "runs.csv", index=False)
    for runs in (read_runs(both), read_runs(tmp_path / "runs.csv")):
        assert len(runs.baseline) == len(start) and runs.baseline[["domain_share", "lr", "U"]].isna().all(axis=None)
        assert runs.table.drop(columns="run").equals(read_runs(table).table.drop(columns="run"))
    later = both.assign(domain_share=both["domain_share"].where(both.index != len(start)))
    with pytest.raises(DataError, match=f"domain_share is missing in row {len(start)} "):
        read_runs(later)
    with pytest.raises(DataError, match="U is missing in row .*where no token is repeated, as many as D will do"):
        read_runs(both.assign(U=both["U"].where(both.index != len(start) + 1)))


def test_a_cell_that_is_measured_twice_is_written_like_other_places():
    table = pd.DataFrame({"run": "a", "N": 7e7, "D": [7e7, 7e7], "loss": [2.0, 2.1]})
    with pytest.raises(DataError, match="the run a, D 70 M"):
        read_runs(table)
