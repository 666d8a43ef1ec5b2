"""Tables whose text shows numbers as `bayeslaw.base.numbers` writes them."""

from collections.abc import Callable

import pandas as pd

from bayeslaw.base.numbers import COUNTED_COLUMNS, short

__all__ = ["Frame"]


class Frame(pd.DataFrame):
    """A table that shows three significant digits, and sizes and tokens with a letter; its numbers are whole."""

    @property
    def _constructor(self) -> Callable[..., "Frame"]:
        return Frame

    def __repr__(self) -> str:
        with pd.option_context("display.float_format", short):
            return repr(self._plain())

    def _repr_html_(self) -> str | None:
        with pd.option_context("display.float_format", short):
            html: str | None = self._plain()._repr_html_()  # type: ignore[operator]  # not in the stubs
            return html

    def _plain(self) -> pd.DataFrame:
        """Return the table as pandas has it, with counted columns as floats, which are shown as such."""
        counted = [c for c in self.select_dtypes("integer") if c in COUNTED_COLUMNS]
        return pd.DataFrame(self).astype(dict.fromkeys(counted, float))
