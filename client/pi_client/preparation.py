"""What an offline phase is about to take, said before it is taken, and how far it is."""

from dataclasses import dataclass, field

from pi_system.cost.predict import Workload
from pi_system.errors import ConfigError
from pi_system.rpc.client_session import ClientSession


@dataclass(frozen=True, slots=True)
class Preparation:
    """Of ``count`` inferences in an open session.

    Attributes:
        count: that will be prepared.
        goal: that will be ready then.
        disk: bytes that it will take of the client's disk.
        server_disk: of the server's, for material; None: the backend does not say.
        server_lasting: of the server's once a model and size of a group: transformed weights. A client cannot see
            whether they are there.
        traffic: payload of the client's own connections, at most; None as for ``server_disk``.
    """

    session: ClientSession = field(repr=False)
    count: int
    goal: int
    disk: int
    server_disk: int | None
    server_lasting: int
    traffic: int | None

    @classmethod
    def of(cls, session: ClientSession, count: int, goal: int) -> "Preparation":
        """What the public model says of ``count``, after which ``goal`` will be ready."""
        server_disk, lasting, traffic = None, 0, None
        try:
            work = Workload(session.public, session.config.backend, session.config.revealed)
            cost, together = work.offline, work.together(count)
        except ConfigError:
            pass  # such as one of tests: it runs, and nobody knows what it costs
        else:
            server_disk, lasting = count * cost.stored[0], together.lasting_bytes
            traffic = count * (cost.nbytes - cost.unseen) - together.saved_bytes + cost.setup_bytes
        disk = session.disk_bytes(count)
        return cls(session, count, goal, disk, server_disk, lasting, traffic)

    def line(self) -> str:
        """What it will take."""
        parts = [f"{self.disk / 1e6:,.1f} MB of disk here"]
        if self.server_disk is not None and self.traffic is not None:
            kept = f" ({self.server_lasting / 1e6:,.1f} more, kept, unless it has the model's weights for such groups)"
            once = kept if self.server_lasting else ""
            parts.append(f"{self.server_disk / 1e6:,.1f} MB at the server{once}")
            parts.append(f"at most {self.traffic / 1e6:,.1f} MB over the links of this client")
        return f"prepares {self.count}: takes {', '.join(parts)}"

    def ready(self) -> str:
        """How many inferences are prepared now, of how many."""
        return f"prepared {self.session.available()}/{self.goal} inferences"

    def line_after(self, elapsed_s: float) -> str:
        """The state after so long, for a log; how much longer where enough has passed to tell."""
        passed, all_of_it, left = self.passed(), "", ""
        if self.traffic:
            all_of_it = f" of at most {self.traffic / 1e6:,.1f}"
            if passed:
                left = f", about {elapsed_s * (self.traffic - passed) / passed:,.0f} s left"
        return f"{self.ready()}, {passed / 1e6:,.1f}{all_of_it} MB passed in {elapsed_s:,.0f} s{left}"

    def passed(self) -> int:
        """Payload so far; never more than ``traffic``, from which the time that is left is told."""
        found = self.session.prepared_bytes()
        return found if self.traffic is None else min(found, self.traffic)
