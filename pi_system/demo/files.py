"""Where the demo's processes leave what the page shows: names in its temporary folder, of mode 0700."""

from typing import Final

INPUT_FILE: Final = "input.npy"
"""The picture, preprocessed: (C, H, W)."""
SHARES_FILE: Final = "client.safetensors"
"""The client's shares by layer, (1, C, ...)."""
SENT_FILE: Final = "sent.bin"
"""What the client sent first online: the masked picture, as on the wire."""
SERVER_FILE: Final = "server.safetensors"
"""The server's shares by layer, (1, C, ...)."""
