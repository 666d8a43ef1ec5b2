"""Predicted losses: draws at the values of columns, or a summary of every row of a table."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw import sampler
from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import CI_PROB, SAMPLE, levels
from bayeslaw.base.words import counted
from bayeslaw.declare.names import RESULTS, WEIGHT
from bayeslaw.errors import Caution, DataError, RangeError
from bayeslaw.posterior.cautions import VERIFIED, cautioned, repeated
from bayeslaw.posterior.draws import MANY, Posterior
from bayeslaw.posterior.identified import mixture_cautions
from bayeslaw.posterior.prediction import CELLS
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.tables.areas import Schedules
from bayeslaw.tables.curves import curve_columns
from bayeslaw.tables.mixtures import PREFIX, folded, normalised, sources
from bayeslaw.tables.reading import Table, check_named, numeric, read_table
from bayeslaw.tables.runs import LABELS

__all__ = ["Prediction", "by_row", "columns_of", "finer", "grid", "predict"]
