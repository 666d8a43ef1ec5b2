"""README and docs: their code runs, their links lead somewhere, their numbers are those of one run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import bayeslaw as bl
from bayeslaw import models
from tests.whole.test_house import FLOORS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = ROOT / "docs" / "tutorial.ipynb"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(p for p in ROOT.glob("docs/**/*.md") if "_build" not in p.parts)]
FEW = {"draws": 40, "tune": 100, "chains": 2, "progress": False}


def cells(kind: str) -> list[dict[str, Any]]:
    notebook = json.loads(TUTORIAL.read_text(encoding="utf-8"))
    return [c for c in notebook["cells"] if c["cell_type"] == kind]


def session() -> str:
    """The Python that README opens with."""
    return README.split("```python\n")[1].split("```")[0]


def sources() -> dict[str, str]:
    """The Python of every document that shows a session; that of the Dask page needs a cluster (test_fanout.py)."""
    how_to = sorted(p for p in ROOT.glob("docs/how-to/*.md") if p.stem != "dask")
    blocks = {
        p.stem: "\n".join(re.findall(r"```python\n(.*?)```", p.read_text(encoding="utf-8"), re.S)) for p in how_to
    }
    tutorial = "\n".join("".join(c["source"]) for c in cells("code"))
    return {"README": session(), "tutorial": tutorial, **{name: code for name, code in blocks.items() if code}}


def test_every_law_of_the_catalogue_has_a_report():
    pages = (p.read_text(encoding="utf-8") for p in (ROOT / "docs" / "reports").glob("*.md"))
    assert {law for text in pages for law in re.findall(r"^- law: (\w+)", text, re.M)} >= set(models.catalogue)


@pytest.mark.parametrize("document", sources())
@pytest.mark.filterwarnings("ignore:.*did not converge:UserWarning", "ignore:.*Pareto:UserWarning")  # so few draws
def test_the_code_runs(document, tmp_path, monkeypatch):
    fit, evaluate = bl.Model.fit, bl.evaluate
    monkeypatch.setattr(bl.Model, "fit", lambda model, **settings: fit(model, **(settings | FEW)))
    monkeypatch.setattr(bl, "evaluate", lambda model, held_out, **settings: evaluate(model, held_out, **settings | FEW))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(sources()[document], document, "exec"), names)
    if document in ("README", "tutorial"):
        assert 0 < float(names["ratio"].median()) < 1
    if document == "tutorial":
        assert (tmp_path / "tinycpt.html").is_file() and (tmp_path / "tinycpt.nc").is_file()


def test_domain_vectors_are_shown_as_they_are_printed(capsys):
    text = (ROOT / "docs" / "how-to" / "domain-vectors.md").read_text(encoding="utf-8")
    shown = re.findall(r"\n\n```\n(.*?)```", text, re.S)
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.S)[:3]), {})
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert [line for block in shown for line in block.splitlines()] == printed


def test_the_tutorial_is_committed_as_executed():
    code = cells("code")
    assert [c["execution_count"] for c in code] == list(range(1, len(code) + 1))
    outputs = json.dumps([c["outputs"] for c in code])
    assert "image/png" in outputs
    assert not re.search(r"/(home|root|tmp|work|Users)/|Traceback|Warning", outputs)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target


def test_the_map_of_the_house_has_every_folder_on_its_floor():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    floors = {
        name.removesuffix(".py"): int(floor)
        for name, floor in re.findall(r"^\| `([\w.]+)/?` .*\| (\d+) \|$", page, re.M)
    }
    assert floors == {folder: number for number, folders in enumerate(FLOORS) for folder in folders}


def test_readme_lists_every_law():
    listed = re.findall(r"`([a-z0-9_]+)`", "".join(line for line in README.splitlines() if line.startswith("| `")))
    assert set(models.catalogue) <= set(listed)


def test_readme_shows_the_numbers_of_the_report_and_the_tutorial():
    report = (ROOT / "docs" / "reports" / "tinycpt.md").read_text(encoding="utf-8").replace("\\", "")
    outputs = json.dumps([c["outputs"] for c in cells("code")])
    ratios = re.findall(r"^(0\.\d+ \[0\.\d+, 0\.\d+\])  critical ratio", README, flags=re.M)
    assert len(ratios) == 2
    for ratio in ratios:
        assert ratio in report and ratio in outputs
