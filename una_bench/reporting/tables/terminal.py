"""Tables for the terminal, split into blocks of columns if the terminal is narrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from una_bench.reporting.tables.render import plain, stub
from una_bench.reporting.tables.table import Group, Table

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
    from rich.table import Table as RichTable

PADDING = 3
"""Characters between columns."""
WORDS = 24
"""Width from which a column of text takes the remaining room."""


@dataclass(frozen=True)
class Terminal:
    """A table for ``rich``, in as many blocks as the width requires."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield title, blocks, notes, and the tables that follow."""
        from rich.text import Text

        table = self.table
        yield Text(table.title, style="bold")
        for number, block in enumerate(_blocks(table, options.max_width)):
            if number:
                yield Text("")
            for first, group in enumerate(table.groups):
                if group.heading:
                    yield Text("\n" * (first > 0) + group.heading, style="italic")
                yield _rich(table, group, block, _stub_width(table, options.max_width), head=first == 0)
        for note in table.notes:
            yield Text(note, style="dim")
        for following in table.then:
            yield Text("")
            yield Terminal(following)


def _blocks(table: Table, width: int) -> Iterator[list[int]]:
    """Split the columns into blocks that fit beside the labels."""
    labels = _stub_width(table, width) + PADDING
    block: list[int] = []
    used = labels
    for i in range(len(table.columns)):
        wide = (min(WORDS, _width(table, i)) if table.columns[i].wraps else _width(table, i)) + PADDING
        if block and used + wide > width:
            yield block
            block, used = [], labels
        block.append(i)
        used += wide
    if block or not table.columns:
        yield block


def _stub_width(table: Table, width: int) -> int:
    """Return the width of the labels: that of the longest, up to a quarter of the terminal."""
    stubs = (len(stub(line)) for group in table.groups for line in group.lines)
    return min(max([len(table.stub), *stubs]), max(24, width // 4))


def _width(table: Table, index: int) -> int:
    """Return the width of a column whose head may wrap between words."""
    head = table.columns[index].head
    cells = (len(plain(line.cells[index])) for group in table.groups for line in group.lines)
    return max([*(len(word) for word in head.split()), min(len(head), 14), *cells])


def _rich(table: Table, group: Group, block: Sequence[int], stub_width: int, *, head: bool) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    rich_table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", show_header=head)
    rich_table.add_column(Text(table.stub), overflow="fold", width=stub_width)
    for i in block:
        column = table.columns[i]
        natural = _width(table, i)
        width = None if column.wraps and natural > WORDS else natural
        justify: JustifyMethod = "left" if column.wraps else "right"
        rich_table.add_column(Text(column.head), justify=justify, width=width, overflow="fold")
    for line in group.lines:
        cells = (Text(plain(line.cells[i]), style="bold green" if line.cells[i].best else "") for i in block)
        rich_table.add_row(Text(stub(line)), *cells)
    return rich_table
