"""Every error this package raises, with the exit code each becomes at the command line.

    PiError                            1
      ConfigError                     10  bad or mismatching parameters (names field, value, allowed)
        BudgetError                   10  a method cannot reach a ReLU budget; says the least it can
        RevealError                   12  a client asks for more than the server reveals
        ClientRefusedError            13  the server does not know the client's certificate, or it is revoked
        LimitError                    14  a client asks for more than its limits, or the store's, allow
        DivergedError                 15  a training whose loss is no longer finite
        InexactError                  16  fixed point costs a network more than the export was asked for
        MissingExtraError             10  a library that only an extra installs; says what to type
      InputError                      11  a user's input (picture, path, data set) cannot be used
      ArtifactError                   20  an exported model cannot be read
        UnsupportedLayerError         21  a layer that export does not support, by name
        ArtifactVersionError          22  written by another format version
        ArtifactDigestError           23  content does not match its digest, or the parties' digests differ
      FixedPointRangeError            25  a value does not fit ring_bits / frac_bits
      CorrelationError                30  offline material cannot be used
        CorrelationExhaustedError     31  no unused material is left
        CorrelationReusedError        32  material was used before
        CorrelationMismatchError      33  material of another model, peer or configuration, or damaged
      ProtocolError                   40
        LocalProtocolError            41  we broke the order of a protocol
        RemoteProtocolError           42  the peer sent something the protocol does not allow
      ChannelError                    50
        PeerUnavailableError          51  the peer cannot be reached or went away
        PeerTimeoutError              52  the peer was silent for too long
        FrameTooLargeError            53  a frame is over the agreed size
        DealerUnavailableError        54  the dealer cannot be reached or went away
        BusyError                     55  the server has no place now; says when to ask again
      StorageError                    60  a disk is full, read-only or broken, or a result could not be written
      InvariantError                  70  a bug in this package

Messages say what was expected and what was found. They never hold secret data: no pixel, weight, share, mask,
key or logit. A message may hold sizes, names, digests of public files and addresses.
"""

from typing import Final


class PiError(Exception):
    """Base of all errors of this package; ``exit_code`` is what a command line program ends with.

    Attributes:
        request: of the session that it ended, as both sides' logs name it; empty: none.
    """

    exit_code = 1
    request = ""


class ConfigError(PiError):
    """A parameter is bad, or the two parties' parameters differ."""

    exit_code = 10


class BudgetError(ConfigError):
    """A reduction method cannot reach a ReLU budget.

    Attributes:
        least: the smallest budget it can reach.
        what: what has so many ReLUs.
        budget: the one asked for.
    """

    def __init__(self, least: int, what: str, budget: int):
        """All three are arguments, so that a copy has them."""
        super().__init__(least, what, budget)
        self.least, self.what, self.budget = least, what, budget

    def __str__(self) -> str:
        """Expected and found."""
        return f"budget: expected at least {self.least} ReLUs, {self.what}; found {self.budget}"


class RevealError(ConfigError):
    """A client asks for more than the server's policy reveals."""

    exit_code = 12


class ClientRefusedError(ConfigError):
    """A server does not know a client's certificate, or it is revoked."""

    exit_code = 13


class LimitError(ConfigError):
    """A client asks for more than its limits, or those of the store, allow."""

    exit_code = 14


class DivergedError(ConfigError):
    """The loss of a training is no longer finite: its recipe does not suit the network."""

    exit_code = 15


class InexactError(ConfigError):
    """Fixed point moves a network's logits by more than an export allows, or a value leaves its range."""

    exit_code = 16


class MissingExtraError(ConfigError):
    """A library is not installed that one of the package's extras brings; the message has the command to type."""


class InputError(PiError):
    """Something the user named (picture, path, data set) cannot be used."""

    exit_code = 11


class ArtifactError(PiError):
    """An exported model cannot be read."""

    exit_code = 20


class UnsupportedLayerError(ArtifactError):
    """Export met a layer it does not support; the message names the layer."""

    exit_code = 21


class ArtifactVersionError(ArtifactError):
    """The artifact was written in another format version."""

    exit_code = 22


class ArtifactDigestError(ArtifactError):
    """Content does not match its digest, or the two parties hold different artifacts."""

    exit_code = 23


class FixedPointRangeError(PiError):
    """A value does not fit the ring and fraction bits it must be encoded in."""

    exit_code = 25


class CorrelationError(PiError):
    """Offline material cannot be used."""

    exit_code = 30


class CorrelationExhaustedError(CorrelationError):
    """No unused offline material is left."""

    exit_code = 31


class CorrelationReusedError(CorrelationError):
    """Offline material was asked for a second time."""

    exit_code = 32


class CorrelationMismatchError(CorrelationError):
    """Offline material belongs to another model, peer or configuration, or is damaged."""

    exit_code = 33


class ProtocolError(PiError):
    """A protocol was not followed."""

    exit_code = 40


class LocalProtocolError(ProtocolError):
    """This side broke the order of a protocol: a bug in the caller."""

    exit_code = 41


class RemoteProtocolError(ProtocolError):
    """The peer sent something the protocol does not allow."""

    exit_code = 42


class ChannelError(PiError):
    """Bytes could not be exchanged with a peer."""

    exit_code = 50


class PeerUnavailableError(ChannelError):
    """The peer cannot be reached, or went away in mid-run."""

    exit_code = 51


class PeerTimeoutError(ChannelError):
    """The peer stayed silent for longer than the agreed time."""

    exit_code = 52


class FrameTooLargeError(ChannelError):
    """A frame is larger than the agreed maximum."""

    exit_code = 53


class DealerUnavailableError(ChannelError):
    """The dealer cannot be reached, or went away in mid-run."""

    exit_code = 54


class BusyError(ChannelError):
    """The server has no place for a session, or for its offline phase, now.

    Attributes:
        retry_s: when to ask again.
        ticket: to show then, 32 hexadecimal digits; empty: there is none.
    """

    exit_code = 55

    def __init__(self, message: str, retry_s: float = 1.0, ticket: str = ""):
        """All three are arguments, so that a copy has them."""
        super().__init__(message, retry_s, ticket)
        self.retry_s, self.ticket = retry_s, ticket

    def __str__(self) -> str:
        """The message alone."""
        return str(self.args[0])


class StorageError(PiError):
    """A disk is full, read-only or broken, or a result could not be written."""

    exit_code = 60


class InvariantError(PiError):
    """A bug in this package: something that cannot happen did."""

    exit_code = 70


ERRORS: Final[dict[str, type[PiError]]] = {
    name: kind for name, kind in vars().copy().items() if isinstance(kind, type) and issubclass(kind, PiError)
}
"""All of them, by name."""
