"""What a check says: the number that was judged, one sentence, and a remedy if it failed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from bayeslaw.base.notebook import Level, badge, folded, framed, lines
from bayeslaw.base.terminal import Shown

__all__ = ["CheckResult", "Checks", "Group", "by_chance", "largest", "losses_beyond"]


@dataclass(frozen=True)
class CheckResult:
    """One check: its name, whether it passed, and a sentence with the remedy if it did not.

    `value` is the number that was judged (of several, the one that decided) and `limit` the most that it may be: a
    check passes where ``value <= limit``. `docs/schema.md` says what each check judges. `evals` are the losses for
    which it failed; empty: all of them.
    """

    name: str
    passed: bool
    text: str
    value: float | None = None
    limit: float | None = None
    evals: tuple[str, ...] = ()

    @classmethod
    def judged(
        cls, name: str, value: float, limit: float, text: str, remedy: str, evals: Iterable[str] = ()
    ) -> "CheckResult":
        """Return a check that passes if a number is at most its limit, and that names the remedy if it is not."""
        passed = bool(value <= limit)
        return cls(name, passed, text if passed else f"{text}; {remedy}", float(value), float(limit), tuple(evals))

    def __repr__(self) -> str:
        return f"{'pass' if self.passed else 'FAIL'}  {self.name}: {self.text}"


@dataclass(frozen=True, repr=False)
class Checks(Shown):
    """All checks of a fit, and the reasons why others were skipped, by their names."""

    results: tuple[CheckResult, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(r.passed for r in self.results)

    def __iter__(self) -> Iterator[CheckResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with the columns name, passed, value, limit, text."""
        frame = pd.DataFrame(map(asdict, self.results), columns=["name", "passed", "value", "limit", "text"])
        return frame.astype({"value": float, "limit": float})

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that did not pass."""
        return tuple(r for r in self.results if not r.passed)

    @property
    def verdict(self) -> tuple[Level, str]:
        """Whether to believe the fit, in a few words: without convergence not at all."""
        if any(r.name == "convergence" for r in self.failed):
            return "bad", "not converged: do not act on it"
        many = f"{len(self.results) - len(self.failed)} of {len(self.results)} checks passed"
        return ("doubt", f"in doubt: {many}") if self.failed else ("good", many)

    def __str__(self) -> str:
        """Return all checks as text, those that failed first."""
        passed = [r for r in self.results if r.passed]
        done = f"{len(passed)} of {len(self.results)} checks passed"
        said = [done, *(f"  {r!r}" for r in (*self.failed, *passed))]
        return "\n".join([*said, *(f"  skip  {name}: {why}" for name, why in self.skipped.items())])

    def _repr_html_(self) -> str:
        return framed(f"<p>{badge(*self.verdict)}</p>", *self._parts())

    def _parts(self) -> Iterator[str]:
        """Yield the parts of the HTML: the checks that failed, and folded the others."""
        if self.failed:
            yield lines(((f"FAIL {r.name}", r.text) for r in self.failed), "failed")
        if passed := [(r.name, r.text) for r in self.results if r.passed]:
            yield folded(f"{len(passed)} passed", lines(passed))
        if self.skipped:
            yield folded(f"{len(self.skipped)} skipped", lines(self.skipped.items()))


def by_chance(count: int, least: float) -> float:
    """Return what the largest of so many standard normal numbers hardly exceeds, or `least` where that is more."""
    return max(least, float(np.sqrt(2 * np.log(count))) + 0.5)


class Group(NamedTuple):
    """A group of measurements: the number that is judged, the group in words, and its loss."""

    number: float
    words: str
    eval: str


def largest(groups: Iterable[Group], least: float) -> tuple[float, float, str, tuple[str, ...]]:
    """Return the largest number of several groups, its limit (see `by_chance`), the groups beyond it and their losses.

    The groups are in words.
    """
    found = sorted(groups, reverse=True)
    limit = by_chance(len(found), least)
    beyond = sum(group.number > limit for group in found)
    named = "; ".join(group.words for group in found[: min(beyond, 3) or 1])
    more = f", and {beyond - 3} more groups" if beyond > 3 else ""
    return found[0].number, limit, named + more, losses_beyond(found, limit)


def losses_beyond(groups: Iterable[Group], limit: float) -> tuple[str, ...]:
    """Return the losses of the groups beyond a limit."""
    return tuple(dict.fromkeys(group.eval for group in groups if group.number > limit))
