import platform
import socket

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
    text = found.model_dump_json() + found.file_stem()
    assert f'"{socket.gethostname()}"' not in text
    assert '"/' not in text


def test_file_stem_is_a_plain_file_name() -> None:
    found = measured().model_copy(update={"cpu": "Intel(R) Xeon(R) CPU @ 2.60GHz", "cores": 2, "git_sha": "abc"})
    assert found.file_stem() == f"{found.date[:10]}_intel-xeon-cpu-2-60ghz-2-cores_abc"
