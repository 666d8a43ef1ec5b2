"""The page's own functions, run by node or by a browser, and what a browser makes of a page."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from bayeslaw.explore import javascript
from bayeslaw.explore.contents import formulas
from bayeslaw.posterior.draws import Posterior

__all__ = ["NODE", "browsed", "by_javascript", "needs_browser", "needs_node", "opened"]

type Asking = tuple[Posterior, dict[str, Any], list[dict[str, Any]]]
"""A fit, what its page computes with, and questions."""

NODE = shutil.which("node")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

needs_node = pytest.mark.skipif(NODE is None, reason="no program node, which runs JavaScript")
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no browser: neither chromium nor google-chrome is installed"
)

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

BEFORE = """<script>
const failures = [];
addEventListener("error", (event) => failures.push(event.message));
window.requestAnimationFrame = (draw) => setTimeout(draw, 10); // a browser without a screen shows no frames
console.error = console.warn = (...words) => failures.push(words.join(" "));
</script>"""

AFTER = """<script>
const pause = () => new Promise((done) => setTimeout(done, 200));
(async () => {
  const found = await (async () => { SCRIPT })().catch((error) => failures.push(String(error)));
  const textContent = JSON.stringify({ found, failures });
  document.body.append(Object.assign(document.createElement("pre"), { id: "found", textContent }));
})();
</script>"""


def _program(asking: Sequence[Asking]) -> str:
    """A script that leaves the answers in `answers`."""
    engine = (resources.files("bayeslaw.explore") / "templates" / "engine.js").read_text(encoding="utf-8")
    studies = ",\n".join(
        f"{{content: {json.dumps(content)}, questions: {json.dumps(questions)}, laws: {javascript(formulas(fit))}}}"
        for fit, content, questions in asking
    )
    return f"{engine}{ASK}const answers = [{studies}].map(answered);"


def by_javascript(fit: Posterior, content: dict[str, Any], questions: list[dict[str, Any]]) -> list[Any]:
    """Answers of the page's functions, run by node."""
    program = _program([(fit, content, questions)]) + "console.log(JSON.stringify(answers[0]));"
    done = subprocess.run([str(NODE)], input=program, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    return answers


def browsed(asking: Sequence[Asking]) -> list[list[Any]]:
    """Answers of the page's functions about several fits, run by a browser."""
    found: list[list[Any]] = opened(f"<body><script>{_program(asking)}</script></body>", "return answers;")
    return found


def opened(page: str, script: str, fragment: str = "") -> Any:
    """Open a page in a browser, run a script in it, and return what the script does; no error may be on its console."""
    head, end, tail = page.partition("<style>") if "<style>" in page else ("", "", page)
    page = head + BEFORE + end + tail.replace("</body>", AFTER.replace("SCRIPT", script) + "</body>")
    with TemporaryDirectory() as folder:
        file = Path(folder, "page.html")
        file.write_text(page, encoding="utf-8")
        words = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={folder}/profile",
            "--window-size=1000,800",
        ]
        command = [str(BROWSER), *words, "--virtual-time-budget=20000", "--dump-dom", f"{file.as_uri()}{fragment}"]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=300)
    written = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert written, done.stderr[-2000:]
    answer = json.loads(html.unescape(written[1]))
    assert not answer["failures"], answer["failures"]
    return answer["found"]
