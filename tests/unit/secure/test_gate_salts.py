"""Public salts: the AES keys that comparison keys are expanded under are never those of another gate or picture."""

import inspect
from collections import defaultdict

from parties import make_parties, prepare, reserve, run_parties
from random_networks import random_small_artifact

from pi_system.export.random import random_pictures
from pi_system.protocols.relu_dcf.gates import DcfClient, DcfRelu, DcfServer
from pi_system.secure.schedule import Gate, plan


def test_no_two_gates_of_any_picture_share_a_salt(monkeypatch, tmp_path):
    salts = defaultdict(list)

    def recorded(owner, method, name):
        real = getattr(owner, method)
        signature = inspect.signature(real)

        def wrapper(*args, **kwargs):
            found = signature.bind(*args, **kwargs).arguments
            salts[name].append(found["salt"] if "salt" in found else found["material"]["salt"].tobytes())
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, method, wrapper)

    for method in ("deal", "mask_share", "receive_masked"):
        recorded(DcfRelu, method, method)
    recorded(DcfServer, "__init__", "server_gate")
    recorded(DcfClient, "__init__", "client_gate")
    artifact = random_small_artifact(3)
    pictures = random_pictures(artifact.public.graph.input.shape, 3, 1)
    server, client = make_parties("fss", artifact, tmp_path)
    prepare(server, client, 3)
    ids = reserve(server, client, 3)
    run_parties(lambda channel: server.infer(ids, channel), lambda channel: client.infer(pictures, ids, channel))
    public = artifact.public
    gates = sum(isinstance(step, Gate) for step in plan(public.graph, public.ring, artifact.masks, "logits").steps)
    assert gates > 2
    assert len(salts["deal"]) == len(set(salts["deal"])) == 3 * gates
    assert set(salts["mask_share"]) == set(salts["receive_masked"]) == set(salts["deal"])
    assert set(salts["server_gate"]) == set(salts["client_gate"]) <= set(salts["deal"])
    assert len(set(salts["server_gate"])) == len(salts["server_gate"])
