"""Merging neighbouring (less, equal) pairs of a comparison, most significant first, with one message one way.

    less  = l_0 ^ e_0 l_1 ^ e_0 e_1 l_2        equal = e_0 e_1 e_2 (if wanted)
    carry = l_1 ^ e_1 l_2 (if wanted: "less" of the last pairs alone)

The inputs are shared as s ^ t: s is held by the early party, which knows it since the offline phase, t by the late
party, which learns it online. A product of inputs expands to monomials of t times sums of products of s. For every
monomial T and output the parties hold a random bit product (v ^ w = u sigma) of the late party's u and the early
party's sigma. The late party sends T(t) ^ u and one bit an output, its own new share z being chosen offline:

    late -> early:   T(t) ^ u_T for all T,   m_o = (monomials of t alone) ^ sum_T w_T ^ z_o
    early:           s'_o = m_o ^ (monomials of s alone) ^ sum_T (v_T ^ (T(t) ^ u_T) sigma_T)

So after it the late party's share is known since the offline phase, and the parties' parts are exchanged: levels of
a tree alternate. Where sigma_T is a fresh input bit alone, that bit is defined as the product's random factor and
costs nothing; where not, the early party sends sigma_T ^ factor offline, one bit. Where the late party is the receiver
of the OTs behind the products, one u serves all outputs of a monomial; else each output has its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from pi_system.errors import InvariantError
from pi_system.kernels.packing import Bytes

Variable = tuple[str, int]
"""("l", i) or ("e", i)."""
Monomial = frozenset[Variable]
Slot = tuple[Monomial, int]
"""A coefficient: its monomial of t and its output (0 less, 1 equal or carry)."""
Opening = tuple[Monomial, tuple[int, ...]]
"""A monomial of t that the late party opens under one mask, and the outputs that it serves."""


@dataclass(frozen=True)
class Merge:
    """The symbolic plan of one merge.

    Attributes:
        size: how many pairs are merged, 1 to 6.
        variables: the inputs, l_0, l_1, .., e_0, ..
        terms: for every output the products it sums.
        openings: in message order; one OT each.
        coefficients: products of s, by slot.
        free: the input bit that a slot's random factor defines.
    """

    size: int
    variables: tuple[Variable, ...]
    terms: tuple[tuple[Monomial, ...], ...]
    openings: tuple[Opening, ...]
    coefficients: Mapping[Slot, tuple[Monomial, ...]]
    free: Mapping[Slot, Variable]

    @property
    def outputs(self) -> int:
        """1 or 2."""
        return len(self.terms)

    @cached_property
    def fixed(self) -> tuple[Slot, ...]:
        """Slots whose coefficient the early party must send against the random factor."""
        return tuple(slot for slot in self.coefficients if slot not in self.free)

    @property
    def message_planes(self) -> int:
        """Online bits an element."""
        return len(self.openings) + self.outputs

    def early_inputs(self, factors: Mapping[Slot, Bytes], fresh: Sequence[Bytes]) -> dict[Variable, Bytes]:
        """The early party's shares s: those that factors define, the others from ``fresh`` (one a variable)."""
        s: dict[Variable, Bytes] = {}
        defined = set(self.free.values())
        for variable, plane in zip(self.variables, fresh, strict=True):
            if variable not in defined:
                s[variable] = plane
        for slot, variable in self.free.items():
            value = factors[slot]
            for product in self.coefficients[slot]:
                if product != frozenset([variable]):
                    value = value ^ _product(s, product)
            s[variable] = value
        return s

    def sigma(self, s: Mapping[Variable, Bytes], slot: Slot) -> Bytes:
        """The coefficient of a slot."""
        return _sum(s, self.coefficients[slot])

    def alone(self, shares: Mapping[Variable, Bytes], output: int) -> Bytes:
        """The sum of an output's products with every input replaced by one party's share."""
        return _sum(shares, self.terms[output])


@lru_cache
def merge(size: int, with_equal: bool) -> Merge:
    """The plan for ``size`` pairs whose late party is the OTs' receiver."""
    terms = [_less(0, size)]
    if with_equal:
        terms.append((frozenset(("e", i) for i in range(size)),))
    return _merge(size, terms, common=True)


@lru_cache
def last_merge(size: int, low: int) -> Merge:
    """The plan for ``size`` pairs whose late party is the OTs' sender: less, and carry of the last ``low``, if any."""
    terms = [_less(0, size)]
    if low:
        terms.append(_less(size - low, size))
    return _merge(size, terms, common=False)


def _less(first: int, end: int) -> tuple[Monomial, ...]:
    """The products whose sum is "less" of pairs [first, end)."""
    return tuple(frozenset([("l", i), *(("e", j) for j in range(first, i))]) for i in range(first, end))


def _merge(size: int, terms: list[tuple[Monomial, ...]], *, common: bool) -> Merge:
    coefficients: dict[Slot, tuple[Monomial, ...]] = {}
    openings: list[Opening] = []
    for monomial in _proper_subsets([term for output in terms for term in output]):
        served = []
        for output, products in enumerate(terms):
            rest = tuple(product - monomial for product in products if monomial < product)
            if rest:
                coefficients[monomial, output] = rest
                served.append(output)
        openings += [(monomial, tuple(served))] if common else [(monomial, (output,)) for output in served]
    named = {variable for output in terms for term in output for variable in term}
    variables = tuple(sorted(named, key=lambda variable: (variable[0] == "e", variable[1])))
    return Merge(size, variables, tuple(terms), tuple(openings), coefficients, _free(coefficients))


def _proper_subsets(products: Sequence[Monomial]) -> list[Monomial]:
    """Nonempty proper subsets, larger ones first, in a fixed order."""
    found = set()
    for product in products:
        members = sorted(product)
        for bits in range(1, (1 << len(members)) - 1):
            found.add(frozenset(m for i, m in enumerate(members) if bits >> i & 1))
    return sorted(found, key=lambda monomial: (-len(monomial), sorted(monomial)))


def _free(coefficients: Mapping[Slot, tuple[Monomial, ...]]) -> dict[Slot, Variable]:
    """Slots, in order, whose coefficient holds one undefined input alone beside products of defined ones."""
    free: dict[Slot, Variable] = {}
    defined: set[Variable] = set()
    for slot, products in coefficients.items():
        for product in products:
            others = frozenset().union(*(p for p in products if p != product))
            if len(product) == 1 and not product & defined and others <= defined:
                (variable,) = product
                free[slot] = variable
                defined.add(variable)
                break
    return free


def _product(shares: Mapping[Variable, Bytes], monomial: Monomial) -> Bytes:
    members = sorted(monomial)
    result = shares[members[0]]
    for member in members[1:]:
        result = result & shares[member]
    return result


def _sum(shares: Mapping[Variable, Bytes], products: Sequence[Monomial]) -> Bytes:
    if not products:
        raise InvariantError("merge: expected a sum of at least one product")
    total: Bytes = np.bitwise_xor.reduce([_product(shares, product) for product in products])
    return total
