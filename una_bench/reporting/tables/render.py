"""Tables as Markdown, CSV, LaTeX and HTML. Every string from a record is escaped for its format."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from una_bench.formatting import MINUS, no_formula
from una_bench.reporting.tables.table import Cell, Line, Table

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("method", "variant", "run", "metric", "unit", "label")
"""Columns that identify a row in files."""


def plain(cell: Cell) -> str:
    """Return a cell with its marks and caveat as bare text."""
    mark = " *" if cell.best else " ~" if cell.tied else ""
    return cell.text + mark + (f" ({cell.caveat})" if cell.caveat else "")


def stub(line: Line) -> str:
    """Return a line's label with its caveat as bare text."""
    return line.label + (f" ({line.caveat})" if line.caveat else "")


def markdown(table: Table) -> str:
    """Return GitHub-flavored Markdown."""
    out = [f"### {md(table.title)}", ""]
    for group in table.groups:
        if group.heading:
            out += [f"*{md(group.heading)}*", ""]
        out.append("| " + " | ".join([md(table.stub), *(md(c.head) for c in table.columns)]) + " |")
        out.append("|---|" + "".join("---|" if c.wraps else "---:|" for c in table.columns))
        for line in group.lines:
            cells = (f"**{md(plain(c))}**" if c.best else md(plain(c)) for c in line.cells)
            out.append("| " + " | ".join([md(stub(line)), *cells]) + " |")
        out.append("")
    out += [f"- {md(note)}" for note in table.notes]
    return "\n".join(out).rstrip() + "\n" + "".join("\n" + markdown(t) for t in table.then)


def md(text: str) -> str:
    """Escape text for Markdown, including HTML."""
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", text).replace("<", "&lt;").replace(">", "&gt;")


def frame(table: Table) -> pd.DataFrame:
    """Return all numbers unrounded in base units: mean, low, high and n of each column."""
    import pandas as pd

    lines = []
    for group in table.groups:
        for line in group.lines:
            entry: dict[str, object] = {**line.names, "label": line.label, "group": group.heading}
            notes = [line.caveat]
            for column, cell in zip(table.columns, line.cells, strict=True):
                entry.update(column.entries(cell))
                without_numbers = column.numbers and not cell.numbers
                notes.append(f"{column.key}: {cell.caveat or cell.text}" if cell.caveat or without_numbers else "")
            lines.append({**entry, "notes": "; ".join(filter(None, notes))})
    return pd.DataFrame(lines)


def csv(table: Table) -> str:
    """Return CSV in base units; columns of following tables are joined to their row."""
    merged = frame(table)
    for following in table.then:
        more = frame(following)
        keys = [k for k in KEYS if k in more and k in merged]
        if len(more) and keys:
            more = more[more[keys[0]].notna()].drop(columns=["group", "notes"])
            merged = merged.merge(more, how="left", on=keys, validate="1:1")
    for name in ("run", "method", "variant", "label", "group", "notes"):
        if name in merged:
            merged[name] = merged[name].map(no_formula)
    return merged.to_csv(index=False, lineterminator="\n")


_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",  # after a line break a bracket would be an argument
    "]": "{]}",
    "*": "{*}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "∞": r"$\infty$",
    "³": r"$^3$",
    "<": r"$<$",
    ">": r"$>$",
    "·": r"$\cdot$",
    "β": r"$\beta$",
    "π": r"$\pi$",
    "—": "---",
    "µ": r"$\mu$",
    MINUS: "$-$",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(c, c) for c in text)


def latex(table: Table) -> str:
    """Return LaTeX with booktabs, one ``table`` environment per table."""
    columns = len(table.columns)
    out = [r"\begin{table}", r"\centering", rf"\caption{{{_tex(table.title)}}}"]
    kinds = "".join(
        "p{0.5\\linewidth}" if c.wraps and c is table.columns[-1] else "lr"[not c.wraps] for c in table.columns
    )
    out += [rf"\begin{{tabular}}{{l{kinds}}}", r"\toprule"]
    out.append(" & ".join([_tex(table.stub), *(_tex(c.head) for c in table.columns)]) + r" \\")
    for group in table.groups:
        out.append(r"\midrule")
        if group.heading:
            out.append(rf"\multicolumn{{{columns + 1}}}{{l}}{{\emph{{{_tex(group.heading)}}}}} \\")
        for line in group.lines:
            cells = (rf"\textbf{{{_tex(plain(c))}}}" if c.best else _tex(plain(c)) for c in line.cells)
            out.append(" & ".join([_tex(stub(line)), *cells]) + r" \\")
    out += [r"\bottomrule", r"\end{tabular}"]
    out += [rf"\par\footnotesize {_tex(note)}" for note in table.notes]
    return "\n".join([*out, r"\end{table}"]) + "\n" + "".join("\n" + latex(t) for t in table.then)


def html(table: Table) -> str:
    """Return an HTML fragment: a captioned table that scrolls sideways, then its notes."""
    heads = [(table.stub, True), *((c.head, c.wraps) for c in table.columns)]
    head = "".join(f'<th scope="col"{" class=words" if wraps else ""}>{escape(text)}</th>' for text, wraps in heads)
    out = [f'<div class="wide"><table><caption>{escape(table.title)}</caption>', f"<thead><tr>{head}</tr></thead>"]
    for group in table.groups:
        out.append("<tbody>")
        if group.heading:
            out.append(f'<tr class="group"><th colspan="{len(table.columns) + 1}">{escape(group.heading)}</th></tr>')
        for line in group.lines:
            cells = (
                _html_cell(cell, wraps=column.wraps) for column, cell in zip(table.columns, line.cells, strict=True)
            )
            out.append(f'<tr><th scope="row">{escape(line.label)}{_html_caveat(line)}</th>{"".join(cells)}</tr>')
        out.append("</tbody>")
    out.append("</table></div>")
    if table.notes:
        out.append('<ul class="notes">' + "".join(f"<li>{escape(note)}</li>" for note in table.notes) + "</ul>")
    return "\n".join(out) + "\n" + "".join(html(t) for t in table.then)


def _html_caveat(of: Cell | Line) -> str:
    return f' <small class="caveat">{escape(of.caveat)}</small>' if of.caveat else ""


def _html_cell(cell: Cell, *, wraps: bool) -> str:
    mean = (cell.numbers or {}).get("mean")
    value = f' data-value="{mean!r}"' if isinstance(mean, float) else ""
    value += ' class="words"' if wraps else ""
    text = escape(cell.text + (" *" if cell.best else " ~" if cell.tied else "")).replace(" ± ", "&nbsp;±&nbsp;")
    return f"<td{value}>{f'<strong>{text}</strong>' if cell.best else text}{_html_caveat(cell)}</td>"
