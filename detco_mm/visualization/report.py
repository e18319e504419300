"""The table of results, and one HTML page that holds everything."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# COCO's names in MMDetection and what a reader calls them, in COCO's order; other metrics keep their names.
COCO = {
    f'coco/{kind}_mAP{suffix}': f'{name} AP{short}'
    for kind, name in (('bbox', 'box'), ('segm', 'mask'))
    for suffix, short in (('', ''), ('_50', '50'), ('_75', '75'), ('_s', 'S'), ('_m', 'M'), ('_l', 'L'))
}
# What a short table shows of them.
METRICS = {key: COCO[f'coco/{key}'] for key in ('bbox_mAP', 'bbox_mAP_50', 'segm_mAP', 'segm_mAP_50')}
Table = list[list[str]]


def results_table(runs: Mapping[str, Mapping[str, float]]) -> Table:
    """Write the AP of each run as a row of percentages, and of two runs the difference.

    Args:
        runs: metrics from 0 to 1 by their MMDetection name, by the name of the run; -1 is COCO's "not defined".

    Returns:
        The header and a row for each run, all cells text.
    """

    def cell(value: float | None, sign: str = '') -> str:
        return '-' if value is None else format(100 * value, f'{sign}.1f')

    def get(metrics: Mapping[str, float], key: str) -> float | None:
        value = metrics.get(key)
        return None if value is None or not value >= 0 else value

    table = [['initialisation', *METRICS.values()]]
    table += [[name, *(cell(get(metrics, key)) for key in METRICS)] for name, metrics in runs.items()]
    if len(runs) == 2:
        first, second = runs.values()
        row = ['difference']
        for key in METRICS:
            a, b = get(first, key), get(second, key)
            row.append(cell(None if a is None or b is None else b - a, '+'))
        table.append(row)
    return table


def evaluation_table(evaluations: Mapping[str, Mapping[str, float]], corner: str) -> Table:
    """Write every metric of every evaluation, a row for each.

    Args:
        evaluations: metrics as MMDetection, MMSegmentation or MMClassification return them, by what was evaluated;
            COCO's are shares and become percentages, -1 is its "not defined".
        corner: heading of the first column.

    Returns:
        The header and a row for each evaluation, all cells text.
    """
    names = {key for metrics in evaluations.values() for key in metrics}
    keys = [key for key in COCO if key in names] + sorted(key for key in names if key not in COCO)

    def cell(key: str, value: float | None) -> str:
        if value is None or (key in COCO and not value >= 0):
            return '-'
        return f'{100 * value:.1f}' if key in COCO else f'{value:.4g}'

    rows = [[name, *(cell(key, metrics.get(key)) for key in keys)] for name, metrics in evaluations.items()]
    return [[corner, *(COCO.get(key, key) for key in keys)], *rows]


def text_table(table: Table) -> str:
    """Write a table as Markdown that is aligned for the terminal, too."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]

    def line(row: Sequence[str]) -> str:
        return (
            '| '
            + ' | '.join(
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            + ' |'
        )

    rule = (
        '|'
        + '|'.join('-' * (width + 2) if at == 0 else '-' * (width + 1) + ':' for at, width in enumerate(widths))
        + '|'
    )
    return '\n'.join([line(table[0]), rule, *(line(row) for row in table[1:])])


@dataclass
class Section:
    """A part of the page: a heading, paragraphs, tables, pictures by caption.

    Args:
        title: the heading.
        paragraphs: plain text.
        tables: each with a header row.
        pictures: PNG bytes by caption.
        wide: give each picture the page's whole width.
        widget: HTML to take over as it is, after the pictures.
    """

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    wide: bool = False
    widget: str = ''


STYLESHEET = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1060px; padding: 1.2rem; font: 16px/1.5 system-ui, sans-serif; color: #1b1f24;
  background: #fff; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .6rem 0; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; border-top: 1px solid #d9dee4; padding-top: 1rem; }
p { margin: .5rem 0; max-width: 44rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; overflow-wrap: normal; margin: .8rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem .35rem 0; text-align: left; border-bottom: 1px solid #e7ebef; vertical-align: top; }
th { color: #5b6470; font-weight: 600; }
td.number, th.number { text-align: right; }
tr:last-child td { border-bottom: 0; }
.pictures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
.pictures.wide { display: block; }
figure { margin: 0 0 1rem; }
img { display: block; max-width: 100%; height: auto; }
figcaption { color: #5b6470; font-size: .85rem; margin-top: .2rem; }
"""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text == '-'
    return True


def _table(table: Table) -> str:
    numeric = [len(table) > 1 and all(_is_number(row[at]) for row in table[1:]) for at in range(len(table[0]))]

    def line(row: Sequence[str], tag: str) -> str:
        return (
            '<tr>'
            + ''.join(
                f'<{tag}{" class=number" if number else ""}>{html.escape(cell)}</{tag}>'
                for cell, number in zip(row, numeric, strict=True)
            )
            + '</tr>'
        )

    body = ''.join(line(row, 'td') for row in table[1:])
    return f'<div class=scroll><table><thead>{line(table[0], "th")}</thead><tbody>{body}</tbody></table></div>'


def _section(section: Section, level: int) -> str:
    parts = [f'<h{level}>{html.escape(section.title)}</h{level}>']
    parts += [f'<p>{html.escape(text)}</p>' for text in section.paragraphs]
    parts += [_table(table) for table in section.tables]
    if section.pictures:
        from .figures import data_uri  # matplotlib, which tables do without

        figures = ''.join(
            f'<figure><img src="{data_uri(image)}" alt="{html.escape(caption, quote=True)}">'
            f'<figcaption>{html.escape(caption)}</figcaption></figure>'
            for caption, image in section.pictures.items()
        )
        parts.append(f'<div class="pictures{" wide" if section.wide else ""}">{figures}</div>')
    return '\n'.join([*parts, section.widget] if section.widget else parts)


def html_page(title: str, sections: Sequence[Section]) -> str:
    """Write one page that needs no other file and no network; all text is escaped.

    Args:
        title: the page's title; the first section's heading is its first line.
        sections: in reading order.
    """
    body = '\n'.join(_section(section, 1 if at == 0 else 2) for at, section in enumerate(sections))
    return (
        '<!doctype html>\n<html lang=en>\n<head><meta charset=utf-8>'
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f'<title>{html.escape(title)}</title>\n<style>{STYLESHEET}</style></head>\n<body>\n{body}\n</body>\n'
        '</html>\n'
    )
