"""``python -m pi_system.demo.client_process``: the client of the demo, which runs what ``pi-client infer`` does.

It reads one JSON object a line, an inference to run, and writes events, one JSON object a line; the last of every
inference is ``done`` or ``failed``. INSECURE: a ``ShareTap`` keeps its shares for the page.
"""

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from pi_client.connect import SessionOptions, open_session
from pi_client.result import InferResult
from pi_client.store import ClientStore
from pi_system.artifact.model import tensor_bytes
from pi_system.demo.files import INPUT_FILE, SENT_FILE, SHARES_FILE
from pi_system.demo.request import Request
from pi_system.demo.tap import ShareTap, TapStep
from pi_system.errors import InvariantError, PiError
from pi_system.inputs import check_inputs, load_inputs
from pi_system.rpc.client_session import ClientSession

Say = Callable[..., None]
_TIMEOUT_S: Final = 120.0


def run(request: Request, say: Say) -> None:
    """Prepare one inference and run it; ``say`` is told of every step, the shares go to files of the folder.

    Raises:
        PiError: as ``pi-client infer``.
    """
    check_inputs([Path(request.picture)])
    options, phase = _options(request), "offline"

    def on_step(step: TapStep) -> None:
        say("step", phase=phase, **asdict(step))

    tap, store = ShareTap(on_step), ClientStore(options.store)
    with open_session(options, store, wrap=tap.watch, prepares=True) as session:
        public = session.public.public
        inputs, names = load_inputs([Path(request.picture)], public.preprocess)
        np.save(Path(request.folder) / INPUT_FILE, inputs[0])
        _check_empty(session)
        say("opened", backend=session.config.backend, reveal=session.config.revealed, request=session.request)
        store.note_offline(session.config, session.prepare(1))
        tap.leave()
        shares = dict(tap.shares)
        offline = store.noted_offline(session.config)
        say("prepared", ms=offline.offline_ms if offline else None, bytes=offline.offline_bytes if offline else None)
        phase = "online"
        tap.begin(public.graph.input.name)
        outputs, online = session.infer(inputs)
        tap.leave()
        (Path(request.folder) / SHARES_FILE).write_bytes(tensor_bytes(shares))
        (Path(request.folder) / SENT_FILE).write_bytes(tap.first)
        result = InferResult(
            model=public,
            config=session.config,
            names=names,
            outputs=outputs,
            online=online,
            offline=offline,
            prepared_now=True,
            request=session.request,
            asked=len(names),
        )
        say("done", result=result.as_json())


def _options(request: Request) -> SessionOptions:
    """As ``pi-client infer`` would have them."""
    return SessionOptions(
        server=request.server,
        dealer=request.dealer,
        backend=request.backend,
        reveal=request.reveal,
        artifact=None,
        digest="",
        store=Path(request.store),
        timeout=_TIMEOUT_S,
        connect_timeout=10.0,
        insecure_provider=False,
        keys=Path(request.keys),
        insecure=False,
    )


def _check_empty(session: ClientSession) -> None:
    if found := session.available():
        raise InvariantError(f"demo: expected a store without material, whose shares are not known, found {found}")


def _say(event: str, **content: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **content}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Until standard input ends, which it does with the demo."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group
    _say("ready")
    for line in sys.stdin:
        request = Request(**json.loads(line))
        try:
            run(request, _say)
        except PiError as error:
            told = str(error).replace(request.picture, "picture")  # the name of a file of the demo's own
            _say("failed", message=told, code=error.exit_code)


if __name__ == "__main__":
    main()
