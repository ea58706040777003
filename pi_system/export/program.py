"""Programs of torch.export as modules that can be run on any number of pictures.

Their operations are torch's own, so export traces them as any other module. A program that was written for a batch of
fixed size has it in its views; there it becomes open.
"""

import warnings
from typing import Any, Final

import torch
from torch import fx, nn

from pi_system.artifact.graph import Shape
from pi_system.errors import InputError, PiError, UnsupportedLayerError
from pi_system.export.intake import one_line
from pi_system.export.ops import APPROXIMATED, REFUSALS, RULES

__all__ = ["functional", "read_program"]

_VIEWS: Final = ("view", "reshape", "_unsafe_view", "expand")
_EXAMPLES: Final = 2


def read_program(program: torch.export.ExportedProgram) -> nn.Module:
    """The network of a program, as a module.

    Raises:
        InputError: it is no network with one input and one output, or its sizes are open.
        UnsupportedLayerError: it cannot be read.
    """
    signature = program.graph_signature
    if len(signature.user_inputs) != 1 or len(signature.user_outputs) == 0:
        found = f"{len(signature.user_inputs)} and {len(signature.user_outputs)}"
        raise InputError(f"torch.export program: expected one input and an output, found {found}")
    try:
        return _opened(program.run_decompositions(_table()), str(signature.user_inputs[0]))
    except PiError:
        raise
    except Exception as error:  # of torch, which checks what it reads
        raise UnsupportedLayerError(f"torch.export program: cannot be read: {one_line(error)}") from error


def _table() -> Any:
    """How operations that export has no word for become others: changes in place inside of them are made functional."""
    known = {*RULES, *APPROXIMATED, *REFUSALS}
    table: Any = torch.export.default_decompositions()
    return {op: rule for op, rule in table.items() if op.name().removeprefix("aten::").partition(".")[0] not in known}


def functional(module: nn.Module, input_shape: Shape) -> nn.Module | None:
    """What torch.export makes of a module: the same without changes in place; None if it makes nothing of it."""
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read_program(torch.export.export(module, (torch.zeros(_EXAMPLES, *input_shape),)))
    except Exception:  # torch.export raises what it likes; the refusal that led here is what the user is told
        return None


def _opened(program: torch.export.ExportedProgram, name: str) -> nn.Module:
    """The program's module, its input checked no more, its views open in the batch."""
    (source,) = (node for node in program.graph.nodes if node.name == name)
    shape = source.meta["val"].shape
    if any(not isinstance(size, int) for size in shape[1:]):
        raise InputError(f"torch.export program: expected fixed sizes behind the batch, found {tuple(shape)}")
    checked: Any = program.module(check_guards=False)
    for node in checked.graph.nodes:
        if node.op == "call_function" and isinstance(shape[0], int):
            _open(node, shape[0])
    graph: fx.Graph = checked.graph
    graph.set_codegen(fx.graph.CodeGen())  # of one tensor, to one or several
    output = graph.output_node()
    if len(output.args[0]) == 1:  # type: ignore[arg-type]
        output.args = (output.args[0][0],)  # type: ignore[index]
    return fx.GraphModule(checked, graph)  # without the hooks that check inputs and forbid eval()


def _open(node: fx.Node, batch: int) -> None:
    """Let a view take any batch where its result has ``batch`` as first size."""
    name = str(node.target).removeprefix("aten.").partition(".")[0]
    value = node.meta.get("val")
    if name not in _VIEWS or not isinstance(value, torch.Tensor) or value.ndim == 0 or value.shape[0] != batch:
        return
    sizes = [int(size) for size in value.shape[1:]]
    node.args = (node.args[0], [-1, *sizes], *node.args[2:])
