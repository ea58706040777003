"""``store list`` and ``store burn`` of both programs."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from parties import PAIRING, make_parties, prepared
from scaled_artifact import relu_artifact

from pi_client.cli import main as client_main
from pi_server.cli import main as server_main
from pi_system.secure.stores import all_stores

ARTIFACT = relu_artifact(weight_scale=0.3)
MODEL = ARTIFACT.public.digest[:16]
MAINS = {"client": client_main, "server": server_main}


@pytest.fixture
def store(tmp_path: Path) -> Any:
    for backend, count in (("gmw", 2), ("fss", 1)):
        prepared(backend, ARTIFACT, tmp_path, count)
    return tmp_path


def run(role: str, store: Path, *arguments: Any, code: int = 0) -> Any:
    result = CliRunner().invoke(MAINS[role], ["store", arguments[0], "--store", str(store), *arguments[1:]])
    assert result.exit_code == code, result.output
    return result.output


def unused(store: Path) -> Any:
    return {
        (role, found.backend): found.unused()[0]
        for role in MAINS
        for found in all_stores(store, role)
        if found.unused()[0]
    }


@pytest.mark.parametrize("role", list(MAINS))
def test_list_names_what_is_unused(role: str, store: Path) -> None:
    lines = run(role, store, "list").splitlines()
    nbytes = [f"{found.unused()[1]:,}" for found in all_stores(store, role)]
    assert lines == [
        f"model {MODEL}, fss, logits, client {PAIRING[:16]}: 1 unused, {nbytes[0]} bytes",
        f"model {MODEL}, gmw, logits, client {PAIRING[:16]}: 2 unused, {nbytes[1]} bytes",
    ]


@pytest.mark.parametrize("role", list(MAINS))
def test_burn_all_deletes_this_side_and_the_next_meeting_the_other(role: str, store: Path) -> None:
    (other,) = set(MAINS) - {role}
    output = run(role, store, "burn", "--all")
    assert output.endswith(f"3 unused inferences burned in {store}\n")
    assert f"model {MODEL}, gmw, logits, client {PAIRING[:16]}: 2 burned\n" in output
    assert unused(store) == {(other, "gmw"): 2, (other, "fss"): 1}
    assert {path.relative_to(store).parts[0] for path in store.rglob("uses")} == {other}  # nor the record of uses
    assert run(role, store, "burn", "--all").endswith(f"\n0 unused inferences burned in {store}\n")
    for backend in ("gmw", "fss"):
        make_parties(backend, ARTIFACT, store)
    assert unused(store) == {}
    prepared("gmw", ARTIFACT, store, 1)
    assert unused(store) == {("client", "gmw"): 1, ("server", "gmw"): 1}


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        (("--backend", "gmw"), {"fss": 1}),
        (("--digest", ARTIFACT.public.digest.upper()), {}),
        (("--digest", MODEL, "--backend", "fss"), {"gmw": 2}),
        (("--client", PAIRING[:4]), {}),
    ],
)
def test_burn_takes_what_is_chosen(chosen: tuple[str, ...], left: dict[str, Any], store: Path) -> None:
    run("server", store, "burn", *chosen)
    assert {backend: count for (role, backend), count in unused(store).items() if role == "server"} == left


@pytest.mark.parametrize("arguments", [(), ("--all", "--backend", "gmw")])
def test_burn_must_be_told_what(arguments: tuple[Any, ...], store: Path) -> None:
    before = unused(store)
    assert "expected either --all or" in run("client", store, "burn", *arguments, code=10)
    assert unused(store) == before


@pytest.mark.parametrize("arguments", [("--backend", "gc"), ("--digest", "0" * 64), ("--client", "ffff")])
@pytest.mark.parametrize("command", ["list", "burn"])
def test_what_matches_nothing_is_an_error(command: str, arguments: tuple[str, ...], store: Path) -> None:
    assert "found 2 others" in run("client", store, command, *arguments, code=11)
    assert unused(store)["client", "gmw"] == 2


@pytest.mark.parametrize("arguments", [("--backend", "gmw-label"), ("--digest", "xyz"), ("--client", "-")])
def test_what_cannot_match_is_a_usage_error(arguments: tuple[str, ...], store: Path) -> None:
    run("client", store, "burn", *arguments, code=2)


@pytest.mark.parametrize("arguments", [("list",), ("burn", "--all")])
def test_a_folder_without_a_store_is_an_error(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert "--store FOLDER" in run("server", tmp_path / "none", *arguments, code=11)


def test_what_a_crash_left_half_written_is_deleted_and_caches_stay(store: Path) -> None:
    (folder,) = (found.folder for found in all_stores(store, "server") if found.backend == "gmw")
    (folder / f".{'a' * 32}.ready.0.part").write_bytes(b"half")
    (folder / f"{'b' * 32}.used").write_bytes(b"taken and never loaded")
    run("server", store, "burn", "--all")
    assert {path.name for path in folder.iterdir()} == {"lock"}
    assert list((store / "server").rglob("*.words"))
    assert list((store / "server").glob("*/weight_seed"))


def test_a_backend_with_hyphens_in_its_name_is_found_by_it(tmp_path: Path) -> None:
    (tmp_path / "client" / MODEL / "insecure-ideal-label" / PAIRING).mkdir(parents=True)
    (found,) = all_stores(tmp_path, "client")
    assert (found.backend, found.reveal) == ("insecure-ideal", "label")
