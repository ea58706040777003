"""Truncation of a value that no gate follows, by truncation pairs: nothing is sent online.

Functionality: D = R(y / 2^t) - r at the server, for y = y_0 + y_1 mod 2^l; R rounds to a neighbouring integer, up with
          probability (y mod 2^t) / 2^t.
Inputs:   y_0 at the server (online), y_1 and the fresh mask r at the client (both known offline); uint32 or uint64.
Outputs:  D at the server; the client's share is r.
Offline:  r' = rho_s + rho_c with low t bits uniform given the view of either party, and c the carry out of them; by
          dealt.py  a dealer, who knows rho_s and rho_c, uniform in Z_{2^l}, from the seeds it shares with the parties:
                    offset = y_1 + r' (client -> server: y_1 + rho_c), correction = (r' >> t) + r (dealer -> server);
          pairs.py  the two parties: rho_c = -y_1, so that y_1 + rho_c needs no message, and rho_s, t bits, masks the
                    low bits only. offset = rho_s; correction = (rho_c >> t) + c + r, c shared by carry.py, then
                    c + (what the client knows) by one OT of two ring elements.
Online:   the server alone: D = ((y_0 + offset mod 2^l) >> t) - correction.
Cost:     no message, no round. Offline an element: dealt, l bits from client and from dealer to server; two parties,
          a round trip for every block of carry.py and one (3 for t = 8, 5 for t = 14) and, at l = 59, 23 to 29 bytes
          for t = 8 to 14 with their 10 to 18 OTs. Declared by cost.py.
Error:    below one ulp, unbiased; wrong by 2^(l-t) with probability at most (|y| + 2^t) / 2^l, where y + r' leaves
          Z_{2^l}. Between two parties the client can tell when: it knows rho_c, all of r' but its low bits. Such a
          failure moves the logits by the weights behind that position, so the ring is to be wide enough that it does
          not happen (artifact/ring.py, truncation_log2).
Security: semi-honest, one corrupted party; dealer: trusted, AES-128; two parties: that of the OTs. The rounding coin
          is (r' mod 2^t): the client does not know rho_s, the server not rho_c. A truncation of each share alone would
          be off by a function of the share that its owner knows: a client that sees logits could solve for weights.
Source:   Mohassel and Rindal, eprint 2018/403 (ABY3), section 5.1 (truncation pairs). Deviation: one party's share is
          known offline, so opening y + r' to the server alone takes no message.
"""

from pi_system.protocols.truncation.cost import TruncationSpec, client_message_bytes, offline_cost
from pi_system.protocols.truncation.online import truncate

__all__ = ["TruncationSpec", "client_message_bytes", "offline_cost", "truncate"]
