"""Work that is stopped by a real signal leaves what was there before; a folder that cannot be written is one sentence.

    python -m tests.whole.test_interrupted FOLDER

is the process that is stopped: it imports once, and every case is a fork of it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
OLD = b"what was there before"
COMMANDS = {
    "fit": "fit chinchilla runs.csv -o fit.nc --chains 1 --draws",
    "evaluate": "evaluate chinchilla runs.csv --by N --chains 1 -o scores.csv --draws",
    "report": "report old.nc -o",
    "predict": "predict old.nc runs.csv -o",
}
CASES = {
    "fit, Ctrl-C": ("fit", "1000000", "fit.nc", "SIGINT", "work"),
    "fit, terminated": ("fit", "1000000", "fit.nc", "SIGTERM", "work"),
    "fit, killed": ("fit", "1000000", "fit.nc", "SIGKILL", "work"),
    "fit, Ctrl-C before the rename": ("fit", "10", "fit.nc", "SIGINT", "rename"),
    "fit, killed before the rename": ("fit", "10", "fit.nc", "SIGKILL", "rename"),
    "evaluate, Ctrl-C": ("evaluate", "1000000", "scores.csv", "SIGINT", "work"),
    "evaluate, killed": ("evaluate", "1000000", "scores.csv", "SIGKILL", "work"),
    "report, Ctrl-C": ("report", "page.md", "page.md", "SIGINT", "work"),
    "report, killed": ("report", "page.html", "page.html", "SIGKILL", "work"),
    "report, terminated before the rename": ("report", "page.html", "page.html", "SIGTERM", "rename"),
    "predict, killed before the rename": ("predict", "p.csv", "p.csv", "SIGKILL", "rename"),
}
CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}


def table() -> pd.DataFrame:
    """Losses of Chinchilla's law, with some noise."""
    rows = pd.MultiIndex.from_product([[2e8, 1e9, 5e9], [1e9, 1e10, 1e11]], names=["N", "D"]).to_frame(index=False)
    noise = 1 + 0.004 * ((rows.index * 7) % 5 - 2)
    return rows.assign(loss=(1.8 + 0.35 * (rows["N"] / 1e9) ** -0.35 + 0.4 * (rows["D"] / 1e10) ** -0.37) * noise)


def stopped(words: str, target: Path, name: str, moment: str) -> dict[str, Any]:
    """Fork a command line, send it a signal in the middle of its work, and say what is left of its folder."""
    import nutpie

    from bayeslaw.cli import app

    known = {p.name for p in target.parent.iterdir()}
    marker = target.parent / "reached"
    target.write_bytes(OLD)
    if (pid := os.fork()) == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.setpgid(0, 0)

        def hang(*_: Any) -> None:
            marker.touch()
            time.sleep(120)

        def sample(*given: Any, **settings: Any) -> Any:
            marker.touch()
            return nutpie_sample(*given, **settings)

        nutpie_sample, nutpie.sample = nutpie.sample, sample
        if moment == "rename":
            nutpie.sample = nutpie_sample
            Path.replace = hang  # type: ignore[method-assign, assignment]
        try:
            app(words.split())
        except SystemExit as e:
            os._exit(e.code if isinstance(e.code, int) else 1)
        os._exit(99)
    until = time.monotonic() + 100
    drawing = words.startswith("report") and moment == "work"
    while not (list(target.parent.glob(".bayeslaw-*")) if drawing else marker.exists()):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return {"code": f"ended before it could be stopped, with {os.waitstatus_to_exitcode(status)}"}
        if time.monotonic() > until:
            os.killpg(pid, signal.SIGKILL)
            return {"code": "too slow: it had nothing to be stopped in"}
        time.sleep(0.02)
    time.sleep(0.5)
    os.kill(pid, getattr(signal, name))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if name == "SIGKILL":  # what it had started ends with it
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    marker.unlink(missing_ok=True)
    left = sorted({p.name for p in target.parent.iterdir()} - known - {target.name})
    result = {"code": code, "kept": target.read_bytes() == OLD, "left": left}
    target.unlink()
    return result


def main(folder: str) -> None:
    """Print what every case came to, as JSON."""
    import bayeslaw as bl
    from bayeslaw import models
    from bayeslaw.reporting import report  # noqa: F401 (imported before the forks)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    os.chdir(folder)
    table().to_csv("runs.csv", index=False)
    few: dict[str, Any] = {"draws": 60, "tune": 60, "chains": 1, "progress": False}
    bl.Model(models.chinchilla, bl.read_runs(table())).fit(**few).save("old.nc")
    found = {}
    for case, (command, last, target, name, moment) in CASES.items():
        found[case] = stopped(f"{COMMANDS[command]} {last}", Path(folder) / target, name, moment)
    print(json.dumps(found))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("stopped")
    command = [sys.executable, "-W", "ignore", "-m", "tests.whole.test_interrupted", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and forks are those of Linux and macOS")
@pytest.mark.parametrize("case", CASES)
def test_what_was_there_stays_when_work_is_stopped(results, case):
    found, (command, _, _, name, moment) = results[case], CASES[case]
    assert found["code"] == CODES[name]
    assert found["kept"]
    writing = moment == "rename" or command == "report"
    assert found["left"] == [] or (name == "SIGKILL" and writing)  # nothing can tidy up after a kill


@pytest.mark.parametrize("words", ["fit chinchilla runs.csv -o {}/fit.nc", "predict old.nc runs.csv -o {}/p.csv"])
def test_a_place_that_cannot_be_written_is_one_sentence_before_any_work(words, tmp_path, monkeypatch, capsys):
    import bayeslaw as bl
    from bayeslaw import models
    from bayeslaw.cli import app

    monkeypatch.chdir(tmp_path)
    table().to_csv("runs.csv", index=False)
    if words.startswith("predict"):
        bl.Model(models.chinchilla, bl.read_runs("runs.csv")).fit(method="mle").save("old.nc")
    monkeypatch.setattr(bl.Model, "fit", lambda *_, **__: pytest.fail("it was fitted first"))
    read_only = tmp_path / "closed"
    read_only.mkdir(mode=0o500)
    places = ["/proc/self", "runs.csv"] if sys.platform == "linux" else ["runs.csv"]
    for place in places + [str(read_only)] * (os.geteuid() != 0):  # nothing is closed to root
        with pytest.raises(SystemExit) as left:
            app(words.format(place).split())
        told = capsys.readouterr()
        assert left.value.code == 2 and not told.out and told.err.count("\n") == 1
        assert told.err.startswith(f"bayeslaw: cannot write {place}/")
    assert not list(tmp_path.glob(".bayeslaw-*")) and not list(read_only.iterdir())


if __name__ == "__main__":
    main(sys.argv[1])
