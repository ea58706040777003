"""Label and scores under CrypTen's protocols: what is opened of shared logits, by its own comparison with zero.

Label:  all pairs of classes are compared at once; who loses to nobody is the label, the lowest of equal ones. Twice
        eight rounds, 216 bytes a comparison each way, classes * (classes + 1) / 2 of them.
Scores: every party rounds its share down to the step; one comparison a class says whether the sum is one short. Eight
        rounds. As exact as CrypTen's truncation: wrong with probability about 2^(bits of a logit - 64).
What is opened is masked afresh by the conversion of the last comparison's bits. The index arithmetic is on raw shares.
"""

from typing import Any

import numpy as np
import torch

from pi_system.backends.crypten.interpreter import FRAC_BITS
from pi_system.backends.crypten.library import crypten
from pi_system.errors import ConfigError
from pi_system.program.reveal import Reveal


def check_step(step_log2: int) -> int:
    """Bits that scores drop of CrypTen's logits. Raises ConfigError where its 16 fraction bits are too few."""
    if step_log2 <= -FRAC_BITS:
        raise ConfigError(
            f"scores: expected a step above 2^-{FRAC_BITS} with backend crypten, found 2^{step_log2}; ask for label"
        )
    return step_log2 + FRAC_BITS


def opened(logits: Any, reveal: Reveal, step_log2: int, rank: int) -> Any:
    """What ``reveal`` opens of the logits (1, classes): label (1, 1) and scores in steps as integers, or the logits."""
    if reveal == "logits":
        return logits
    share = logits.share
    return _integers(_label(share, rank) if reveal == "label" else _scores(share, check_step(step_log2), rank))


def _label(share: torch.Tensor, rank: int) -> torch.Tensor:
    classes = share.shape[1]
    places = torch.arange(classes, device=share.device)
    if classes == 1:
        return torch.zeros_like(share)
    first, second = (torch.from_numpy(part).to(share.device) for part in np.triu_indices(classes, 1))
    less = _negative(share.index_select(1, first) - share.index_select(1, second))
    signs = (places == first[:, None]).long() - (places == second[:, None]).long()
    lost = (less[:, :, None] * signs).sum(dim=1) + (places if rank == 0 else 0)  # to each of those before, unless less
    winner = _negative(lost - (1 if rank == 0 else 0))
    return (winner * places).sum(dim=1, keepdim=True)


def _scores(share: torch.Tensor, shift: int, rank: int) -> torch.Tensor:
    raised = share + ((1 << (shift - 1)) if rank == 0 else 0)
    near = raised >> shift  # the sum is the rounded value, or one less
    rest = raised - (near << shift) - ((1 << shift) if rank == 0 else 0)
    return near - _negative(rest) + (1 if rank == 0 else 0)


def _negative(share: torch.Tensor) -> torch.Tensor:
    """Share of [x < 0]."""
    bits: torch.Tensor = _integers(share)._ltz().share
    return bits


def _integers(share: torch.Tensor) -> Any:
    return crypten.mpc.MPCTensor.from_shares(share, precision=0)
