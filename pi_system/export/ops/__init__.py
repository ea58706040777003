"""One rule for each of torch's operations that is supported, and what to do instead of one that is not.

Files by what operations do: move elements (``moving``), put values together (``joining``), sums and products
(``arithmetic``), layers with weights (``convolution``, ``linear``, ``resizing``), ReLUs and sums of them
(``rectified``), pools and means (``pooling``), smooth functions (``smooth``). What has no rule is ``probed``; what that
does not take is refused (``refusals``).
"""

from typing import Final

from pi_system.export.ops import arithmetic, convolution, joining, linear, moving, pooling, rectified, resizing, smooth
from pi_system.export.ops.moving import KEEP_FINAL
from pi_system.export.ops.probing import probed
from pi_system.export.ops.refusals import REFUSALS, refusal
from pi_system.export.ops.rule import Rule, Tracing
from pi_system.export.ops.smooth import APPROXIMATED, SMOOTH, resolved

__all__ = [
    "APPROXIMATED",
    "KEEP_FINAL",
    "KNOWN",
    "REFUSALS",
    "RULES",
    "SMOOTH",
    "Rule",
    "Tracing",
    "probed",
    "refusal",
    "resolved",
]

_MODULES: Final = (moving, joining, arithmetic, convolution, linear, rectified, pooling, resizing, smooth)
RULES: Final[dict[str, Rule]] = {name: rule for module in _MODULES for name, rule in module.RULES.items()}
"""By torch's name, without the trailing underscore of an operation in place."""
KNOWN: Final = frozenset(
    "new_empty new_zeros new_ones new_full new_empty_strided empty_like zeros_like ones_like full_like "
    "isnan isinf isfinite _assert_tensor_metadata _assert_async _assert_scalar _functional_assert_async sym_size "
    "sym_numel sym_stride sym_storage_offset is_same_size".split()
)
"""What tells nothing of a picture that a network may ask: the answer of a zero picture is taken."""
