"""Sees every operation of a forward pass below Python, and writes down those that read what depends on the picture."""

import re
from collections.abc import Callable
from functools import partial
from itertools import zip_longest
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from pi_system.artifact.graph import Shape
from pi_system.export.draft import Draft
from pi_system.export.lazy import BATCH, Lazy, Refused, Rewritten, plain
from pi_system.export.leaves import LEAVES
from pi_system.export.ops import APPROXIMATED, KEEP_FINAL, KNOWN, RULES, SMOOTH, probed, refusal, resolved
from pi_system.export.outputs import named_tensors
from pi_system.export.placing import as_node
from pi_system.export.spans import Spans, base_name
from pi_system.export.straight import Asked

__all__ = ["Tracer"]

_SECOND = "expected the first result of this operation alone, found another one read (indices of a maximum, statistics)"
_THROUGH_VIEW = "expected a value that is not changed in place through a view of it; copy it with .clone()"


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation; ``values`` has what depends on the picture, by the identity of its tensor.

    ``rewritten``: memory that was changed in place, of which only what changed it is known.
    """

    def __init__(self, module: nn.Module, spans: Spans | None) -> None:
        """Watch the parts of ``module``; ``spans``: of smooth functions, None for refusals."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.draft = Draft()
        self.values: dict[int, tuple[Tensor, Lazy | Refused]] = {}
        self.rewritten: set[int] = set()
        self.asked: Asked | None = None
        self.allowed = spans.allowed if spans else 0.0
        self._calls = enumerate(spans.calls) if spans else None
        self._path: list[tuple[str, bool]] = []
        self._paused = False
        for name, child in module.named_modules():
            self._watch(name, child)

    def run(self, module: nn.Module, input_shape: Shape) -> None:
        """Trace a forward pass on zeros."""
        picture = torch.zeros(BATCH, *input_shape)
        self.values[id(picture)] = picture, plain(self.draft, self.draft.input(input_shape), input_shape)
        self.output(module(picture))

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
            value = self._read(type(module).__name__, x)
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
        if not isinstance(x, Tensor):
            return None
        _, value = self.values.get(id(x), (x, None))
        if value is None and self._shares_rewritten(x):
            raise Rewritten(_THROUGH_VIEW)
        if isinstance(value, Refused):
            raise type(value)(*value.args)
        return value

    def _read(self, op: str, x: object) -> Lazy | None:
        """``value`` for an operation: what the network was thought to end with is needed after all."""
        value = self.value(x)
        if value is None or not value.final or op in KEEP_FINAL:
            return value
        asked = self.asked
        value = resolved(self, self.name(value.final), value)
        self.asked = asked
        self.values[id(x)] = cast(Tensor, x), value
        return value

    def _shares_rewritten(self, x: Tensor) -> bool:
        return bool(self.rewritten) and x.layout == torch.strided and x.untyped_storage().data_ptr() in self.rewritten

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation; write it down if it reads what depends on the picture."""
        kwargs = kwargs or {}
        if self._paused:
            return func(*args, **kwargs)
        base = base_name(func)
        self.asked = self._next_call(base) if base in SMOOTH else None
        if not any(self._tracked(x) for x in tree_flatten((args, kwargs))[0]):
            return func(*args, **kwargs)
        if base in KEEP_FINAL and self._is_second(args[0]):
            real = func(*args, **kwargs)
            self._keep(real, [])
            return real
        values = _replaced((args, kwargs), partial(self._read, base))
        values[1].pop("out", None)
        real = func(*args, **kwargs)
        if base in KNOWN:
            return real
        rule = RULES.get(base) or APPROXIMATED.get(base)
        found = rule(self, self.name(base), *values[0], **values[1]) if rule else self._unknown(base, func, values)
        target = kwargs.get("out", args[0] if func.overloadpacket.__name__ != base else None)
        if isinstance(target, Tensor):
            self._rewrite(target)
        self._keep(real, found)
        return real

    def _is_second(self, x: object) -> bool:
        _, value = self.values.get(id(x), (x, None))
        return isinstance(value, Refused) and not isinstance(value, Rewritten)

    def _tracked(self, x: object) -> bool:
        return isinstance(x, Tensor) and (id(x) in self.values or self._shares_rewritten(x))

    def _next_call(self, op: str) -> Asked | None:
        if self._calls is None:
            return None
        call, (name, span) = next(self._calls, (0, ("nothing", (0.0, 0.0))))
        if name != op:
            raise Refused(f"expected the same functions on zeros as on the calibration pictures, found {op}, {name}")
        return Asked(span, call, op)

    def _unknown(self, op: str, func: Any, values: Any) -> Any:
        found = probed(self, self.name(op), func, *values)
        if found is None:
            raise Refused(refusal(op))
        return found

    def _keep(self, real: Any, found: Any) -> None:
        tensors = real if isinstance(real, tuple | list) else [real]
        values = [found] if isinstance(found, Lazy) else found
        for tensor, value in zip_longest(tensors, values, fillvalue=Refused(_SECOND)):
            if isinstance(tensor, Tensor):
                self.values[id(tensor)] = tensor, value

    def _rewrite(self, target: Tensor) -> None:
        """What shares memory with a tensor that is changed in place is no longer known."""
        memory = target.untyped_storage().data_ptr()
        self.rewritten |= {memory} - {0}
        for key, (tensor, _) in self.values.items():
            if tensor is not target and tensor.untyped_storage().data_ptr() == memory:
                self.values[key] = tensor, Rewritten(_THROUGH_VIEW)

    def output(self, result: Any) -> None:
        """Take what the network returned: one tensor or several, whose elements become the logits."""
        self._paused = True
        found = [self.value(x) for _, x in named_tensors(result)]
        values = [value for value in found if value is not None]
        if not values:
            raise Refused(
                "expected an output that depends on the picture, made by torch (.numpy() and .tolist() leave it)"
            )
        parts = []
        for value in values:
            if value.shape[0] != BATCH:
                raise Refused(f"expected outputs with the batch as first axis, found shape {value.shape}")
            flat = value.moved(lambda part: part.reshape(BATCH, -1))
            self.draft.finals.append((flat.shape[1], value.final))
            if value.final and value.asked and value.asked.call in self.draft.pieces:
                self.draft.pieces.clear()  # left out here and replaced elsewhere: no run of the module has both
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
