"""An argument that takes several values takes them as a list, a tuple, an array or a Series of any index."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayeslaw import models
from tests.stand_ins import stand_in

SEVERAL: list[tuple[str, str, dict[str, Any]]] = [
    ("dcpt", "critical_ratio", {"N": [1e8, 5e8], "D": [1e9, 1e10]}),
    ("dcpt", "best_ratio", {"N": [1e8, 5e8], "domain_tokens": [1e9, 1e10]}),
    ("dcpt", "allocation", {"flops": [1e19, 1e20], "domain_share": [0.2, 0.5]}),
    ("dcpt", "tokens_for", {"N": [1e8, 5e8], "domain_share": [0.2, 0.5]}),
    ("nested_data_mixing", "best_mixture", {"N": [1e8, 5e8], "D": [1e9, 1e10]}),
    ("chinchilla", "predict", {"N": [1e8, 5e8], "D": [1e9, 1e10]}),
]
ALSO = {"critical_ratio": {"baseline": 3.2}, "tokens_for": {"loss": 3.0}}


@pytest.mark.parametrize(("law", "question", "several"), SEVERAL)
def test_lists_arrays_and_series_are_one_question(
    law: str, question: str, several: dict[str, Any], table_for: Callable[..., pd.DataFrame]
) -> None:
    ask, also = getattr(stand_in(models.catalogue[law], table_for, draws=20), question), ALSO.get(question, {})
    usual = ask(**several, **also)
    assert set(several) <= set(usual.draws.dims)
    for kind in (tuple, np.asarray, pd.Series, lambda values: pd.Series(values, index=["x", "y"])):
        found = ask(**{name: kind(values) for name, values in several.items()}, **also)
        assert found.draws.identical(usual.draws)
        as_json = json.loads(json.dumps(found.as_json()))
        assert as_json == json.loads(json.dumps(usual.as_json())) and str(found) == str(usual)
