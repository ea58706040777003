"""Oblivious transfer between the two parties, semi-honest: random correlated OTs (COTs) and what is built of them.

Functionality: ``extend(count)`` gives the sender ``count`` random blocks q and the receiver t = q ^ u Delta for
               random bits u. Delta is the sender's, fixed for a session; lsb(q) = 0, lsb(Delta) = 1, u = lsb(t).
Inputs:   none.
Outputs:  blocks of 16 bytes, uint64 (count, 2), and the index of the first, a hash tweak that is never given twice.
Offline:  everything here. Setup: 128 base OTs on edwards25519 a direction, 256-leaf trees of SoftSpokenOT, then
          Ferret iterations that start one another: SoftSpokenOT -> small -> large set.
Online:   nothing.
Cost:     setup 3 rounds, in which both send at once, 8,240 bytes a direction (16 of a nonce, sender to receiver 4,096,
          back 4,128); then SoftSpokenOT 15/8 bytes a COT from the receiver, Ferret 16 * depth bytes a tree from the
          sender: 0.17 (small) or 0.09 (large) bytes a COT. A direction that the setup begins has its SoftSpokenOT in
          the last of the 3 rounds.
Error:    none.
Security: semi-honest, kappa = 128. Base OTs: gap Diffie-Hellman in the random oracle model. Hashes: fixed-key AES as a
          random permutation. Ferret: LPN with regular noise and 10-local codes, parameters in ferret.py, 2^140 by
          docs/reference/lpn-estimate.json; the code's matrix is fresh each session. The hash loses log2 of the hashes
          made under one Delta, as every fixed-key hash does (docs/explanation/threat-model.md has numbers).
Source:   Chou and Orlandi 2015/267; Roy 2022/192; Yang et al. 2020/924 (Ferret); Guo et al. 2022/1431 (half-tree);
          Guo et al. 2019/074 (hash).

    base.py        the seam: CotSender, CotReceiver, Cots
    base_ot.py     base OTs
    softspoken.py  COTs from base OTs
    ferret.py      silent COTs from COTs
    party.py       setup of both directions
    strings.py     random OTs of ring elements
"""

from pi_system.protocols.ot.base import Cots
from pi_system.protocols.ot.party import OtParty, ot_setup

__all__ = ["Cots", "OtParty", "ot_setup"]
