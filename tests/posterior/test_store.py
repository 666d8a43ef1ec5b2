"""A fit and its file: nothing is lost on the way, on a full disk either, and a stranger's file does no harm."""

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.cli import app
from bayeslaw.errors import DataError, StoreError
from bayeslaw.posterior.store import expected_size
from bayeslaw.tables.runs import Runs
from bayeslaw.workflow import Fit

ROOT = Path(__file__).parents[2]
Usage = namedtuple("Usage", "total used free")
"""What `shutil.disk_usage` says."""
CONVERGENCE = "ignore:.*the fit did not converge:UserWarning"
"""Few draws are enough here; that `bl.compare` says so is tested in validation."""


def domains() -> pd.DataFrame:
    """Runs of two domains without rows at D = 0, and labels of every kind."""
    rows = pd.MultiIndex.from_product(
        [["code", "law"], [2e8, 1e9], [0.2, 0.5, 0.8], [1e9, 1e10]], names=["domain", "N", "domain_share", "D"]
    ).to_frame(index=False)
    rows["run"] = rows["domain"] + rows["N"].astype(str) + rows["domain_share"].astype(str)
    noise = 1 + 0.003 * ((rows.index * 7) % 5 - 2)
    rows["general_loss"] = noise * (2.0 + 0.2 * rows["domain_share"] + 0.3 * (rows["N"] / 1e9) ** -0.3)
    rows["domain_loss"] = noise * (2.2 - 0.3 * rows["domain_share"] + 0.1 * (rows["D"] / 1e10) ** -0.3)
    number = np.arange(len(rows))
    rows["seed"], rows["kept"], rows["note"] = number % 3, number % 2 == 0, ["=1+1" if n % 4 else None for n in number]
    rows["day"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(number, "D")
    rows["machine"] = pd.Categorical(np.where(number % 2, "a", "b"))
    rows["half"] = np.where(number % 2, 0.5, np.nan)
    rows["empty"] = None
    return rows


@pytest.fixture(scope="module")
def pooled() -> Fit:
    model = bl.Model(models.dcpt, bl.read_runs(domains()), by={"E": "domain"}, misfit=None)
    return model.fit(draws=60, tune=60, chains=2, seed=1, progress=False)


@pytest.fixture(scope="module")
def again(pooled: Fit, tmp_path_factory: pytest.TempPathFactory) -> Fit:
    return bl.load(pooled.save(tmp_path_factory.mktemp("fits") / "fit.nc"))


ASKED: dict[str, Callable[[Fit, Path], Any]] = {
    "repr": lambda f, _: repr(f),
    "html": lambda f, _: f._repr_html_(),
    "checks": lambda f, _: f.checks().to_frame().to_string(),
    "report": lambda f, folder: f.report(folder / "page.md", question={"baseline": 2.4, "max_rise": 0.01}).read_text(),
    "decide": lambda f, _: (
        f.critical_ratio(N=1e9, D=1e10, domain="law", baseline=2.4, max_rise=0.01).to_frame().to_string()
    ),
    "best ratio": lambda f, _: f.best_ratio(N=1e9, domain_tokens=1e9, domain="law").to_frame().to_string(),
    "predict": lambda f, _: (
        f.predict(N=1e9, D=[1e9, 1e11], domain_share=0.3, domain=["law", "code"], new_run=True).to_frame().to_string()
    ),
    "predict a table": lambda f, _: f.predict(domains()).to_string(),
    "compare": lambda f, _: bl.compare({"a": f, "b": f}).to_string(),
    "groups": lambda f, _: {name: list(labels) for name, labels in f.model.design.groups.items()},
    "hash": lambda f, _: f.model.runs.hash,
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.filterwarnings("ignore:.*Pareto:UserWarning", "ignore:the runs:UserWarning", CONVERGENCE)
def test_a_fit_without_rows_at_zero_answers_the_same_after_loading(pooled, again, asked, tmp_path):
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    before, after = (ASKED[asked](f, tmp_path / name) for f, name in ((pooled, "before"), (again, "after")))
    assert before == after


def test_both_name_what_is_missing(pooled, again):
    for fit in (pooled, again):
        with pytest.raises(DataError, match="D = 0"):
            fit.critical_ratio(N=1e9, D=1e10, domain="law", max_rise=0.01)


def test_tables_have_the_types_they_had(pooled, again):
    pd.testing.assert_frame_equal(again.model.runs.table, pooled.model.runs.table)
    pd.testing.assert_frame_equal(again.model.runs.baseline, pooled.model.runs.baseline)
    assert len(pooled.model.runs.baseline) == 0 and set(pooled.model.runs.baseline) == set(pooled.model.runs.table)


@pytest.fixture(scope="module")
def quick() -> Fit:
    rows = pd.MultiIndex.from_product([[2e8, 1e9, 5e9], [1e9, 1e10, 1e11]], names=["N", "D"]).to_frame(index=False)
    rows["loss"] = 1.8 + 0.35 * (rows["N"] / 1e9) ** -0.35 + 0.4 * (rows["D"] / 1e10) ** -0.37
    return bl.Model(models.chinchilla, bl.read_runs(rows), misfit=None).fit(method="mle")


ODD: dict[str, Any] = {
    "category": pd.Categorical(["x", "y", "x"] * 3),
    "day": pd.DatetimeIndex(["2026-01-01", None, "2026-01-03"] * 3),
    "day somewhere": pd.DatetimeIndex(["2026-01-01", None, "2026-01-03"] * 3, tz="UTC"),
    "whole with gaps": pd.array([2**50 + 1, None, 3] * 3, "Int64"),
    "small": np.array([1, 2, 3] * 3, "int8"),
    "single": np.array([0.1, np.nan, 3] * 3, "float32"),
    "large": np.array([1, 2, 2**63 + 1] * 3, "uint64"),
    "text": pd.Series(["", None, "ü/x\n"] * 3, dtype="str"),
    "objects": pd.Series(["1", None, "2"] * 3, dtype=object),
    "nothing": pd.Series([None] * 9, dtype=object),
    "truth": [True, False, True] * 3,
}


def test_a_table_made_by_hand_keeps_every_column(quick, tmp_path):
    table = quick.model.runs.table.assign(**ODD)
    for baseline in (table.iloc[:0].drop(columns="category"), table.assign(D=0.0), table.iloc[:0][["run", "text"]]):
        runs = Runs(table, quick.model.runs.evals, baseline)
        fit = replace(quick, model=replace(quick.model, runs=runs))
        found = bl.load(fit.save(tmp_path / "fit.nc")).model.runs
        pd.testing.assert_frame_equal(found.table, table)
        pd.testing.assert_frame_equal(found.baseline, baseline.reset_index(drop=True))


def test_files_of_before_have_the_types_of_their_runs(pooled, tmp_path):
    path = unsealed(pooled, tmp_path)
    with h5py.File(path, "a") as file:
        for group in ("runs", "baseline"):
            types = json.loads(file[group].attrs["types"])
            del file[group].attrs["types"]
            file[group].attrs["truths"] = json.dumps([c for c, t in types.items() if t == "bool"])
    old = bl.load(path)
    kept = [c for c in pooled.model.runs.table if c != "empty"]
    pd.testing.assert_frame_equal(old.model.runs.table[kept], pooled.model.runs.table[kept])
    pd.testing.assert_frame_equal(old.model.runs.baseline[kept], pooled.model.runs.baseline[kept])


# ------------------------------------------------------------------------------------------------------ a full disk
FULL = """
import resource, sys
from pathlib import Path
import bayeslaw as bl
fit = bl.load("old.nc")
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, limits[1]))
try:
    fit.save("new.nc")
except bl.errors.StoreError as e:
    print(e)
print(sorted(p.name for p in Path().iterdir()))
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
print(bl.load(fit.save("new.nc")).posterior.equals(fit.posterior))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of files as Linux has them")
def test_a_file_that_may_not_grow_is_a_sentence_and_the_fit_is_still_there(quick, tmp_path):
    quick.save(tmp_path / "old.nc")
    command = [sys.executable, "-W", "ignore", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{FULL}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "cannot write new.nc (File too large): free some space, or choose another disk",
        "['old.nc']",
        "True",
    ]


@pytest.fixture
def tiny_disk(tmp_path):
    """A disk of 100 kB, where the system lets us have one."""
    (place := tmp_path / "tiny").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("told", [True, False])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(quick, tiny_disk, told, monkeypatch):
    wide = quick.posterior.assign(noise=(("chain", "draw", "eval", "of"), np.zeros((1, 1, 1, 30_000))))
    large = replace(quick, idata=xr.DataTree.from_dict({"posterior": wide}))
    quick.save(tiny_disk / "fit.nc")
    content = (tiny_disk / "fit.nc").read_bytes()
    reason = "MB are free" if told else "No space left on device"
    if not told:  # it fills up between the look and the writing
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 0, 10**12))
    with pytest.raises(StoreError, match=f"{reason}.*: free some space, or choose another disk"):
        large.save(tiny_disk / "fit.nc")
    assert [p.name for p in tiny_disk.iterdir()] == ["fit.nc"] and (tiny_disk / "fit.nc").read_bytes() == content


def test_the_size_of_a_file_is_known_before_there_are_draws(pooled, tmp_path):
    size = pooled.save(tmp_path / "fit.nc").stat().st_size
    assert size <= expected_size(pooled.model, pooled.draws) <= size + 400_000
    many = replace(pooled, idata=pooled.idata.isel(draw=np.zeros(5_000, int)))
    size = many.save(tmp_path / "fit.nc").stat().st_size
    assert size <= expected_size(pooled.model, 10_000) <= 2 * size


@pytest.mark.parametrize("words", ["fit chinchilla runs.csv -o {}/fit.nc --draws 100000", "demo -o {}"])
def test_a_disk_without_room_is_said_before_sampling(quick, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    quick.model.runs.table.to_csv("runs.csv", index=False)
    monkeypatch.setattr(bl.Model, "fit", lambda *_, **__: pytest.fail("it was sampled first"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, 10_000))
    with pytest.raises(SystemExit) as left:
        app(words.format("out").split())
    told = capsys.readouterr()
    assert left.value.code == 2 and told.err.startswith(f"bayeslaw: cannot write out{os.sep}fit.nc (")
    assert "MB are needed and 0.01 MB are free): free some space, or choose another disk" in told.err
    assert not list((tmp_path / "out").iterdir())


# ------------------------------------------------------------------------------------------------- strangers' files
def unsealed(fit: Fit, folder: Path) -> Path:
    """The file of a fit without its seal, so that it can be changed."""
    path = fit.save(folder / "fit.nc")
    path.write_bytes(path.read_bytes().rpartition(b"\nbayeslaw sha-256 ")[0])
    return path


SECRET = np.arange(1.0, 10.0)


def external(file: h5py.File) -> None:
    del file["runs/N"]
    file.create_dataset("runs/N", (9,), "f8", external=[("secret.bin", 0, 72)])


def virtual(file: h5py.File) -> None:
    del file["runs/N"]
    layout = h5py.VirtualLayout((9,), "f8")
    layout[:] = h5py.VirtualSource("secret.h5", "x", (9,))
    file.create_virtual_dataset("runs/N", layout)


def external_link(file: h5py.File) -> None:
    del file["runs/N"]
    file["runs/N"] = h5py.ExternalLink("secret.h5", "x")


def external_group(file: h5py.File) -> None:
    del file["runs"]
    file["runs"] = h5py.ExternalLink("secret.h5", "/")


def soft_loop(file: h5py.File) -> None:
    file["runs/loop"] = h5py.SoftLink("/runs")


def hard_loop(file: h5py.File) -> None:
    file["runs/loop"] = file["/"]


def many_groups(file: h5py.File) -> None:
    for number in range(3_000):
        file.create_group(f"g{number}")


def deep_groups(file: h5py.File) -> None:
    file.create_group("/".join("g" * 400))


def many_arrays(file: h5py.File) -> None:
    file["runs/x"] = 1.0
    for number in range(10_001):
        file[f"runs/x{number}"] = file["runs/x"]


def promised(file: h5py.File) -> None:
    del file["runs/N"]
    file.create_dataset("runs/N", (10**13,), "f8")


def squeezed(file: h5py.File) -> None:
    del file["runs/N"]
    file.create_dataset("runs/N", data=np.zeros(10**7), chunks=(10**6,), compression="gzip")


def repeated(file: h5py.File) -> None:
    file["runs/x"] = np.zeros(2_000)
    for number in range(9_000):
        file[f"runs/x{number}"] = file["runs/x"]


def shared_text(file: h5py.File) -> None:
    """Every cell refers to the same long text, as the library itself would not write it."""
    del file["runs/run"]
    text = file.create_dataset("runs/run", (5_000,), h5py.string_dtype())
    text[:] = ["x"] * 5_000
    text[0] = "y" * 100_000


def many_attributes(file: h5py.File) -> None:
    for number in range(100):
        file["runs"].attrs[f"a{number}"] = 1


def wide_attribute(file: h5py.File) -> None:
    file["runs"].attrs["wide"] = np.array(["x"] * 1_000, dtype=object)


FAULTS: dict[Callable[[h5py.File], None], str] = {
    external: "an array that lies in other files, '/runs/N'",
    virtual: "an array that lies in other files, '/runs/N'",
    external_link: "a link to another place, 'N'",
    external_group: "a link to another place, 'runs'",
    soft_loop: "a link to another place, 'loop'",
    hard_loop: "a group within the group '/runs'",
    many_groups: "3005 groups, more than 32",
    deep_groups: "a group within the group '/g'",
    many_arrays: "more than 10000 arrays",
    promised: "arrays of more than 10 times its size",
    squeezed: "arrays of more than 10 times its size",
    repeated: "arrays of more than 10 times its size",
    many_attributes: "more than 64 attributes of '/runs'",
    wide_attribute: "too many values in the attribute 'wide'",
}


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda f: f.__name__)
def test_a_file_that_reaches_out_or_swells_is_refused_before_its_data_are_read(quick, spoil, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("secret.bin").write_bytes(SECRET.tobytes())
    with h5py.File("secret.h5", "w") as file:
        file["x"] = SECRET
    path = unsealed(quick, tmp_path)
    with h5py.File(path, "a") as file:
        spoil(file)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda *_: pytest.fail("data were read"))
    monkeypatch.setattr(xr, "open_datatree", lambda *_, **__: pytest.fail("data were read"))
    with pytest.raises(StoreError, match="give a file written by fit.save") as caught:
        bl.load(path)
    assert f"holds {FAULTS[spoil]}, which no fit holds" in str(caught.value)


def test_one_long_text_in_every_cell_is_refused(quick, tmp_path):
    """The cells of a text refer to a heap; here every cell is made to refer to the same long text."""
    path = unsealed(quick, tmp_path)
    with h5py.File(path, "a") as file:
        shared_text(file)
        place = file["runs/run"].id.get_offset()
        size = file["runs/run"].id.get_storage_size()
    content = bytearray(path.read_bytes())
    cell = bytes(content[place : place + 16])
    content[place : place + size] = cell * (size // 16)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="texts of more than 10 times its size"):
        bl.load(path)


@pytest.mark.parametrize("place", ["recipe", "columns", "priors"])
@pytest.mark.parametrize("depth", [50, 100_000])
def test_deep_json_is_refused(quick, place, depth, tmp_path):
    path = unsealed(quick, tmp_path)
    deep = '{"a":' * depth + "1" + "}" * depth
    with h5py.File(path, "a") as file:
        recipe = file.attrs["bayeslaw"]
        if place == "columns":
            file["runs"].attrs.pop("columns")
            file["runs"].attrs["columns"] = deep[:60_000] if depth > 100 else deep
        else:
            within = deep if place == "recipe" else json.dumps(json.loads(recipe) | {"priors": {"alpha": 0}})
            file.attrs["bayeslaw"] = within.replace('"alpha": 0', f'"alpha": {deep}')
    with pytest.raises(StoreError) as caught:
        bl.load(path)
    assert "\n" not in str(caught.value)


def test_a_sealed_file_of_a_stranger_is_looked_at_too(quick, tmp_path):
    """Anyone can seal a file: the seal speaks of damage, not of who wrote it."""
    from bayeslaw.posterior.store import _seal

    path = unsealed(quick, tmp_path)
    with h5py.File(path, "a") as file:
        soft_loop(file)
    content = path.read_bytes()
    path.write_bytes(content + _seal(content))
    with pytest.raises(StoreError, match="a link to another place, 'loop'"):
        bl.load(path)


def test_what_save_writes_is_no_fault(pooled, tmp_path):
    path = pooled.save(tmp_path / "fit.nc")
    assert b"\nbayeslaw sha-256 " in path.read_bytes()[-90:]
    assert bl.load(path).posterior.equals(pooled.posterior)
