"""Fourier: products of the transforms of blocks and of the filter (overlap-save)."""

from __future__ import annotations

from dataclasses import dataclass

from symconv.kernel.language import Buffer, Call, Do, Loop, Span, Statement, Transform
from symconv.lower.frame import C, Frame, G, M, N, scratch
from symconv.lower.tiles import Tiled
from symconv.notation.contraction import Contraction, Size, Tensor, index

Sizes = tuple[tuple[str, Size], ...]


@dataclass(frozen=True)
class Fourier(Tiled):
    """Products of transforms, image by image: of blocks of ``lengths`` cells, and of the taps.

    Blocks overlap; each gives the positions whose windows lie inside it (overlap-save).
    """

    lengths: tuple[int, ...]

    @property
    def steps(self) -> tuple[int, ...]:
        """How many positions a block gives along each axis."""
        axes = zip(self.correlation.axes, self.lengths, strict=True)
        return tuple(length - axis.taps + 1 for axis, length in axes)

    def lower(self) -> Call:
        """Return the kernel that computes a correlation by transforms of blocks, sample by sample."""
        c = self.correlation
        frame = Frame(c, 1)
        names = frame.position_names
        blocks = [f"{name}b" for name in names]
        inner = [f"{name}i" for name in names]
        frequencies = [f"{name}f" for name in names]
        half = (*self.lengths[:-1], self.lengths[-1] // 2 + 1)
        at_block, at, at_frequency = (tuple(map(index, each)) for each in (blocks, inner, frequencies))
        block_extents: Sizes = tuple(zip(blocks, self.tiles, strict=True))
        spectral: Sizes = tuple(zip(frequencies, half, strict=True))
        places = [
            index(b) * step + index(i) for b, i, step in zip(blocks, inner, self.steps, strict=True)
        ]
        source, pad, buffers = frame.sample("cells", self.reach)
        cut = scratch("blocks", c.groups, c.channels, *self.tiles, *self.lengths)
        spectra = _complex("spectra", c.groups, c.channels, *self.tiles, *half)
        copied = Contraction(
            cut.tensor[(G, C, *at_block, *at)],
            (source.substitute(dict(zip(names, places, strict=True))),),
            (*frame.extents("gc"), *block_extents, *zip(inner, self.lengths, strict=True)),
        )
        transformed: tuple[Statement, ...] = (
            *pad,
            Do(copied),
            Do(Transform(spectra.tensor, cut.tensor, self.lengths)),
        )
        cells = spectra.tensor[(G, C, *at_block, *at_frequency)]
        buffers += [cut, spectra]
        if c.result == "taps":
            others, more, extra = frame.sample("positions", self.filled)
            held = scratch("upstream_blocks", c.groups, c.filters, *self.tiles, *self.steps)
            own = _complex("upstream_spectra", c.groups, c.filters, *self.tiles, *half)
            sums = _complex("sums", c.groups, c.filters, c.channels, *half)
            gradients = scratch("gradients", c.groups, c.filters, c.channels, *self.lengths)
            upstream = Contraction(
                held.tensor[(G, M, *at_block, *at)],
                (others.substitute(dict(zip(names, places, strict=True))),),
                (*frame.extents("go"), *block_extents, *zip(inner, self.steps, strict=True)),
            )
            total = sums.tensor[(G, M, C, *at_frequency)]
            product = Contraction(
                total,
                (own.tensor[(G, M, *at_block, *at_frequency)], cells),
                (*frame.extents("goc"), *block_extents, *spectral),
            )
            body: tuple[Statement, ...] = (
                Do(Contraction(total, (), (*frame.extents("goc"), *spectral), 0)),
                Loop(
                    ("n",),
                    Span(c.batch),
                    (
                        *transformed,
                        *more,
                        Do(upstream),
                        Do(Transform(own.tensor, held.tensor, self.lengths, conjugate=True)),
                        Do(product, "add"),
                    ),
                ),
                Do(Transform(gradients.tensor, sums.tensor, self.lengths, inverse=True)),
                Do(
                    Contraction(
                        frame.taps[(G, M, C, *frame.tap_at)],
                        (gradients.tensor[(G, M, C, *frame.tap_at)],),
                        frame.extents("gock"),
                    )
                ),
            )
            return frame.call("fourier", body, *buffers, *extra, held, own, sums, gradients)
        kernels = scratch("kernels", c.groups, c.filters, c.channels, *(a.taps for a in c.axes))
        filters = _complex("filters", c.groups, c.filters, c.channels, *half)
        products = _complex("products", c.groups, c.filters, *self.tiles, *half)
        outputs = scratch("outputs", c.groups, c.filters, *self.tiles, *self.lengths)
        kernel = Contraction(
            kernels.tensor[(G, M, C, *frame.tap_at)],
            (frame.taps[(G, M, C, *frame.tap_at)],),
            frame.extents("gock"),
        )
        product = Contraction(
            products.tensor[(G, M, *at_block, *at_frequency)],
            (cells, filters.tensor[(G, M, C, *at_frequency)]),
            (*frame.extents("goc"), *block_extents, *spectral),
        )
        output = outputs.tensor[(G, M, *at_block, *at)]
        target = frame.positions[(N, G, M, *frame.position_at)]
        if all(count == 1 for count in self.tiles):
            direct = output.substitute(dict.fromkeys(blocks, 0))
            direct = direct.substitute(dict(zip(inner, frame.position_at, strict=True)))
            written: tuple[Statement, ...] = (Do(Contraction(target, (direct,), frame.extents("gop"))),)
        else:
            side = scratch("side_by_side", c.groups, c.filters, *self.filled)
            buffers.append(side)
            each = (*frame.extents("go"), *block_extents, *zip(inner, self.steps, strict=True))
            written = (
                Do(Contraction(side.tensor[(G, M, *places)], (output,), each)),
                Do(
                    Contraction(target, (side.tensor[(G, M, *frame.position_at)],), frame.extents("gop"))
                ),
            )
        body = (
            Do(kernel),
            Do(Transform(filters.tensor, kernels.tensor, self.lengths, conjugate=True)),
            Loop(
                ("n",),
                Span(c.batch),
                (
                    *transformed,
                    Do(product),
                    Do(Transform(outputs.tensor, products.tensor, self.lengths, inverse=True)),
                    *written,
                ),
            ),
        )
        return frame.call("fourier", body, *buffers, kernels, filters, products, outputs)


def _complex(name: str, *sizes: int) -> Buffer:
    return Buffer(Tensor(name, sizes), "scratch", kind="complex")
