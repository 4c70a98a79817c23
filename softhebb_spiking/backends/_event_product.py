"""Drives of many steps at once: the product of rows of traces with the weights of active inputs.

A tile of sums stays in vector registers while it runs through the inputs, so that a weight that
is loaded serves several steps. Compilers do not find this by themselves.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from softhebb_spiking._compiled import kernel

_LANES, _VECTORS = 8, 2
TILE_UNITS = _LANES * _VECTORS
# Rows of sums in registers, of which there are sixteen at least; what is left over goes in twos.
_MANY_ROWS, _FEW_ROWS = 6, 2
ROWS_BEYOND = _FEW_ROWS - 1  # that are filled too, with anything

_INT = ir.IntType(64)
_intrinsic: Any = intrinsic


def row_width(n_units: int) -> int:
    """Return how many numbers apart the rows of the weights lie in memory.

    An odd number of tiles, each a cache line of float32: rows would otherwise compete for few
    places in the cache.
    """
    return (-(-n_units // TILE_UNITS) | 1) * TILE_UNITS


@kernel()
def multiply_rows(weights, active, n_active, traces, n_rows, first, last, drives):  # type: ignore[no-untyped-def]
    """Set drives[r, k] = Σ_p traces[r, p] weights[active[p], k] for units first … last − 1.

    `first` starts a tile; the last tile is filled whatever `last` is.
    """
    if n_active == 0:
        drives[:n_rows, first:last] = 0.0
        return
    for unit in range(first, last, TILE_UNITS):
        row = 0
        while row + _MANY_ROWS <= n_rows:
            _multiply_many(weights, active, traces, drives, n_active, row, unit)
            row += _MANY_ROWS
        while row < n_rows:
            _multiply_few(weights, active, traces, drives, n_active, row, unit)
            row += _FEW_ROWS


def _tile_product(n_rows: int) -> Any:
    """Return the operation for one tile: `n_rows` rows of drives, `TILE_UNITS` units."""

    def multiply(
        typingctx: Any,
        weights: Any,
        active: Any,
        traces: Any,
        drives: Any,
        n_active: Any,
        first_row: Any,
        first_unit: Any,
    ) -> Any:
        """Return the signature, and what writes the code."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = [
                context.make_array(kind)(context, builder, value)
                for kind, value in zip(signature.args[:4], args[:4], strict=True)
            ]
            number = context.get_value_type(signature.args[0].dtype)
            _TileWriter(builder, number, arrays, args[6], n_rows).write(args[4], args[5])
            return context.get_dummy_value()

        arrays = weights, active, traces, drives
        return types.void(*arrays, types.int64, types.int64, types.int64), codegen

    return _intrinsic(multiply)


class _TileWriter:
    """Writes the loop of one tile, in the compiler's own language."""

    def __init__(
        self, builder: Any, number: Any, arrays: list[Any], first_unit: Any, n_rows: int
    ) -> None:
        self._builder, self._number, self._n_rows = builder, number, n_rows
        self._weights, self._active, self._traces, self._drives = arrays
        self._first_unit = first_unit
        self._vector = ir.VectorType(number, _LANES)
        self._align = 4 if isinstance(number, ir.FloatType) else 8

    def write(self, n_active: Any, first_row: Any) -> None:
        """Write the loop over active inputs, then store its sums."""
        builder = self._builder
        rows = [builder.add(first_row, _INT(r)) for r in range(self._n_rows)]
        traces = [self._row(self._traces, row) for row in rows]
        before = builder.block
        loop, after = (builder.append_basic_block(name) for name in ("inputs", "sums"))
        builder.branch(loop)
        builder.position_at_end(loop)
        p = builder.phi(_INT)
        p.add_incoming(_INT(0), before)
        sums = [[builder.phi(self._vector) for _ in range(_VECTORS)] for _ in rows]
        more = self._sums_with_input(p, traces, sums)
        for old, new in zip(chain(*sums), chain(*more), strict=True):
            old.add_incoming(ir.Constant(self._vector, [0.0] * _LANES), before)
            old.add_incoming(new, loop)
        next_p = builder.add(p, _INT(1))
        p.add_incoming(next_p, loop)
        builder.cbranch(builder.icmp_signed("<", next_p, n_active), loop, after)
        builder.position_at_end(after)
        for row, vectors in zip(rows, more, strict=True):
            for v, vector in enumerate(vectors):
                builder.store(vector, self._place(self._drives, row, v), align=self._align)

    def _sums_with_input(self, p: Any, traces: list[Any], sums: list[list[Any]]) -> list[list[Any]]:
        """Return the sums with what active input number p adds to them."""
        builder = self._builder
        active = builder.zext(builder.load(builder.gep(self._active.data, [p])), _INT)
        weights = [
            builder.load(self._place(self._weights, active, v), align=self._align)
            for v in range(_VECTORS)
        ]
        found = []
        for trace, of_row in zip(traces, sums, strict=True):
            factor = self._in_all_lanes(builder.load(builder.gep(trace, [p])))
            found.append(
                [
                    builder.call(self._multiply_add(), [factor, weight, so_far])
                    for weight, so_far in zip(weights, of_row, strict=True)
                ]
            )
        return found

    def _row(self, array: Any, row: Any) -> Any:
        width = self._builder.extract_value(array.shape, 1)
        return self._builder.gep(array.data, [self._builder.mul(row, width)])

    def _place(self, array: Any, row: Any, v: int) -> Any:
        """Return where vector v of the tile lies in a row."""
        column = self._builder.add(self._first_unit, _INT(v * _LANES))
        start = self._builder.gep(self._row(array, row), [column])
        return self._builder.bitcast(start, self._vector.as_pointer())

    def _in_all_lanes(self, value: Any) -> Any:
        nothing = ir.Constant(self._vector, ir.Undefined)
        first = self._builder.insert_element(nothing, value, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
        return self._builder.shuffle_vector(first, nothing, zeros)

    def _multiply_add(self) -> Any:
        name = f"llvm.fmuladd.v{_LANES}{self._number.intrinsic_name}"
        module = self._builder.module
        of_vectors = ir.FunctionType(self._vector, [self._vector] * 3)
        return module.globals.get(name) or ir.Function(module, of_vectors, name)


_multiply_many = _tile_product(_MANY_ROWS)
_multiply_few = _tile_product(_FEW_ROWS)
