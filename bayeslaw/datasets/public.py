"""Data sets that live at a public home: fetched once, verified by SHA-256, shaped into canonical columns."""

import hashlib
import os
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd

from bayeslaw.base.errors import DataError, MissingExtra, unknown_name
from bayeslaw.datasets.cards import HERE, REGISTRY

MIRROR = "BAYESLAW_DATA_MIRROR"
CACHE = "BAYESLAW_DATA_CACHE"


def registry() -> dict[str, dict[str, Any]]:
    """Repository, commit, root folder and files (name to SHA-256) of every fetchable data set."""
    return tomllib.loads((HERE / REGISTRY).read_text(encoding="utf-8"))


def fetch(name: str, mirror: str | os.PathLike[str] | None = None) -> dict[str, Path]:
    """Get the original files of a public data set, verified by SHA-256.

    A file that was fetched before is taken from the cache: `BAYESLAW_DATA_CACHE`, or `.cache/bayeslaw` in the home
    folder. Otherwise it is copied from the mirror, if one is named, or downloaded from the repository at a pinned
    commit (extra `bayeslaw[data]`).

    Parameters
    ----------
    name
        A data set that `catalogue()` calls fetchable.
    mirror
        Folder that holds the same files (a cache of another machine will do); default: the environment variable
        `BAYESLAW_DATA_MIRROR`, or none.

    Returns
    -------
    dict of str to pathlib.Path
        The verified local file of each file name.

    Raises
    ------
    UnknownName
        If no fetchable data set has that name.
    DataError
        If a file is missing at the mirror, cannot be downloaded, or differs from the original.
    MissingExtra
        If a download is needed and pooch is not installed.
    """
    known = registry()
    if name not in known:
        raise unknown_name("fetchable data set", name, known)
    entry = known[name]
    mirror = mirror or os.environ.get(MIRROR)
    folder = Path(os.environ.get(CACHE) or Path.home() / ".cache" / "bayeslaw") / entry["folder"]
    local = {file: folder / file for file in entry["files"]}
    for file, sha256 in entry["files"].items():
        if local[file].is_file() and _sha256(local[file].read_bytes()) == sha256:
            continue
        local[file].parent.mkdir(parents=True, exist_ok=True)
        if mirror:
            _copy(Path(mirror) / entry["folder"] / file, local[file], sha256)
        else:
            address = "/".join((entry["repository"], entry["commit"], entry["root"], file))
            _download(f"https://raw.githubusercontent.com/{address}", local[file], sha256)
    return local


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _copy(source: Path, target: Path, sha256: str) -> None:
    if not source.is_file():
        raise DataError(
            f"the mirror has no file {source}: copy it there, or leave mirror= and {MIRROR} out to download it"
        )
    content = source.read_bytes()
    if _sha256(content) != sha256:
        raise DataError(f"{source} differs from the public original (SHA-256 is not {sha256}): copy that one")
    target.write_bytes(content)


def _download(url: str, target: Path, sha256: str) -> None:
    try:
        import pooch
    except ImportError as error:
        raise MissingExtra("data", "pooch") from error
    try:
        pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=target.name, path=target.parent)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong hash is a ValueError
        raise DataError(f"could not fetch {url}: {error}; name a local copy with mirror= or {MIRROR}") from error


def read(name: str, mirror: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Fetch a public data set and give it as one table with canonical columns, as its card lists them."""
    return {"multipowerlaw": _curves, "regmix": _mixtures, "chinchilla-epoch": _points}[name](fetch(name, mirror))


def _curves(local: dict[str, Path]) -> pd.DataFrame:
    parts = []
    for file, path in local.items():
        folder, schedule = file.removesuffix(".csv").split("/")
        millions = int(folder.removeprefix("csv_"))
        log = pd.read_csv(path)[["step", "lr", "loss"]]
        train = schedule in ("cosine_24000", "constant_24000", "wsdcon_9")
        log.insert(0, "run", f"{millions}M-{schedule}")
        log.insert(1, "N", millions * 1_000_000)
        parts.append(log.assign(held_out=not train))
    return pd.concat(parts, ignore_index=True)


def _mixtures(local: dict[str, Path]) -> pd.DataFrame:
    parts = []
    for split, millions in (("train", 1), ("test", 1), ("test", 60)):
        shares = pd.read_csv(local[f"{split}_mixture_{millions}m.csv"]).set_index("index")
        losses = pd.read_csv(local[f"{split}_pile_loss_{millions}m.csv"]).set_index("index")
        shares = shares.div(shares.sum(axis=1), axis=0).rename(
            columns=lambda name: name.replace("train_the_pile_", "weight_")
        )
        losses = losses.rename(columns=lambda name: name.removeprefix("metric/the_pile_").replace("_val_loss", "_loss"))
        table = shares.join(losses, validate="one_to_one")
        table.insert(0, "run", [f"{millions}M-{split}-{index}" for index in table.index])
        table.insert(1, "N", millions * 1_000_000)
        table.insert(2, "held_out", split == "test")
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _points(local: dict[str, Path]) -> pd.DataFrame:
    points = pd.read_csv(local["svg_extracted_data.csv"])
    return pd.DataFrame(
        {
            "run": [f"point-{place}" for place in points.index],
            "N": points["Model Size"],
            "D": points["Training FLOP"] / (6 * points["Model Size"]),
            "flops": points["Training FLOP"],
            "loss": points["loss"],
        }
    )
