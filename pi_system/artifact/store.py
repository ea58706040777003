"""The artifact on disk and on the wire: JSON and safetensors, digested, never pickle.

Folder: ``public.json`` and ``masks.safetensors`` (what a client may see), ``weights.safetensors`` and
``private.json`` (mode 0600: the weights, and the salt of their commitment). Torch is not imported here, so that
a client starts fast.
"""

import hashlib
import hmac
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import ValidationError

from pi_system.artifact.model import FORMAT_VERSIONS, Artifact, PublicArtifact, PublicModel, tensor_bytes
from pi_system.durable import PART_SUFFIX, sync_folder, write_file
from pi_system.errors import ArtifactDigestError, ArtifactError, ArtifactVersionError

_MAGIC = b"PIARTFCT"
_LENGTH_BYTES = 8
# Caps on what a peer may send. Upside: bounded memory before any check; downside: none seen, ResNet18's public
# part is 10 KB of JSON and, with pixel masks, 0.6 MB of ReLU map.
_MAX_JSON_BYTES = 8 << 20
_MAX_MASK_BYTES = 256 << 20


def save(artifact: Artifact, folder: Path, beside: Mapping[str, bytes] | None = None) -> None:
    """Write ``artifact`` as ``folder``, which must not exist: all of it or nothing, whatever ends this.

    Args:
        artifact: whole.
        folder: to be.
        beside: further files, by name, of mode 0600.

    Raises:
        ArtifactError: the folder exists or cannot be written.
    """
    if folder.exists():
        raise ArtifactError(f"{folder}: expected a folder that does not exist yet")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=PART_SUFFIX, dir=folder.parent))
    except OSError as error:
        raise ArtifactError(f"{folder}: cannot be written: {error.strerror}") from error
    try:
        write_file(draft / "public.json", _wrap(artifact.public), 0o644)
        write_file(draft / "masks.safetensors", tensor_bytes(artifact.masks), 0o644)
        write_file(draft / "weights.safetensors", tensor_bytes(artifact.weights), 0o600)
        write_file(draft / "private.json", json.dumps({"salt": artifact.salt.hex()}).encode(), 0o600)
        for name, content in (beside or {}).items():
            write_file(draft / name, content, 0o600)
        draft.chmod(0o755)
        draft.rename(folder)
        sync_folder(folder.parent)
    except BaseException as error:
        shutil.rmtree(draft, ignore_errors=True)
        if isinstance(error, OSError):
            raise ArtifactError(f"{folder}: cannot be written: {error.strerror}") from error
        raise


def load(folder: Path) -> Artifact:
    """Read and check a whole artifact (the server's side).

    Raises:
        ArtifactVersionError: written by another format version.
        ArtifactDigestError: a file does not match its digest or commitment.
        ArtifactError: a file is missing or damaged, or its content does not fit the graph.
    """
    public = load_public(folder)
    content = _read(folder / "weights.safetensors", None)
    salt = _salt(_read(folder / "private.json", _MAX_JSON_BYTES))
    _check_digest("weights", public.public.weights_commitment, hashlib.sha256(salt + content).hexdigest())
    weights = _tensors("weights", content)
    return Artifact(public=public.public, masks=public.masks, weights=weights, salt=salt)


def load_public(folder: Path) -> PublicArtifact:
    """Read and check the public part of an artifact; errors as ``load``."""
    header = _read(folder / "public.json", _MAX_JSON_BYTES)
    return _parse_public(header, _read(folder / "masks.safetensors", _MAX_MASK_BYTES))


def public_to_bytes(artifact: PublicArtifact) -> bytes:
    """The public part as one byte string: magic, then JSON and ReLU map, each with its length."""
    parts = [_wrap(artifact.public), tensor_bytes(artifact.masks)]
    return _MAGIC + b"".join(len(part).to_bytes(_LENGTH_BYTES, "little") + part for part in parts)


def public_from_bytes(data: bytes) -> PublicArtifact:
    """Parse and check what ``public_to_bytes`` made; errors as ``load``. Nothing of ``data`` is trusted."""
    if data[: len(_MAGIC)] != _MAGIC:
        raise ArtifactError("public model: expected the magic bytes of an artifact")
    header, rest = _take_part(data[len(_MAGIC) :], "JSON", _MAX_JSON_BYTES)
    masks, rest = _take_part(rest, "ReLU map", _MAX_MASK_BYTES)
    if rest:
        raise ArtifactError(f"public model: expected its end, found {len(rest)} more bytes")
    return _parse_public(header, masks)


def _take_part(data: bytes, what: str, limit: int) -> tuple[bytes, bytes]:
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    end = _LENGTH_BYTES + length
    if len(data) < _LENGTH_BYTES or length > limit or len(data) < end:
        raise ArtifactError(f"public model, {what}: expected at most {limit} bytes, found {length} announced")
    return data[_LENGTH_BYTES:end], data[end:]


def _wrap(public: PublicModel) -> bytes:
    return b'{"digest":"%s","public":%s}' % (public.digest.encode(), public.canonical_json())


def _parse_public(header: bytes, masks: bytes) -> PublicArtifact:
    try:
        wrapper = json.loads(header)
        digest, content = str(wrapper["digest"]), wrapper["public"]
        version = content["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError("public.json: expected an object with digest and public") from error
    if type(version) is not int or version not in FORMAT_VERSIONS:
        expected = " or ".join(map(str, FORMAT_VERSIONS))
        raise ArtifactVersionError(f"format version: expected {expected}, found {version!r:.20}")
    try:
        public = PublicModel.model_validate(content)
    except ValidationError as error:
        _raise_invalid(error)
    _check_digest("public.json", digest, public.digest)
    _check_digest("ReLU map", public.masks_digest, hashlib.sha256(masks).hexdigest())
    return PublicArtifact(public=public, masks=_tensors("ReLU map", masks))


def _raise_invalid(error: ValidationError) -> NoReturn:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    raise ArtifactError(f"public.json, {where[:120]}: {first['msg'][:200]}") from error


def _check_digest(what: str, expected: str, found: str) -> None:
    # JSON may hold what UTF-8 cannot: "backslashreplace" encodes any string, and differently from every digest.
    stated = expected.encode("ascii", "backslashreplace")
    if not hmac.compare_digest(stated, found.encode()):
        raise ArtifactDigestError(f"{what}: expected digest {stated[:16].decode()}, found {found[:16]}")


def _salt(content: bytes) -> bytes:
    try:
        return bytes.fromhex(json.loads(content)["salt"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError("private.json: expected an object with a salt in hex") from error


def _tensors(what: str, content: bytes) -> dict[str, NDArray[Any]]:
    try:
        return dict(safetensors.numpy.load(content))
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{what}: expected a safetensors file") from error


def _read(path: Path, limit: int | None) -> bytes:
    try:
        if limit is not None and path.stat().st_size > limit:
            raise ArtifactError(f"{path.name}: expected at most {limit} bytes, found {path.stat().st_size}")
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from error
