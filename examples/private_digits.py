"""A network of one's own as a private service, from the torch module to the answer, in one file.

python examples/private_digits.py
"""

import tempfile
from pathlib import Path

import torch
from digits_network import build, digits, train

import pi_system as pi


def main() -> None:
    """Train, compile, serve over TLS, ask."""
    torch.manual_seed(0)
    (pictures, _), (held_out, classes) = digits()
    model = pi.compile(train(build()), pictures[:256], classes=[f"a {digit}" for digit in range(10)], name="digits")
    simulated = model.simulate(held_out)
    right = sum(answer.index == int(label) for answer, label in zip(simulated, classes, strict=True))
    print(f"{model.relus:,} ReLUs; in fixed point {right} of {len(classes)} right")

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model.save(place / "model")
        keys = pi.make_keys(place / "keys")
        with (
            pi.Server(place / "model", keys=keys / "server", reveal="scores", store=place / "server") as server,
            pi.Client(server.address, keys=keys / "client", store=place / "client", digest=model.digest) as client,
        ):
            client.prepare(3)
            result = client.predict(held_out[:3])
            print(result)
            print(f"online {result.cost.online_ms:.1f} ms, {result.cost.online_bytes:,} bytes" if result.cost else "")


if __name__ == "__main__":
    main()
