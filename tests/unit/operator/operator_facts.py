"""Prints, as JSON, what a release of the operator makes of a spec: run with that release's folder in PYTHONPATH.

The spec is read from stdin.
"""

import hashlib
import json
import sys

from rtx_operator import desired
from rtx_operator.api import crd
from rtx_operator.api.enums import Colour
from rtx_operator.api.spec import TradingEngineSpec
from rtx_operator.cluster.postgres import schema
from rtx_operator.observation import FENCE_SCHEMA


def main() -> None:
    spec = TradingEngineSpec.model_validate(json.load(sys.stdin))
    given = desired.BuildInput(
        namespace="rtx-trading",
        name="rtx",
        uid="6c7c6d3e-0000-4000-8000-000000000001",
        spec=spec,
        postgres_image="example/postgres:17",
        redis_image="example/redis:8",
        operator_namespace="rtx-system",
    )
    revision = desired.revision_spec(given)
    objects = desired.colour_children(given, Colour.BLUE, desired.rendered(given, Colour.BLUE, revision))
    facts = {
        "hash": revision.hash,
        "objects": objects,
        "fence version": FENCE_SCHEMA,
        "fence": hashlib.sha256(schema.sql().encode()).hexdigest(),
        "spec fields": sorted(crd.structural(TradingEngineSpec)["properties"]),
    }
    json.dump(facts, sys.stdout)


if __name__ == "__main__":
    main()
