"""docker-compose.yml and deploy/kubernetes.yaml: valid, and of one mind with the programs that they start."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pi_client.cli import main as client_main
from pi_server.cli import main as server_main
from pi_system.cli.config_file import _defaults
from pi_system.cli.dealer import main as dealer_main

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
MANIFEST = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text()))
BY_KIND = {document["kind"]: document for document in MANIFEST}
PROGRAMS = {"pi-server": server_main, "pi-client": client_main, "pi-dealer": dealer_main}
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("document", MANIFEST, ids=lambda document: document["kind"])
def test_every_object_is_valid_to_kubernetes(document: Any) -> None:
    kubernetes_validate.validate(document, "1.31", strict=True)


def test_the_manifests_parts_fit_each_other() -> None:
    config = tomllib.loads(BY_KIND["ConfigMap"]["data"]["pi.toml"])["pi-server"]
    _defaults(server_main, config, "pi.toml")
    spec = BY_KIND["StatefulSet"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    serve = config["serve"]
    assert (serve["listen"], serve["metrics"]) == (f"0.0.0.0:{ports['grpc']}", f"0.0.0.0:{ports['probes']}")
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/readyz",
        "readiness": "/readyz",
        "liveness": "/livez",
    }
    assert {probe["port"] for probe in probes.values()} == {"probes"}
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {serve["artifact"], serve["keys"], serve["store"]} <= mounts
    named = {volume["name"] for volume in spec["volumes"]} | {
        claim["metadata"]["name"] for claim in BY_KIND["StatefulSet"]["spec"]["volumeClaimTemplates"]
    }
    assert {mount["name"] for mount in container["volumeMounts"]} == named
    (drain,) = [option.default for option in server_main.commands["serve"].params if option.name == "drain"]
    assert spec["terminationGracePeriodSeconds"] > drain
    assert f"--uid {spec['securityContext']['runAsUser']} " in DOCKERFILE


@pytest.mark.parametrize("name", ["server", "client", "dealer"])
def test_compose_starts_commands_that_there_are(name: str) -> None:
    command = re.sub(r"\$\{\w+:-(\w[\w.]*)\}", r"\1", SERVICES[name]["command"])
    program, subcommand, *arguments = shlex.split(command)
    main = PROGRAMS[program]
    context = main.make_context(program, [subcommand], resilient_parsing=True)
    main.commands[subcommand].make_context(subcommand, arguments, parent=context)
    for variable in SERVICES[name].get("environment", {}):
        known = [option.envvar for below in main.commands.values() for option in below.params] + [
            f"PI_{below}_{option.name}".upper() for below in main.commands for option in main.commands[below].params
        ]
        assert variable in known


def test_nothing_of_compose_ends_before_the_client() -> None:
    """``up --exit-code-from client`` ends with whatever ends first."""
    assert "exec sleep infinity" in SERVICES["keys"]["command"]
    waited = [on["condition"] for service in SERVICES.values() for on in service.get("depends_on", {}).values()]
    assert set(waited) == {"service_healthy"}
    for name in ("server", "dealer"):
        assert SERVICES[name]["restart"] == "unless-stopped"
        assert int(SERVICES[name]["stop_grace_period"].rstrip("s")) > 30


def test_material_is_kept_in_volumes_and_no_party_sees_anothers_keys() -> None:
    kept = {}
    for name in ("server", "client", "dealer"):
        pairs = [mount.removesuffix(":ro").rsplit(":", 1) for mount in SERVICES[name]["volumes"]]
        kept[name] = {source: target for source, target in pairs}
    for name in ("server", "client"):
        assert kept[name][f"material-{name}"] == "/home/pi/.local/share/pi-system"
        assert f"material-{name}" in COMPOSE["volumes"]
    assert "/home/pi/.local/share/pi-system" in DOCKERFILE
    for name, mounts in kept.items():
        assert [source for source in mounts if source.startswith("keys-")] == [f"keys-{name}"]


def test_every_image_is_built_from_a_target_that_has_its_programs() -> None:
    assert {"client", "server"} <= set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))
    built = {service["image"]: service["build"]["target"] for service in SERVICES.values() if "build" in service}
    assert built == {"pi-system-server": "server", "pi-system-client": "client"}
    for service in SERVICES.values():
        program = re.findall(r"\bpi-(\w+)\b", service["command"])[0]
        assert built[service["image"]] == ("client" if program == "client" else "server")
    (container,) = BY_KIND["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert container["image"].removesuffix(":latest") in built


def test_no_image_and_no_make_brings_cuda() -> None:
    """PyPI's torch does; the demo's is not in the images either."""
    (torch,) = re.findall(r'^ARG TORCH="(.*)"$', DOCKERFILE, re.MULTILINE)
    assert torch == re.findall(r"^TORCH +\?= (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0]
    assert torch.endswith("/whl/cpu")
    copied = re.findall(r"^COPY --from=(\S+) .*?(/opt/\S+)", DOCKERFILE, re.MULTILINE)
    assert {path for stage, path in copied if stage == "demo"} == {"/opt/demo/picture.png", "/opt/demo/artifact"}
    assert all(service["build"]["args"] == ["TORCH"] for service in SERVICES.values() if "build" in service)
