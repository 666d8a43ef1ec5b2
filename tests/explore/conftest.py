"""One browser for all pages."""

from collections.abc import Iterator

import pytest

from tests.browser import Chromium, find


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    if (program := find()) is None:
        pytest.skip("there is no Chromium here: install Debian's, or name one in CHROMIUM")
    with Chromium(program) as started:
        yield started
