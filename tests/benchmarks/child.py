"""The fresh process of one measurement: calls a function of a part and prints what it returns as a line of JSON."""

import json
import sys
from importlib import import_module

if __name__ == "__main__":
    part, function, settings = sys.argv[1:]
    print(json.dumps(getattr(import_module(f"tests.benchmarks.{part}"), function)(**json.loads(settings))))
