"""The deployment files: true to the product, tight, and run as they stand, as processes, until a brief has gone through."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from services.console import accounts
from services.console.demo.bulk import BulkSite
from services.console.demo.receiver import Receiver
from services.publish import sign
from shared import clock, pipeline
from shared.store.engine import Store
from tests import servers
from tests.composed import PARTS, ROOT, Composed, composed
from tests.wire.harness import host_of

SECRET = sign.new_secret(bytes(range(32)))
PATIENCE_S = 120.0  # on a machine that does much else
OURS = ("migrate", *PARTS)
FILES = [ROOT / "docker-compose.yml", *sorted((ROOT / "deploy").rglob("*.y*ml"))]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture(scope="module")
def kubernetes() -> dict[tuple[str, str], dict[str, Any]]:
    """(kind, name) -> the object."""
    text = (ROOT / "deploy/kubernetes/briefwire.yaml").read_text()
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text)}


# The files


def test_the_compose_file_follows_the_specification(compose: dict[str, Any], beside: Path) -> None:
    schema = json.loads((beside / "conformance/compose-spec.json").read_text())
    jsonschema.Draft7Validator(schema).validate(compose)


def test_each_kind_of_work_has_its_service(compose: dict[str, Any]) -> None:
    commands = {tuple(service["command"]) for service in compose["services"].values() if "command" in service}
    assert {("briefwire", "worker", worker.name) for worker in pipeline.WORKERS} <= commands
    assert {("briefwire", "feeder"), ("briefwire", "web"), ("briefwire", "db", "upgrade")} <= commands


def test_every_container_is_tight(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"].partition(":")[0] not in ("", "0", "root"), name
        assert not {"privileged", "cap_add"} & service.keys(), name
        assert name == "migrate" or "test" in service["healthcheck"], name
        assert re.search(r":v?\d", service["image"]), f"{name} does not name a version"
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_secrets_come_from_files(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN|_URL", key):
                assert key.endswith("_FILE"), (name, key)
                assert value.startswith("/run/secrets/"), (name, key)
                assert Path(value).name in service["secrets"], (name, key)
    made = {Path(secret["file"]).name for secret in compose["secrets"].values()}
    script = (ROOT / "deploy/make-secrets").read_text()
    assert made == set(re.findall(r"^\s*keep (\w+)", script, re.M))


def test_made_secrets_are_random_kept_and_closed_to_others(tmp_path: Path) -> None:
    def make(folder: Path) -> dict[str, str]:
        subprocess.run(["sh", str(ROOT / "deploy/make-secrets"), str(folder)], check=True, capture_output=True)
        return {file.name: file.read_text() for file in folder.iterdir()}

    one, other = make(tmp_path / "one"), make(tmp_path / "other")
    assert make(tmp_path / "one") == one
    assert not {one[name] for name in one if name != "metrics_token"} & set(other.values())
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o700
    assert one["store_password"].strip() in one["store_url"]
    assert one["broker_conf"].split()[1] in one["broker_url"]


def test_what_can_be_scaled_holds_no_port_and_no_name(compose: dict[str, Any]) -> None:
    for worker in pipeline.WORKERS:
        assert not {"ports", "container_name", "hostname"} & compose["services"][worker.name].keys()


def test_what_reads_hostile_bytes_has_no_way_out(compose: dict[str, Any]) -> None:
    assert compose["networks"]["inner"] == {"internal": True}
    for name in ("extract", "enrich", "feeder", "migrate", "redis", "postgres"):
        assert compose["services"][name]["networks"] == ["inner"]


def test_files_that_are_mounted_are_there(compose: dict[str, Any]) -> None:
    mounted = [one["file"] for one in compose["configs"].values()]
    volumes = [volume for service in compose["services"].values() for volume in service.get("volumes", [])]
    mounted += [volume.partition(":")[0] for volume in volumes if volume.startswith("./")]
    assert not [path for path in mounted if not (ROOT / path).exists()]


def test_kubernetes_runs_the_same_commands_as_tightly(
    compose: dict[str, Any], kubernetes: dict[tuple[str, str], dict[str, Any]]
) -> None:
    for name in OURS:
        found = next(one for (kind, called), one in kubernetes.items()
                     if kind in ("Job", "Deployment") and called.startswith(name))  # fmt: skip
        pod = found["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["command"] == compose["services"][name]["command"]
        assert container["image"] == compose["services"][name]["image"]
        assert {one["name"] for one in container["env"]} == compose["services"][name]["environment"].keys()
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        if name not in ("migrate", "web"):
            assert container["livenessProbe"]["exec"]["command"] == compose["services"][name]["healthcheck"]["test"][1:]
            assert found["spec"]["selector"]["matchLabels"] == found["spec"]["template"]["metadata"]["labels"]


def test_kubernetes_objects_name_each_other_rightly(kubernetes: dict[tuple[str, str], dict[str, Any]]) -> None:
    for (kind, _), one in kubernetes.items():
        if kind == "HorizontalPodAutoscaler":
            assert ("Deployment", one["spec"]["scaleTargetRef"]["name"]) in kubernetes
    web = kubernetes["Deployment", "web"]["spec"]["template"]
    assert kubernetes["Service", "web"]["spec"]["selector"].items() <= web["metadata"]["labels"].items()
    assert (
        web["spec"]["containers"][0]["ports"][0]["name"]
        == kubernetes["Service", "web"]["spec"]["ports"][0]["targetPort"]
    )


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")
def test_systemd_takes_the_units_and_finds_them_tight(tmp_path: Path) -> None:
    names = []
    for unit in sorted((ROOT / "deploy/systemd").iterdir()):
        text = unit.read_text()
        assert "/opt/briefwire/bin/briefwire" in text
        (tmp_path / unit.name).write_text(text.replace("/opt/briefwire/bin/briefwire", "/bin/true"))
        names.append(str(tmp_path / unit.name))
    checked = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    for name in names:
        judged = ["systemd-analyze", "security", "--offline=true", "--threshold=20", name]
        assert subprocess.run(judged, capture_output=True).returncode == 0, name


def test_the_image_is_built_from_what_is_here_and_runs_as_nobody_special() -> None:
    text = (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", " ")
    final = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER (?!0|root)\S+$", final, re.M)
    assert "HEALTHCHECK" in final
    copied = [word for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.M) for word in line.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text().split()
    for path in copied:
        assert (ROOT / path).exists(), path
        assert any(f"!{path}".startswith(line) for line in ignored if line.startswith("!")), f"{path} is not sent along"
    assert "--require-hashes" in text
    assert not re.search(r"^ADD ", text, re.M)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_yaml_file_says_a_key_twice(file: Path) -> None:
    class Strict(yaml.SafeLoader):  # type: ignore[misc,name-defined]
        pass

    def mapping(loader: Any, node: Any) -> dict[str, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: {keys}"
        return dict.fromkeys(keys)

    Strict.add_constructor("tag:yaml.org,2002:map", mapping)
    assert list(yaml.load_all(file.read_text(), Strict))


# The parts, as processes


@pytest.fixture(scope="module")
def site() -> Iterator[BulkSite]:
    made = BulkSite(3, seed=21)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver(SECRET)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def stack(
    compose: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, postgres: servers.Postgres, site: BulkSite,
    receiver: Receiver,
) -> Iterator[Composed]:  # fmt: skip
    """Everything up and healthy; the receiver is a partner before the site becomes a source, so that it is owed every event."""
    hosts = [host_of(site.url), host_of(receiver.url)]
    with composed(compose, tmp_path_factory.mktemp("composed"), postgres, hosts) as running:
        for words in (
            ("partner", "add", receiver.url, "--name", "partner", "--secret", SECRET, "--backfill", "--no-check"),
            ("source", "add", site.feed_url, "--kind", "feed", "--name", "site", "--profile", "demo", "--no-check"),
        ):
            done = running.run("web", "briefwire", *words)
            assert done.returncode == 0, done.stderr
        yield running


def arrived(stack: Composed, receiver: Receiver, articles: int) -> None:
    """Waits until so many articles arrived, each under one id and in order, and the books balance with nothing under way."""
    enough = receiver.wait_for(
        lambda seen: len({one.article_id for one in seen if one.accepted}) >= articles, PATIENCE_S
    )
    assert enough, stack.state()
    books = stack.run("web", "briefwire", "ledger", "--wait", "60", "--json")
    assert (books.returncode, json.loads(books.stdout)["settled"]) == (0, True), books.stdout
    state = receiver.state()
    assert (state["unverified"], state["split"], state["disordered"]) == (0, 0, 0)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_service_gets_healthy_and_a_brief_goes_through(stack: Composed, receiver: Receiver) -> None:
    arrived(stack, receiver, 3)
    doctor = stack.run("web", "briefwire", "doctor", "--json")
    checks = {one["name"]: one["state"] for one in json.loads(doctor.stdout)["checks"]}
    assert (checks["broker"], checks["store"], checks["books"]) == ("ok", "ok", "ok"), doctor.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_password_and_no_key_is_in_a_log_or_a_process_list(stack: Composed, receiver: Receiver) -> None:
    arrived(stack, receiver, 3)
    folder = stack.folder / "secrets"
    hidden = [(folder / name).read_text().strip() for name in ("store_password", "secret_key")]
    hidden += [(folder / "broker_conf").read_text().split()[1], SECRET]
    running = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    told = running + "".join(file.read_text(errors="replace") for file in stack.folder.glob("*.log"))
    assert not [secret for secret in hidden if secret in told]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_alert_asks_for_a_figure_that_is_told(stack: Composed, receiver: Receiver) -> None:
    arrived(stack, receiver, 3)
    store = Store(
        stack.run(
            "web", sys.executable, "-c", "from shared import settings; print(settings.load().store_url)"
        ).stdout.strip()
    )
    with store.write() as connection:
        token = accounts.issue(connection, "prometheus", ["read"], "test", clock.now())
    store.close()
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.web_port}/metrics", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        told = set(re.findall(r"^# TYPE (\w+)", answer.read().decode(), re.M))
    rules = [
        rule for group in yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"] for rule in group["rules"]
    ]
    asked = {name for rule in rules for name in re.findall(r"briefwire_\w+", rule["expr"])}
    assert asked
    assert asked <= told


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_rolling_restart_under_load_loses_nothing(stack: Composed, site: BulkSite, receiver: Receiver) -> None:
    arrived(stack, receiver, 3)
    ends = {}
    for part in ("fetch", "enrich", "deliver", "feeder"):
        site.publish(4)
        stack.start(part, name=f"{part}-2")  # the new one first, as a rolling update does
        ends[part] = stack.stop(part)
    assert set(ends.values()) == {0}
    arrived(stack, receiver, 19)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_part_that_is_down_is_called_unhealthy(stack: Composed, receiver: Receiver) -> None:
    arrived(stack, receiver, 3)
    assert stack.stop("redis") == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checked = stack.run("web", "briefwire", "health", "fetch")
    assert checked.returncode == 3
    assert "broker" in checked.stderr
    stack.start("redis", "--port", str(stack.redis_port), "--bind", "127.0.0.1")
    stack.wait_healthy("redis")
