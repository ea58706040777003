"""The import contracts of pyproject.toml hold, and each breaks when what it is for is imported."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest
from importlinter.api import read_configuration
from importlinter.contracts.acyclic_siblings import AcyclicSiblingsContract
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.independence import IndependenceContract
from importlinter.contracts.layers import LayersContract
from importlinter.domain.contract import Contract

ROOT = Path(__file__).resolve().parents[3]
KINDS: dict[str, type[Contract]] = {
    kind.type_name: kind for kind in (AcyclicSiblingsContract, ForbiddenContract, IndependenceContract, LayersContract)
}
CONFIGURATION = read_configuration(str(ROOT / "pyproject.toml"))
SESSION, CONTRACTS = CONFIGURATION["session_options"], CONFIGURATION["contracts_options"]

# A contract's name, who imports, and what it may not.
BREAKING = [
    ("the secure arm is a chain", "pi_system.rpc.frames", "pi_system.trace.timeline"),
    ("links are imitated in measurements only", "pi_system.rpc.frames", "pi_system.channel.shaped"),
    ("the plaintext arm is a chain", "pi_system.train.loop", "pi_system.reduce.snl"),
    ("the arms meet only in artifact and program", "pi_system.secure.layout", "pi_system.train.loop"),
    ("the arms meet only in artifact and program", "pi_server.desk", "pi_system.export.scales"),
    ("no import circle, of modules or of folders", "pi_system.protocols.gate", "pi_system.protocols.phases"),
    ("no import circle, of modules or of folders", "pi_system.protocols.ot.base", "pi_system.protocols.relu_gc.cost"),
    ("a backend knows no other", "pi_system.backends.fss.gates", "pi_system.backends.two_party.gates"),
    ("backends are found by their names", "pi_system.cost.choice", "pi_system.backends.two_party.gates"),
    ("protocols import no channel", "pi_system.protocols.half", "pi_system.channel.base"),
    ("protocols import no channel", "pi_system.protocols.half", "socket"),
    ("the product imports no measuring", "pi_system.cost.predict", "scipy"),
    ("protocols do no IO and know no CrypTen", "pi_system.protocols.half", "grpc"),
    ("gRPC is imported by rpc alone", "pi_system.cli.monitor", "grpc"),
    ("gRPC is imported by rpc alone", "pi_server.status", "grpc_health"),
    ("the client trains nothing, and serves nothing", "pi_client.classify", "pi_system.train.loop"),
    ("the client trains nothing, and serves nothing", "pi_client.connect", "pi_system.rpc.server_session"),
    ("client, server and dealer need no torch", "pi_client.classify", "torch"),
    ("client, server and dealer need no torch", "pi_system.secure.layout", "pi_system.program.float_point"),
    ("the client needs no extra", "pi_client.status", "pi_system.cli.monitor"),
    ("the demo's taps are the demo's alone", "pi_server.desk", "pi_system.demo.tap"),
    ("SEAL is an oracle of tests alone", "pi_system.protocols.linear_he.key", "tenseal"),
]


@cache
def imports() -> grimp.ImportGraph:
    """Of the product, read once; a contract is checked on a copy."""
    return grimp.build_graph(
        *SESSION["root_packages"],
        include_external_packages=True,
        exclude_type_checking_imports=True,
        cache_dir=None,
    )


def kept(name: str, graph: grimp.ImportGraph) -> bool:
    (options,) = [deepcopy(one) for one in CONTRACTS if one["name"] == name]
    contract = KINDS[options.pop("type")](options.pop("name"), SESSION, options)
    contract.validate()
    return bool(contract.check(graph, verbose=False).kept)


def test_every_contract_is_broken_once_below() -> None:
    assert {name for name, _, _ in BREAKING} == {one["name"] for one in CONTRACTS}


@pytest.mark.parametrize("name", [one["name"] for one in CONTRACTS])
def test_the_product_keeps_it(name: str) -> None:
    assert kept(name, deepcopy(imports()))


@pytest.mark.parametrize(("name", "importer", "imported"), BREAKING)
def test_it_sees_what_it_is_for(name: Any, importer: Any, imported: Any) -> None:
    graph = deepcopy(imports())
    if imported not in graph.modules:
        graph.add_module(imported, is_squashed=True)
    assert importer in graph.modules
    graph.add_import(importer=importer, imported=imported)
    assert not kept(name, graph)
