"""``python -m benchmarks NAME [--json]``."""

import argparse
import json
import sys
from types import ModuleType

from benchmarks import (
    demo,
    identity_batch,
    identity_febrl,
    identity_historical,
    identity_incremental,
    identity_omnichannel,
    identity_online,
    identity_spark,
    ingest_records,
    policy_decisions,
    sources_events,
    sources_kills,
    sources_throughput,
    vault_fields,
    vault_rotation,
)

BENCHMARKS: dict[str, ModuleType] = {
    "demo": demo,
    "identity.batch": identity_batch,
    "identity.febrl": identity_febrl,
    "identity.historical50k": identity_historical,
    "identity.omnichannel": identity_omnichannel,
    "identity.incremental": identity_incremental,
    "identity.online": identity_online,
    "identity.spark": identity_spark,
    "ingest.records": ingest_records,
    "policy.decisions": policy_decisions,
    "sources.kills": sources_kills,
    "sources.throughput": sources_throughput,
    "sources.events": sources_events,
    "vault.fields": vault_fields,
    "vault.rotation": vault_rotation,
}


def main() -> None:
    """Run one benchmark; exit 1 where a target is not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    names = parser.add_subparsers(dest="name", required=True)
    for name, module in BENCHMARKS.items():
        one = names.add_parser(name, help=(module.__doc__ or "").splitlines()[0])
        one.add_argument("--json", action="store_true", help="print one JSON object")
        module.add_arguments(one)
    arguments = parser.parse_args()
    result = BENCHMARKS[arguments.name].run(arguments)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        for key, value in result["metrics"].items():
            print(f"{key:24} {value:g}")
        for one in result["targets"]:
            word = "met" if one["met"] else "MISSED"
            print(f"{one['metric']} {one['op']} {one['value']:g}: {word}")
    sys.exit(0 if result["met"] else 1)


if __name__ == "__main__":
    main()
