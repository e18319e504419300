"""The notebook's cells, one after the other, on a few images."""

import json

from tests.integration.forked import ROOT, run_code
from tests.integration.small_run import photographs


def test_its_cells_run(tmp_path):
    photographs(tmp_path / 'images', 16)
    cells = json.loads((ROOT / 'docs/pretrain.ipynb').read_text())['cells']
    code = '\n'.join(''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code')
    done = run_code(code, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'queue_len = 8' in done.stdout and '(1, 512, 7, 7)' in done.stdout
