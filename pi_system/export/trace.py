"""A module to a draft: it is run once on zeros, and every operation on what depends on the picture is written down.

Nothing is traced symbolically, so a network's Python may do what it likes with shapes, flags and its own weights:
what does not depend on the picture is computed (pruned, normalised or generated weights, too). Below the calls of
Python torch knows few operations; ``ops.py`` has a rule for each that is supported, and ``REFUSED`` a way round for
others. A refusal names the module and the line of the network's own code.
"""

import copy
import re
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from pi_system.artifact.graph import Shape
from pi_system.errors import PiError, UnsupportedLayerError
from pi_system.export.draft import Draft
from pi_system.export.lazy import BATCH, Lazy, Refused, as_node, plain
from pi_system.export.leaves import LEAVES
from pi_system.export.ops import KNOWN, RULES, probed, refusal


def trace(module: nn.Module, input_shape: Shape) -> Draft:
    """The draft of ``module`` in evaluation mode for pictures (C, H, W).

    Raises:
        UnsupportedLayerError: naming the layer, the line and what of it is not supported.
    """
    kind = type(module).__name__
    try:
        module = copied(module)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UnsupportedLayerError(f"{kind}: cannot be copied: {_first_line(error)}") from error
    tracer = _Tracer(module)
    picture = torch.zeros(BATCH, *input_shape)
    try:
        with warnings.catch_warnings(), torch.no_grad(), tracer:
            warnings.simplefilter("ignore")
            tracer.values[id(picture)] = picture, plain(tracer.draft, tracer.draft.input(input_shape), input_shape)
            tracer.output(module(picture))
    except Refused as error:
        raise UnsupportedLayerError(f"{kind}, layer {tracer.where()}: {error}{_line(error)}") from error
    except PiError as error:
        raise UnsupportedLayerError(f"{kind}, layer {tracer.where()}: {error}{_line(error)}") from error
    except Exception as error:  # the network's own code may raise anything
        found = f"{type(error).__name__}: {_first_line(error)}"
        raise UnsupportedLayerError(
            f"{kind}, layer {tracer.where()}: expected a forward pass on {BATCH} pictures of {input_shape}, "
            f"found {found}{_line(error)}"
        ) from error
    return tracer.draft


def copied(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode, float32, on the CPU; weights that a hook computes, as pruning's, come again."""
    computed = [
        (child, name, value)
        for child in module.modules()
        for name, value in vars(child).items()
        if isinstance(value, Tensor) and not value.is_leaf
    ]
    try:
        for child, name, value in computed:
            vars(child)[name] = value.detach()
        return copy.deepcopy(module).cpu().eval().float()
    finally:
        for child, name, value in computed:
            vars(child)[name] = value


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def _line(error: BaseException) -> str:
    """Where in the network's own code, or nothing."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if not re.search(r"/torch/|pi_system/export/", f.filename)
    ]
    return f" ({frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line})" if frames else ""


class _Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation; ``values`` has what depends on the picture, by the identity of its tensor."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.draft = Draft()
        self.values: dict[int, tuple[Tensor, Lazy | None]] = {}
        self._path: list[tuple[str, bool]] = []
        self._paused = False
        for name, child in module.named_modules():
            self._watch(name, child)

    def _watch(self, name: str, module: nn.Module) -> None:
        leaf = LEAVES.get(type(module))
        if leaf is not None:
            self._replace(name, module, leaf)
        if not isinstance(module, torch.jit.ScriptModule):
            module.register_forward_pre_hook(lambda *_: self._path.append((name, not any(module.children()))))
            module.register_forward_hook(lambda *_: self._path.pop() and None)

    def _replace(self, name: str, module: nn.Module, rule: Callable[[Draft, str, Any, str], str]) -> None:
        forward = module.forward

        def leaf(x: Tensor) -> Tensor:
            value = self.value(x)
            self._paused = True
            out: Tensor = forward(x).clone()
            self._paused = False
            if value is not None:
                node = rule(self.draft, self.name(""), module, as_node(self.draft, f"{self.name('')}.in", value))
                self.values[id(out)] = out, plain(self.draft, node, tuple(out.shape[1:]))
            return out

        module.forward = leaf

    def name(self, op: str) -> str:
        """A node's name: the module's, or the module's with the operation where it has several."""
        path, leaf = self._path[-1] if self._path else ("", False)
        name = path if leaf or not op else f"{path}.{op}" if path else op
        return re.sub(r"[^A-Za-z0-9_.]", "_", name)[-100:] or "node"

    def where(self) -> str:
        """The module that is at work."""
        return self._path[-1][0] if self._path and self._path[-1][0] else "of the network itself"

    def value(self, x: object) -> Lazy | None:
        """What is known of a tensor that depends on the picture; None for any other."""
        if not isinstance(x, Tensor) or id(x) not in self.values:
            return None
        value = self.values[id(x)][1]
        if value is None:
            raise Refused("expected a value that is not changed in place through a view of it; copy it with .clone()")
        return value

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation; write it down if it reads what depends on the picture."""
        kwargs = kwargs or {}
        tracked = not self._paused and any(id(x) in self.values for x in tree_flatten((args, kwargs))[0])
        if not tracked:
            return func(*args, **kwargs)
        op = func.overloadpacket.__name__
        base = op.rstrip("_") if op.endswith("_") and not op.startswith("__") and not op.endswith("__") else op
        values = _replaced((args, kwargs), self.value)
        real = func(*args, **kwargs)
        if base in KNOWN:
            return real
        rule = RULES.get(base)
        found = rule(self, self.name(base), *values[0], **values[1]) if rule else self._unknown(base, func, values)
        self._keep(real, found, in_place=base != op or op == "copy_", target=args[0] if args else None)
        return real

    def _unknown(self, op: str, func: Any, values: Any) -> Any:
        found = probed(self, self.name(op), func, *values)
        if found is None:
            raise Refused(refusal(op))
        return found

    def _keep(self, real: Any, found: Any, in_place: bool, target: object) -> None:
        if isinstance(found, Lazy):
            tensor = real[0] if isinstance(real, tuple | list) else real
            if in_place and isinstance(target, Tensor):
                self._spoil(target)
            self.values[id(tensor)] = tensor, found
        else:
            for tensor, value in zip(real, found, strict=True):
                self.values[id(tensor)] = tensor, value

    def _spoil(self, target: Tensor) -> None:
        """What shares memory with a tensor that is changed in place is no longer known."""
        memory = target.untyped_storage().data_ptr()
        for key, (tensor, _) in self.values.items():
            if tensor is not target and tensor.untyped_storage().data_ptr() == memory:
                self.values[key] = tensor, None

    def output(self, result: Any) -> None:
        """Take what the network returned: one tensor or several, whose elements become the logits."""
        self._paused = True
        found = [self.value(x) for x in tree_flatten(result)[0] if isinstance(x, Tensor)]
        values = [value for value in found if value is not None]
        if not values:
            raise Refused("expected an output that depends on the picture")
        parts = []
        for value in values:
            if value.shape[0] != BATCH:
                raise Refused(f"expected outputs with the batch as first axis, found shape {value.shape}")
            flat = value.moved(lambda part: part.reshape(BATCH, -1))
            self.draft.finals.append((flat.shape[1], value.final))
            parts.append(as_node(self.draft, "output", flat))
        self.draft.output = parts[0] if len(parts) == 1 else self.draft.concat("outputs", parts)


def _replaced(tree: Any, value: Callable[[object], Lazy | None]) -> Any:
    if isinstance(tree, Tensor):
        found = value(tree)
        return tree if found is None else found
    if isinstance(tree, dict):
        return {key: _replaced(item, value) for key, item in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_replaced(item, value) for item in tree)
    return tree


def outputs_of(result: Any) -> Tensor:
    """Everything that a module returns, (N, elements), in the order of the draft's logits."""
    return torch.cat(
        [x.flatten(1) if x.ndim > 1 else x[:, None] for x in tree_flatten(result)[0] if isinstance(x, Tensor)], 1
    )


def finished(logits: Tensor, finals: Sequence[tuple[int, str]]) -> Tensor:
    """Logits (N, elements) after the functions that a module ends with."""
    parts = torch.tensor_split(logits, [int(end) for end in np.cumsum([size for size, _ in finals])[:-1]], dim=1)
    return torch.cat([_FINISH[name](part) for part, (_, name) in zip(parts, finals, strict=True)], 1)


_FINISH: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda x: x,
    "softmax": lambda x: torch.softmax(x, 1),
    "log_softmax": lambda x: torch.log_softmax(x, 1),
    "sigmoid": torch.sigmoid,
    "log_sigmoid": torch.nn.functional.logsigmoid,
}
