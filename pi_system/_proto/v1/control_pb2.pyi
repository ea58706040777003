from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClientEnvelope(_message.Message):
    __slots__ = ("hello", "prepare", "infer", "bye", "probe", "choose")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    INFER_FIELD_NUMBER: _ClassVar[int]
    BYE_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    CHOOSE_FIELD_NUMBER: _ClassVar[int]
    hello: ClientHello
    prepare: Prepare
    infer: Infer
    bye: Bye
    probe: Probe
    choose: Choose
    def __init__(self, hello: _Optional[_Union[ClientHello, _Mapping]] = ..., prepare: _Optional[_Union[Prepare, _Mapping]] = ..., infer: _Optional[_Union[Infer, _Mapping]] = ..., bye: _Optional[_Union[Bye, _Mapping]] = ..., probe: _Optional[_Union[Probe, _Mapping]] = ..., choose: _Optional[_Union[Choose, _Mapping]] = ...) -> None: ...

class ServerEnvelope(_message.Message):
    __slots__ = ("hello", "prepared", "ready", "done")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PREPARED_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    hello: ServerHello
    prepared: Prepared
    ready: Ready
    done: Done
    def __init__(self, hello: _Optional[_Union[ServerHello, _Mapping]] = ..., prepared: _Optional[_Union[Prepared, _Mapping]] = ..., ready: _Optional[_Union[Ready, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ...) -> None: ...

class ClientHello(_message.Message):
    __slots__ = ("protocol_version", "backend", "artifact_digest", "client_id", "reveal", "insecure_provider", "profile", "prepares", "ticket", "request", "line")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    REVEAL_FIELD_NUMBER: _ClassVar[int]
    INSECURE_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    PREPARES_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    backend: str
    artifact_digest: str
    client_id: bytes
    reveal: str
    insecure_provider: bool
    profile: bool
    prepares: bool
    ticket: str
    request: str
    line: bool
    def __init__(self, protocol_version: _Optional[int] = ..., backend: _Optional[str] = ..., artifact_digest: _Optional[str] = ..., client_id: _Optional[bytes] = ..., reveal: _Optional[str] = ..., insecure_provider: _Optional[bool] = ..., profile: _Optional[bool] = ..., prepares: _Optional[bool] = ..., ticket: _Optional[str] = ..., request: _Optional[str] = ..., line: _Optional[bool] = ...) -> None: ...

class ServerHello(_message.Message):
    __slots__ = ("protocol_version", "artifact_digest", "public_model_bytes", "profile", "reveal", "inferences_left", "backend", "offered", "line")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_MODEL_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    REVEAL_FIELD_NUMBER: _ClassVar[int]
    INFERENCES_LEFT_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    OFFERED_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    artifact_digest: str
    public_model_bytes: int
    profile: bool
    reveal: str
    inferences_left: int
    backend: str
    offered: _containers.RepeatedScalarFieldContainer[str]
    line: Line
    def __init__(self, protocol_version: _Optional[int] = ..., artifact_digest: _Optional[str] = ..., public_model_bytes: _Optional[int] = ..., profile: _Optional[bool] = ..., reveal: _Optional[str] = ..., inferences_left: _Optional[int] = ..., backend: _Optional[str] = ..., offered: _Optional[_Iterable[str]] = ..., line: _Optional[_Union[Line, _Mapping]] = ...) -> None: ...

class Line(_message.Message):
    __slots__ = ("port", "token")
    PORT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    port: int
    token: bytes
    def __init__(self, port: _Optional[int] = ..., token: _Optional[bytes] = ...) -> None: ...

class Probe(_message.Message):
    __slots__ = ("bytes",)
    BYTES_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    def __init__(self, bytes: _Optional[int] = ...) -> None: ...

class Choose(_message.Message):
    __slots__ = ("backend",)
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    backend: str
    def __init__(self, backend: _Optional[str] = ...) -> None: ...

class Prepare(_message.Message):
    __slots__ = ("count", "pairing_id")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    PAIRING_ID_FIELD_NUMBER: _ClassVar[int]
    count: int
    pairing_id: bytes
    def __init__(self, count: _Optional[int] = ..., pairing_id: _Optional[bytes] = ...) -> None: ...

class Prepared(_message.Message):
    __slots__ = ("dealer_bytes", "profile_bytes")
    DEALER_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROFILE_BYTES_FIELD_NUMBER: _ClassVar[int]
    dealer_bytes: int
    profile_bytes: int
    def __init__(self, dealer_bytes: _Optional[int] = ..., profile_bytes: _Optional[int] = ...) -> None: ...

class Infer(_message.Message):
    __slots__ = ("ids", "line")
    IDS_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    line: bool
    def __init__(self, ids: _Optional[_Iterable[str]] = ..., line: _Optional[bool] = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ("line",)
    LINE_FIELD_NUMBER: _ClassVar[int]
    line: bool
    def __init__(self, line: _Optional[bool] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ("profile_bytes",)
    PROFILE_BYTES_FIELD_NUMBER: _ClassVar[int]
    profile_bytes: int
    def __init__(self, profile_bytes: _Optional[int] = ...) -> None: ...

class Profile(_message.Message):
    __slots__ = ("replied_ns", "layers", "layer", "track", "start_ns", "duration_ns", "sent_bytes", "received_bytes", "rounds")
    REPLIED_NS_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    START_NS_FIELD_NUMBER: _ClassVar[int]
    DURATION_NS_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    replied_ns: int
    layers: _containers.RepeatedScalarFieldContainer[str]
    layer: _containers.RepeatedScalarFieldContainer[int]
    track: _containers.RepeatedScalarFieldContainer[int]
    start_ns: _containers.RepeatedScalarFieldContainer[int]
    duration_ns: _containers.RepeatedScalarFieldContainer[int]
    sent_bytes: _containers.RepeatedScalarFieldContainer[int]
    received_bytes: _containers.RepeatedScalarFieldContainer[int]
    rounds: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, replied_ns: _Optional[int] = ..., layers: _Optional[_Iterable[str]] = ..., layer: _Optional[_Iterable[int]] = ..., track: _Optional[_Iterable[int]] = ..., start_ns: _Optional[_Iterable[int]] = ..., duration_ns: _Optional[_Iterable[int]] = ..., sent_bytes: _Optional[_Iterable[int]] = ..., received_bytes: _Optional[_Iterable[int]] = ..., rounds: _Optional[_Iterable[int]] = ...) -> None: ...

class Bye(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DealerHello(_message.Message):
    __slots__ = ("protocol_version", "pairing_id", "role", "backend", "count", "request_bytes")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PAIRING_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    pairing_id: bytes
    role: str
    backend: str
    count: int
    request_bytes: int
    def __init__(self, protocol_version: _Optional[int] = ..., pairing_id: _Optional[bytes] = ..., role: _Optional[str] = ..., backend: _Optional[str] = ..., count: _Optional[int] = ..., request_bytes: _Optional[int] = ...) -> None: ...

class DealerAccepted(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Description(_message.Message):
    __slots__ = ("protocol_version", "role", "artifact_digest", "model", "backends", "reveal")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    REVEAL_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    role: str
    artifact_digest: str
    model: str
    backends: _containers.RepeatedScalarFieldContainer[str]
    reveal: str
    def __init__(self, protocol_version: _Optional[int] = ..., role: _Optional[str] = ..., artifact_digest: _Optional[str] = ..., model: _Optional[str] = ..., backends: _Optional[_Iterable[str]] = ..., reveal: _Optional[str] = ...) -> None: ...
