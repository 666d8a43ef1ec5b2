"""What a check says: one sentence, and a remedy if it failed."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

__all__ = ["CheckResult", "Checks"]


@dataclass(frozen=True)
class CheckResult:
    """One check: its name, whether it passed, and a sentence with the remedy if it did not."""

    name: str
    passed: bool
    text: str

    def __repr__(self) -> str:
        return f"{'pass' if self.passed else 'FAIL'}  {self.name}: {self.text}"


@dataclass(frozen=True)
class Checks:
    """All checks of a fit."""

    results: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(r.passed for r in self.results)

    def __iter__(self) -> Iterator[CheckResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with the columns name, passed, text."""
        return pd.DataFrame([(r.name, r.passed, r.text) for r in self.results], columns=["name", "passed", "text"])

    def __repr__(self) -> str:
        done = sum(r.passed for r in self.results)
        return f"{done} of {len(self.results)} checks passed\n" + "\n".join(f"  {r!r}" for r in self.results)

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False, border=0))
