"""The table and the page."""

import re

from detco_mm.visualization.report import Section, evaluation_table, html_page, results_table, text_table

RANDOM = {'bbox_mAP': 0.101, 'bbox_mAP_50': 0.25, 'segm_mAP': 0.09, 'segm_mAP_50': 0.2}
DETCO = {'bbox_mAP': 0.152, 'bbox_mAP_50': 0.33, 'segm_mAP': 0.08, 'segm_mAP_50': -1.0}


def test_the_table_holds_percentages_and_the_signed_difference():
    table = results_table({'random init': RANDOM, 'DetCo': DETCO})
    assert table[0] == ['initialisation', 'box AP', 'box AP50', 'mask AP', 'mask AP50']
    assert table[1] == ['random init', '10.1', '25.0', '9.0', '20.0']
    assert table[2] == ['DetCo', '15.2', '33.0', '8.0', '-']
    assert table[3] == ['difference', '+5.1', '+8.0', '-1.0', '-']


def test_each_evaluation_is_a_row_with_all_of_cocos_metrics_first():
    first = {'mIoU': 76.512, 'coco/segm_mAP': 0.2, 'coco/bbox_mAP_s': -1.0, 'coco/bbox_mAP': 0.101}
    table = evaluation_table({'iter_2': first, 'iter_4': {'coco/bbox_mAP': 0.2}}, 'checkpoint')
    assert table == [
        ['checkpoint', 'box AP', 'box APS', 'mask AP', 'mIoU'],
        ['iter_2', '10.1', '-', '20.0', '76.51'],
        ['iter_4', '20.0', '-', '-', '-'],
    ]


def test_one_run_alone_has_no_difference():
    assert len(results_table({'DetCo': DETCO})) == 2


def test_the_lines_of_a_text_table_are_equally_long_markdown():
    lines = text_table(results_table({'random init': RANDOM, 'DetCo': DETCO})).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert re.fullmatch(r'\|-+\|(-+:\|)+', lines[1])


def test_all_text_of_the_page_is_escaped():
    bad = '<script>alert("x")</script> & \'y\''
    page = html_page(bad, [Section(bad, [bad], [[[bad], [bad]]], {bad: b'png'})])
    assert '<script' not in page
    assert page.count('&lt;script&gt;') == 7  # title, heading, paragraph, two cells, alt, caption
    assert 'alt="&lt;script&gt;alert(&quot;x&quot;)' in page


def test_the_page_needs_no_other_file_and_no_network():
    page = html_page('t', [Section('a', ['p'], [results_table({'DetCo': DETCO})], {'c': b'png'})])
    assert re.findall(r'(?:src|href)="?([^"]{0,10})', page) == ['data:image']
    assert not re.search(r'https?:|//[a-z]|url\(|@import|<link|<script', page)
    assert 'width=device-width' in page


def test_numbers_stand_to_the_right_and_words_to_the_left():
    page = html_page('t', [Section('a', tables=[[['name', 'AP'], ['random', '1.0'], ['DetCo', '-']]])])
    assert '<td>random</td><td class=number>1.0</td>' in page
