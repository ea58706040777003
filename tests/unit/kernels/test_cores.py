"""Kernels give the same bytes on any number of cores, of which the process says how many."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pi_system import kernels
from pi_system.kernels.conv import RingConv2d
from pi_system.kernels.cores import MAX_THREADS, threads, use_threads, using_threads
from pi_system.kernels.garble import garble, garble_evaluate, garble_inputs, garble_rows
from pi_system.kernels.gmw import gmw_select, gmw_tables, gmw_word_bytes
from pi_system.kernels.he import RlweContext
from pi_system.kernels.ot import (
    bit_products_receiver,
    bit_products_sender,
    lpn_encode,
    pads_receiver,
    pads_sender,
    tree_receiver,
    tree_sender,
)
from pi_system.protocols.linear_he.primes import make_primes
from pi_system.ring.prg import Prg

COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
SUPPORT = Path(__file__).parents[2] / "support"
SEED = b"0123456789abcdef"
DELTA = b"\1" + SEED[1:]
WIDTHS, BITS = bytes([2, 4, 4]), 10
MANY = 40_992
"""Elements: several threads' work for each kernel, and no multiple of what one takes."""


def drawn(shape: tuple[int, ...], dtype: Any = np.uint64) -> Any:
    out = np.empty(shape, dtype)
    Prg(SEED).into(out)
    return out


def code(rows: int) -> Any:
    out = drawn((rows, 2))
    lpn_encode(drawn((300, 2)), SEED, 64, out)
    return out


def trees(count: int) -> Any:
    leaves = np.zeros((count << 10, 2), np.uint64)
    sums = tree_sender(drawn((count, 2)), 10, DELTA, leaves)
    mine = np.zeros_like(leaves)
    tree_receiver(np.arange(count, dtype=np.uint32) * 37 % 1024, 10, sums, mine)
    return leaves, sums, mine


def pads(count: int) -> Any:
    cots, choice = drawn((3 * count, 2)), drawn((count,), np.uint8) & np.uint8(7)
    return pads_sender(cots, DELTA, 9, 3, 2), pads_receiver(cots, 9, 3, 2, choice)


def products(count: int) -> Any:
    cots = drawn((count, 2))
    return bit_products_sender(cots, DELTA, 9, 5), bit_products_receiver(cots, 9, 5)


def garbled(count: int) -> Any:
    q, flips = drawn((8, 2 * count)), drawn((8, count // 8), np.uint8)
    shape: dict[str, Any] = {"stride": count, "seed": SEED, "delta": DELTA, "first": 0}
    tables, rows, offset = garble(8, 2, tweak=5, q=q, flips=flips, **shape)
    labels = garble_inputs(8, share=drawn((count,), np.uint32), **shape)
    assert len(rows) == garble_rows(8, 2)
    part: dict[str, Any] = {"tweak": 5, "first": 32, "count": count - 40}
    inputs = {"server": labels.reshape(8, -1)[:, : 16 * (count - 40)].reshape(-1).copy(), "client": q}
    return tables, rows, offset, labels, garble_evaluate(8, 2, **part, **inputs, tables=tables, rows=rows)


def leaves(count: int) -> Any:
    word = gmw_word_bytes(WIDTHS, BITS)
    table = gmw_tables(WIDTHS, BITS, drawn((count - 13,)), drawn((count * word,), np.uint8), 7)
    choices = drawn((3, count), np.uint8) & np.uint8(3)
    return table, gmw_select(WIDTHS, BITS, table, choices, 7, count - 13)


def convolved(count: int) -> Any:
    return RingConv2d(drawn((40, 3, 3, 3), np.uint32), padding=(1, 1))(drawn((1, 3, 32, count // 64), np.uint32))


def encrypted(count: int) -> Any:
    context = RlweContext(1024, make_primes(1024, (50, 50, 40)))
    secret, half = context.secret_key(drawn((1024,))), np.zeros((3, 1024), np.uint64)
    context.encrypt(secret, drawn((1024,)), drawn((1024,)) >> np.uint64(32), 32, half)
    positions = np.arange(0, 1024, 3, dtype=np.int32)
    return half, context.decrypt(secret, half[:2, positions].copy(), half[:2].copy(), positions, 32)


def flat(found: Any) -> bytes:
    return b"".join(map(flat, found)) if isinstance(found, tuple) else found.tobytes()


@pytest.mark.parametrize(
    "made", [code, lambda n: trees(n // 512), pads, products, garbled, leaves, convolved, encrypted]
)
def test_any_number_of_cores_gives_the_same_bytes(made: Callable[[int], Any]) -> None:
    with using_threads(1):
        alone = flat(made(MANY))
    for count in (2, 3, 7):
        with using_threads(count):
            assert flat(made(MANY)) == alone


def test_more_cores_are_used_where_there_is_work_for_them_and_one_where_there_is_little() -> None:
    """Seen by the kernel's own count of the process's threads while they work."""
    script = (
        "import os, threading, numpy as np; from pi_system.kernels.ot import lpn_encode;"
        "from pi_system.kernels.cores import use_threads; import sys; use_threads(5); most = [0];"
        "rows = int(sys.argv[1]); base, out = np.zeros((300, 2), np.uint64), np.zeros((rows, 2), np.uint64);"
        "work = lambda: [lpn_encode(base, bytes(16), 0, out) for _ in range(1 + (1 << 24) // rows)];"
        "worker = threading.Thread(target=work); before = len(os.listdir('/proc/self/task')); worker.start();\n"
        "while worker.is_alive(): most[0] = max(most[0], len(os.listdir('/proc/self/task')))\n"
        "print(most[0] - before)"
    )
    for rows, found in ((1 << 20, 5), (1024, 1)):
        ran = subprocess.run([sys.executable, "-c", script, str(rows)], capture_output=True, text=True, check=True)
        assert int(ran.stdout) == found


def test_a_process_uses_the_cores_that_it_may_run_on_until_it_is_told() -> None:
    assert threads() == len(os.sched_getaffinity(0))
    with using_threads(3):
        assert threads() == 3
        seen: list[int] = []
        other = threading.Thread(target=lambda: seen.append(threads()))
        other.start()
        other.join()
        assert seen == [3]
    assert threads() == len(os.sched_getaffinity(0))
    for count in (0, -1, MAX_THREADS + 1):
        with pytest.raises(ValueError, match=rf"expected 1 to {MAX_THREADS}, found {count}"):
            use_threads(count)
    assert threads() == len(os.sched_getaffinity(0))


def test_without_a_choice_kernels_are_as_right_whatever_is_idle() -> None:
    with using_threads(1):
        alone = flat(code(MANY))
    assert {flat(code(MANY)) for _ in range(50)} == {alone}


def test_kernels_of_several_threads_and_of_a_forked_process_are_right() -> None:
    """One job has the helpers, the others do without; a child has no helpers of its parent."""
    with using_threads(1):
        alone = flat(code(MANY))
    with using_threads(4):
        found: list[bytes] = []
        callers = [threading.Thread(target=lambda: found.append(flat(code(MANY)))) for _ in range(6)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert found == [alone] * 6
        if (child := os.fork()) == 0:
            os._exit(0 if [flat(code(MANY)) for _ in range(3)] == [alone] * 3 else 1)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
def test_helpers_where_something_fails(tmp_path: Path) -> None:
    """What a part throws is thrown by the caller when no part runs, helpers take no signals, children do not hang."""
    program, sources = tmp_path / "driver", Path(kernels.__file__).parent / "src"
    build = [str(COMPILER), "-std=c++17", "-O1", "-pthread", f"-I{sources}", "-o", str(program)]
    subprocess.run([*build, str(SUPPORT / "parallel_driver.cpp"), str(sources / "parallel.cpp")], check=True)
    ran = subprocess.run([program], capture_output=True, text=True, timeout=300)
    assert (ran.returncode, ran.stdout) == (0, "ok\n")
