"""What the project says of itself to people and their tools: citation, workflow, templates, hooks."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # comes with Dask

import bayeslaw

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TUTORIAL = (ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8")


def read(file: str | Path) -> Any:
    return yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))


def hooks() -> Iterator[dict[str, Any]]:
    """The hooks that the project defines itself."""
    for repo in read(".pre-commit-config.yaml")["repos"]:
        if repo["repo"] == "local":
            yield from repo["hooks"]


def refused(notebook: str) -> list[str]:
    """The hooks that refuse a notebook, as `pygrep` does: one with a match, or with --negate one without."""
    asked = [hook for hook in hooks() if hook["language"] == "pygrep" and re.search(hook["files"], "docs/a.ipynb")]
    return [h["id"] for h in asked if bool(re.search(h["entry"], notebook)) != ("--negate" in h.get("args", ()))]


def without(output: bool, count: bool, cells: slice = slice(None)) -> str:
    """The tutorial with some cells cleared."""
    notebook = json.loads(TUTORIAL)
    for cell in [c for c in notebook["cells"] if c["cell_type"] == "code"][cells]:
        cell |= ({"outputs": []} if output else {}) | ({"execution_count": None} if count else {})
    return json.dumps(notebook, indent=1)


def test_the_citation_is_that_of_the_package():
    citation = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["version"], citation["license"]) == (bayeslaw.__version__, PROJECT["license"])


def test_the_changelog_has_the_version():
    assert f"\n## [{bayeslaw.__version__}] - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_workflow_runs_what_has_to_pass_on_every_python_that_is_promised():
    job = read(".github/workflows/ci.yml")["jobs"]["ci"]
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"] and (
        ROOT / ".ci" / "run"
    ).is_file()
    promised = [found[1] for c in PROJECT["classifiers"] if (found := re.fullmatch(r".*Python :: (3\.\d+)", c))]
    assert job["strategy"]["matrix"] == {"os": ["ubuntu-latest", "macos-latest"], "python": promised}


@pytest.mark.parametrize("form", sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")), ids=lambda p: p.stem)
def test_issue_forms_ask(form):
    questions = [element for element in read(form)["body"] if element["type"] != "markdown"]
    assert questions and all(q["attributes"]["label"] for q in questions)
    assert len({q["id"] for q in questions}) == len(questions)


def test_the_hooks_run_the_ruff_that_lint_runs():
    pinned = re.search(r"^ruff==.*$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
    ruff = [hook for hook in hooks() if hook["entry"].startswith("ruff ")]
    assert pinned and len(ruff) == 2 and all(hook["additional_dependencies"] == [pinned[0]] for hook in ruff)


def test_notebooks_are_kept_with_their_output():
    assert refused(TUTORIAL) == []
    assert refused(without(output=True, count=True)) == ["notebook-cells", "notebook-output"]
    assert refused(without(output=True, count=True, cells=slice(-1, None))) == ["notebook-cells"]
    assert refused(without(output=True, count=False)) == ["notebook-output"]
