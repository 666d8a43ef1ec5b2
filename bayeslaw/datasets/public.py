"""Public data sets: fetched once, verified by SHA-256, and given canonical columns."""

import hashlib
import os
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd

from bayeslaw.datasets.cards import HERE, REGISTRY
from bayeslaw.errors import DataError, MissingExtra, unknown_name

MIRROR = "BAYESLAW_DATA_MIRROR"
CACHE = "BAYESLAW_DATA_CACHE"


def registry() -> dict[str, dict[str, Any]]:
    """Return repository, commit, root folder and files (name to SHA-256) of every fetchable data set."""
    return tomllib.loads((HERE / REGISTRY).read_text(encoding="utf-8"))


def fetch(name: str, mirror: str | os.PathLike[str] | None = None) -> dict[str, Path]:
    """Fetch the original files of a public data set and verify them by SHA-256.

    Files are cached in `BAYESLAW_DATA_CACHE`, by default `.cache/bayeslaw` in the home folder. A file that is not there
    is copied from the mirror, or without a mirror downloaded at a pinned commit (extra `bayeslaw[data]`).

    Parameters
    ----------
    name
        A data set that `catalogue()` calls fetchable.
    mirror
        Folder with the same files, such as the cache of another machine; by default the environment variable
        `BAYESLAW_DATA_MIRROR`, if it is set.

    Returns
    -------
    dict of str to pathlib.Path
        The verified local file of each file name.

    Raises
    ------
    UnknownName
        No fetchable data set has that name.
    DataError
        A file is missing in the mirror, cannot be downloaded, or differs from the original.
    MissingExtra
        A download needs pooch, which is not installed.
    """
    known = registry()
    if name not in known:
        raise unknown_name("fetchable data set", name, known)
    entry = known[name]
    mirror = mirror or os.environ.get(MIRROR)
    folder = Path(os.environ.get(CACHE) or Path.home() / ".cache" / "bayeslaw") / entry["folder"]
    local = {file: folder / file for file in entry["files"]}
    for (file, sha256), target in zip(entry["files"].items(), local.values(), strict=True):
        if target.is_file() and _sha256(target.read_bytes()) == sha256:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if mirror:
            _copy(Path(mirror) / entry["folder"] / file, target, sha256)
        else:
            address = "/".join((entry["repository"], entry["commit"], entry["root"], file))
            _download(f"https://raw.githubusercontent.com/{address}", target, sha256)
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
        raise DataError(f"{source} differs from the public original (SHA-256 is not {sha256}): copy the original")
    target.write_bytes(content)


def _download(url: str, target: Path, sha256: str) -> None:
    try:
        import pooch
    except ImportError as error:
        raise MissingExtra("data", "pooch") from error
    try:
        pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=target.name, path=target.parent)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong hash is a ValueError
        raise DataError(f"could not fetch {url}: {error}; give a local copy with mirror= or {MIRROR}") from error


def read(name: str, mirror: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Fetch a public data set; return it as one table with the columns that its card lists."""
    return {"multipowerlaw": _curves, "regmix": _mixtures, "chinchilla-epoch": _points}[name](fetch(name, mirror))


def _curves(local: dict[str, Path]) -> pd.DataFrame:
    parts = []
    for file, path in local.items():
        folder, schedule = file.removesuffix(".csv").split("/")
        millions = int(folder.removeprefix("csv_"))
        log = pd.read_csv(path)[["step", "lr", "loss"]]
        log.insert(0, "run", f"{millions}M-{schedule}")
        log.insert(1, "N", millions * 1_000_000)
        parts.append(log.assign(held_out=schedule not in ("cosine_24000", "constant_24000", "wsdcon_9")))
    return pd.concat(parts, ignore_index=True)


def _mixtures(local: dict[str, Path]) -> pd.DataFrame:
    parts = []
    for split, millions in (("train", 1), ("test", 1), ("test", 60)):
        shares = pd.read_csv(local[f"{split}_mixture_{millions}m.csv"], index_col="index")
        losses = pd.read_csv(local[f"{split}_pile_loss_{millions}m.csv"], index_col="index")
        shares.columns = shares.columns.str.replace("train_the_pile_", "weight_")
        losses.columns = losses.columns.str.removeprefix("metric/the_pile_").str.replace("_val_loss", "_loss")
        table = shares.div(shares.sum(axis=1), axis=0).join(losses, validate="one_to_one")
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
