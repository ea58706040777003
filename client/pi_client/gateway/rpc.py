"""The protocol over gRPC: the calls of ``inference.GRPCInferenceService``, from bytes to bytes."""

from collections.abc import Callable
from typing import Final, TypeVar

from google.protobuf.message import Message

from pi_client.gateway.gateway import Gateway
from pi_client.gateway.rest import NAME, log_internal
from pi_client.gateway.rpc_messages import parse, read_request, write_metadata, write_response
from pi_system import __version__
from pi_system._proto import open_inference_pb2 as pb
from pi_system.rpc.calls import Reply, WhenGone, status_of

SERVICE: Final = "inference.GRPCInferenceService"
_Request = TypeVar("_Request", bound=Message)


def make_replies(gateway: Gateway) -> dict[str, Reply]:
    """The calls, by name."""
    calls = _Calls(gateway)
    return {
        "ServerLive": _reply(pb.ServerLiveRequest, lambda _, __: pb.ServerLiveResponse(live=True)),
        "ServerReady": _reply(pb.ServerReadyRequest, lambda _, __: pb.ServerReadyResponse(ready=gateway.ready())),
        "ModelReady": _reply(pb.ModelReadyRequest, calls.model_ready),
        "ServerMetadata": _reply(
            pb.ServerMetadataRequest, lambda _, __: pb.ServerMetadataResponse(name=NAME, version=__version__)
        ),
        "ModelMetadata": _reply(pb.ModelMetadataRequest, calls.metadata),
        "ModelInfer": _reply(pb.ModelInferRequest, calls.infer),
    }


class _Calls:
    def __init__(self, gateway: Gateway):
        self._gateway = gateway

    def model_ready(self, asked: pb.ModelReadyRequest, _: WhenGone) -> Message:
        return pb.ModelReadyResponse(ready=self._gateway.model_ready(asked.name, asked.version))

    def metadata(self, asked: pb.ModelMetadataRequest, _: WhenGone) -> Message:
        return write_metadata(self._gateway.metadata(asked.name, asked.version))

    def infer(self, asked: pb.ModelInferRequest, when_gone: WhenGone) -> Message:
        future = self._gateway.submit(read_request(asked))
        when_gone(lambda: _drop(future.cancel))
        return write_response(future.result(), raw=bool(asked.raw_input_contents))


def _drop(cancel: Callable[[], bool]) -> None:
    cancel()


def _reply(kind: type[_Request], call: Callable[[_Request, WhenGone], Message]) -> Reply:
    """From bytes to bytes; a bug is logged."""

    def reply(data: bytes, when_gone: WhenGone) -> bytes:
        asked = kind()
        try:
            parse(asked, data)
            return call(asked, when_gone).SerializeToString()
        except Exception as error:
            if status_of(error)[0] == "INTERNAL":
                log_internal(error)
            raise

    return reply
