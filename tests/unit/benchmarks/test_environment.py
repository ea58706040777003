import platform
import socket
from pathlib import Path

import pytest
from measuring import documents
from measuring.environment import Environment, environment


def measured() -> Environment:
    return environment(pinned_cores={"server": 0, "client": 1}, threads=1, load_before=(0.5, 0.25, 0.125))


def test_names_versions_and_instruction_paths() -> None:
    found = measured()
    assert found.python == platform.python_version()
    assert found.packages["torch"]
    assert set(found.kernels) == {"aes", "conv_32", "conv_64"}
    assert all(found.kernels.values())
    assert found.load_before == (0.5, 0.25, 0.125)
    assert found.usable_cores <= found.cores


def test_tells_neither_host_nor_path() -> None:
    found = measured()
    text = found.model_dump_json()
    assert f'"{socket.gethostname()}"' not in text
    assert '"/' not in text


def test_a_kept_file_is_named_after_when_where_and_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "RESULTS", tmp_path)
    change = {"cpu": "Intel(R) Xeon(R) CPU @ 2.60GHz", "cores": 2, "git_sha": "abc", "date": "2026-01-02T03:04"}
    report = {"environment": measured().model_copy(update=change).model_dump()}
    documents.publish(report, keep="tls/{date}_{machine}-{cores}-cores_{sha}")
    (path,) = tmp_path.rglob("*.json")
    assert path.relative_to(tmp_path) == Path("tls/2026-01-02_intel-xeon-cpu-2-60ghz-2-cores_abc.json")
