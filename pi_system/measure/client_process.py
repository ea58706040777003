"""The program of a measured client: one session, driven by lines of JSON on stdin, answered on stdout.

    {"prepare": COUNT}             -> {"count":, "offline_ms":, "offline_bytes":, "peak_memory_bytes":}
    {"infer": FIRST, "count": N}   -> {"online":, "logits":, "spans":, "peak_memory_bytes":}

It is the client of rpc/ and nothing else, so its memory and its core are a client's. It ends with its stdin. An error
is answered with {"error": TEXT} and ends it. Run by ``MeasuredClient``.
"""

import json
import os
import sys
from dataclasses import asdict
from typing import Any

import numpy as np

from pi_system.errors import PiError
from pi_system.measure.measured_client import ClientTask
from pi_system.measure.memory import peak_memory_bytes
from pi_system.measure.profile import spans_of
from pi_system.rpc.client_session import ClientSession, Endpoint
from pi_system.rpc.envelope import ID_BYTES
from pi_system.rpc.session_config import SessionConfig
from pi_system.rpc.tls import Identity

__all__ = ["main"]


def main() -> None:
    """Serve commands until stdin ends."""
    task = ClientTask.model_validate_json(sys.argv[1])
    try:
        _serve(task)
    except PiError as error:
        _answer({"error": f"{type(error).__name__}: {error}"})
        sys.exit(error.exit_code)


def _serve(task: ClientTask) -> None:
    pictures = np.load(task.pictures, allow_pickle=False)
    task.store.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = Identity.load(task.keys / "client") if task.keys else None
    endpoint = Endpoint(
        server=task.server, dealer=task.dealer, store_dir=task.store, timeout_s=task.timeout_s, identity=identity
    )
    config = SessionConfig(
        backend=task.backend,
        artifact_digest="",
        client_id=os.urandom(ID_BYTES),
        link=task.link,
        profile=task.profile,
    )
    with ClientSession(endpoint, config) as session:
        _answer({"digest": session.public.public.digest})
        for line in sys.stdin:
            command = json.loads(line)
            if "prepare" in command:
                answer = asdict(session.prepare(command["prepare"]))
            else:
                first, count = command["infer"], command["count"]
                logits, cost = session.infer(pictures[first : first + count])
                spans = [asdict(span) for span in spans_of(session.profiles.values())]
                answer = {"online": asdict(cost), "logits": logits.tolist(), "spans": spans}
            _answer({**answer, "peak_memory_bytes": peak_memory_bytes()})


def _answer(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
