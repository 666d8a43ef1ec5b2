"""The page's own functions, run by node or by a browser."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from bayeslaw.explore import javascript
from bayeslaw.explore.contents import formulas
from bayeslaw.posterior.draws import Posterior
from tests.browser import Chromium

__all__ = ["NODE", "by_browser", "by_node", "needs_node"]

type Asking = tuple[Posterior, dict[str, Any], list[dict[str, Any]]]
"""A fit, what its page computes with, and questions."""

NODE = shutil.which("node")

needs_node = pytest.mark.skipif(NODE is None, reason="there is no program node here, which runs JavaScript")

ASK = """
const answered = ({ content, laws, questions }) => {
  const page = engine(content, laws);
  return questions.map(({ x, labels, mode, limit }) => {
    const study = page.study(labels, mode);
    if (!limit) return content.evals.map((_, e) => Array.from(study.losses(x, e)));
    return Array.from(study.criticalRatio(x, { ...limit, baseline: baselineOf(limit.before) }).draws);
  });
};
"""
"""Losses of every validation set, or the critical ratio, for each question."""


def _program(asking: Sequence[Asking]) -> str:
    """A script that leaves the answers in `answers`."""
    engine = (resources.files("bayeslaw.explore") / "templates" / "engine.js").read_text(encoding="utf-8")
    studies = ",\n".join(
        f"{{content: {json.dumps(content)}, questions: {json.dumps(questions)}, laws: {javascript(formulas(fit))}}}"
        for fit, content, questions in asking
    )
    return f"{engine}{ASK}const answers = [{studies}].map(answered);"


def by_node(fit: Posterior, content: dict[str, Any], questions: list[dict[str, Any]]) -> list[Any]:
    """Answers of the page's functions, run by node."""
    program = _program([(fit, content, questions)]) + "console.log(JSON.stringify(answers[0]));"
    done = subprocess.run([str(NODE)], input=program, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    return answers


def by_browser(browser: Chromium, asking: Sequence[Asking], folder: Path) -> list[list[Any]]:
    """Answers of the page's functions about several fits, run by a browser."""
    page = folder / "asked.html"
    page.write_text(f"<!doctype html><body><script>{_program(asking)}</script></body>", encoding="utf-8")
    assert browser.show(page) == []
    found: list[list[Any]] = browser.value("answers")
    return found
