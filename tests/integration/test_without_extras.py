"""Where only what each party needs is installed: every command of a client, a server and a dealer, without torch."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import processes
import pytest
from absent import EXTRAS_ONLY, SERVERS_ONLY, without
from changed_artifact import runnable
from processes import model_folder, pi_client, pi_server, started
from scaled_artifact import relu_artifact

from pi_client.cli import main
from pi_system.backends.registry import SERVED_BY_DEFAULT

# Of one process: where it is asked for, a missing module is an error, and one that was found would be left behind.
COMMANDS = """
import json, sys
from pi_client.cli import main
for words in json.loads(sys.argv[1]):
    main(words, standalone_mode=False)
print("loaded", json.dumps([name for name in json.loads(sys.argv[2]) if sys.modules.get(name)]))
"""


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server of a model that every backend runs, and a dealer, in an environment of the extra ``server`` alone."""
    folder = model_folder(tmp_path_factory.mktemp("bare"), runnable("table", relu_artifact(0.1)))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in without(folder / "server-site", *EXTRAS_ONLY).items():
            patch.setitem(processes.ENVIRONMENT, name, value)
        deal = ("-c", "from pi_system.cli.start import dealer; dealer()", "serve", "--listen", "127.0.0.1:0")
        with started(*deal, "--insecure") as (_, dealer):
            options = ("--insecure", "--dealer", dealer)
            with pi_server(folder / "model", folder / "store", *options) as (_, server):
                yield folder, {"PI_SERVER": server, "PI_DEALER": dealer}


def test_no_command_of_the_client_imports_what_only_extras_install(addresses: Any, tmp_path: Path) -> None:
    folder, variables = addresses
    words = [[name, "-h"] for name in main.commands]
    words += [["infer", "a.png", "--insecure", "--store", "own", "--backend", name] for name in SERVED_BY_DEFAULT]
    words += [
        ["ping", "--insecure"],
        ["prepare", "--insecure", "--store", "own", "--count", "1"],
        ["status", "--insecure", "--store", "own"],
        ["store", "list", "--store", "own"],
    ]
    absent = (*EXTRAS_ONLY, *SERVERS_ONLY)
    site: Any = without(tmp_path / "site", *absent)
    done = pi_client(folder, json.dumps(words), json.dumps(absent), code=COMMANDS, **site, **variables)
    assert done.returncode == 0, done.stderr
    assert sum(line.startswith("online ") for line in done.stdout.splitlines()) == len(SERVED_BY_DEFAULT)
    assert done.stdout.splitlines()[-1] == "loaded []"


def test_a_dealer_without_crypten_deals_what_it_can(addresses: Any) -> None:
    folder, variables = addresses
    code = "from pi_system.cli.start import dealer; dealer()"
    told = pi_client(folder, "health", "--insecure", code=code, **variables).stdout
    assert "backends fss,gc,gmw,table" in told
