"""The programs of the benchmarks, without measuring anything."""

import json

import pytest

from tests.benchmarks import before, page, results
from tests.benchmarks.results import Asked, Goal, Results


@pytest.fixture
def calls(monkeypatch, tmp_path):
    found = []
    monkeypatch.setattr(results, "CACHES", tmp_path)

    def fresh(part, asked, settings, caches):
        found.append((asked.function, settings["seed"], caches and caches.parent == tmp_path))
        if caches is not None:
            caches.mkdir(exist_ok=True)
        return {"process_seconds": 1.0, "seconds": float(settings["seed"])}

    monkeypatch.setattr(results, "fresh", fresh)
    return found


def test_what_is_compared_is_measured_turn_by_turn(tmp_path, calls):
    kept = Results(tmp_path / "results.jsonl", resume=False)
    kept.measure("part", Asked("ours", {"n": 1}, ("empty", "filled")), Asked("theirs", {}, ("own",) * 3))
    turns = [("ours", 1, False), ("theirs", 1, None), ("ours", 2, True), ("ours", 2, True), ("theirs", 2, None)]
    turns += [("theirs", 3, None)]
    assert calls == turns
    assert [(r["run"], r["caches"]) for r in kept.rows("part", "ours", n=1)] == [(0, "empty"), (1, "filled")]
    assert results.median(kept.rows("part", "theirs"), "seconds") == 2


def test_filled_caches_are_filled_by_a_process_that_is_not_counted(tmp_path, calls):
    kept = Results(tmp_path / "results.jsonl", resume=False)
    kept.measure("part", Asked("ours", {}, ("filled",) * 2))
    assert len(calls) == 3 and len(kept.all) == 2


def test_only_what_is_asked_for_is_measured_anew(tmp_path, calls):
    kept = Results(tmp_path / "results.jsonl", resume=False)
    kept.measure("part", Asked("slow", {}, ("own",)))
    kept.measure("part", Asked("fast", {}, ("own",)))
    kept.measure("part", Asked("fast", {}, ("own",)))
    assert [r["function"] for r in kept.all] == ["slow", "fast"]
    assert [c[0] for c in calls] == ["slow", "fast", "fast"]
    assert kept.all[0]["date"] > "2026"
    again = Results(tmp_path / "results.jsonl", resume=True)
    again.measure("part", Asked("fast", {}, ("own",)))
    assert len(calls) == 3


def test_a_limit_is_reached_or_missed():
    assert Goal.at_most("x", 0.2, 0.2) == Goal("x: at most 0.2 times", "0.20 times", True)
    assert Goal.at_most("x", 1.3, 1.2, "s") == Goal("x: at most 1.2 s", "1.30 s", False)
    assert Goal.at_most("x", None, 1.2) == Goal("x: at most 1.2 times", "not measured", None)


def test_a_page_without_results_claims_nothing(tmp_path):
    text = page.write(Results(tmp_path / "results.jsonl", resume=False), tmp_path / "page.md").read_text()
    asked = text.partition("## 1.")[0]
    assert asked.count("not measured") >= 25
    assert "reached" not in asked and "missed" not in asked


def test_the_page_of_the_repository_keeps_the_days_of_the_textbook():
    lines = (results.ROOT / "docs/benchmarks_files/results.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    textbook = [r for r in rows if r["function"] == "textbook"]
    assert {r["settings"]["likelihood"] for r in textbook} == {"normal", "student_t"}
    assert all(r["date"] for r in textbook)


def test_the_code_before_is_left_out_without_the_history(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(before, "ROOT", tmp_path)
    before.tree.cache_clear()
    assert before.tree() is None
    assert "left out" in capsys.readouterr().out
    before.tree.cache_clear()
