"""An application with an event loop that asks a private service: predictions wait in threads, the loop goes on.

pi-server serve --artifact builtin:cifar10 --insecure &
python examples/many_questions.py 127.0.0.1:7100 *.png
"""

import asyncio
import sys

import pi_system as pi


async def main(address: str, files: list[str]) -> None:
    """Ask for every file at once; the material for all is prepared ahead."""
    with pi.Client(address, insecure=True) as client:
        await asyncio.to_thread(client.prepare, len(files))
        for result in await asyncio.gather(*(client.apredict(file) for file in files)):
            print(result)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
