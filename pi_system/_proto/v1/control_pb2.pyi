from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClientEnvelope(_message.Message):
    __slots__ = ("hello", "prepare", "infer", "bye")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    INFER_FIELD_NUMBER: _ClassVar[int]
    BYE_FIELD_NUMBER: _ClassVar[int]
    hello: ClientHello
    prepare: Prepare
    infer: Infer
    bye: Bye
    def __init__(self, hello: _Optional[_Union[ClientHello, _Mapping]] = ..., prepare: _Optional[_Union[Prepare, _Mapping]] = ..., infer: _Optional[_Union[Infer, _Mapping]] = ..., bye: _Optional[_Union[Bye, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("protocol_version", "backend", "artifact_digest", "client_id", "reveal", "link", "insecure_provider")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    REVEAL_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    INSECURE_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    backend: str
    artifact_digest: str
    client_id: bytes
    reveal: str
    link: str
    insecure_provider: bool
    def __init__(self, protocol_version: _Optional[int] = ..., backend: _Optional[str] = ..., artifact_digest: _Optional[str] = ..., client_id: _Optional[bytes] = ..., reveal: _Optional[str] = ..., link: _Optional[str] = ..., insecure_provider: _Optional[bool] = ...) -> None: ...

class ServerHello(_message.Message):
    __slots__ = ("protocol_version", "artifact_digest", "public_model_bytes")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_MODEL_BYTES_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    artifact_digest: str
    public_model_bytes: int
    def __init__(self, protocol_version: _Optional[int] = ..., artifact_digest: _Optional[str] = ..., public_model_bytes: _Optional[int] = ...) -> None: ...

class Prepare(_message.Message):
    __slots__ = ("count", "pairing_id")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    PAIRING_ID_FIELD_NUMBER: _ClassVar[int]
    count: int
    pairing_id: bytes
    def __init__(self, count: _Optional[int] = ..., pairing_id: _Optional[bytes] = ...) -> None: ...

class Prepared(_message.Message):
    __slots__ = ("dealer_bytes",)
    DEALER_BYTES_FIELD_NUMBER: _ClassVar[int]
    dealer_bytes: int
    def __init__(self, dealer_bytes: _Optional[int] = ...) -> None: ...

class Infer(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Done(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Bye(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DealerHello(_message.Message):
    __slots__ = ("protocol_version", "pairing_id", "role", "backend", "count", "link", "request_bytes")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PAIRING_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    pairing_id: bytes
    role: str
    backend: str
    count: int
    link: str
    request_bytes: int
    def __init__(self, protocol_version: _Optional[int] = ..., pairing_id: _Optional[bytes] = ..., role: _Optional[str] = ..., backend: _Optional[str] = ..., count: _Optional[int] = ..., link: _Optional[str] = ..., request_bytes: _Optional[int] = ...) -> None: ...

class DealerAccepted(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Description(_message.Message):
    __slots__ = ("protocol_version", "role", "artifact_digest", "model", "backends")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    role: str
    artifact_digest: str
    model: str
    backends: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, protocol_version: _Optional[int] = ..., role: _Optional[str] = ..., artifact_digest: _Optional[str] = ..., model: _Optional[str] = ..., backends: _Optional[_Iterable[str]] = ...) -> None: ...
