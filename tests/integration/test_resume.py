"""A run that is killed and resumed ends as one that was left alone."""

import json
import time
from pathlib import Path

import torch

from tests.integration.small_run import CONFIG, command, photographs, start

# Views without randomness, on one process that has nothing to shuffle: what is left is what a checkpoint must restore.
PLAIN = [
    'model.head.pairs=[g2g]',
    *(
        f'train_dataloader.dataset.pipeline.0.{setting}'
        for setting in (
            'global_scale=[1,1]',
            'ratio=[1,1]',
            'colour_jitter=None',
            'grey_prob=0',
            'blur=None',
            'flip_prob=0',
        )
    ),
]


def losses(work_dir):
    """Step -> losses and learning rate, from all logs of a work dir; a later log wins."""
    rows = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            rows[row['step']] = {k: v for k, v in row.items() if k.startswith(('loss', 'lr'))}
    return rows


def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    images = photographs(tmp_path / 'images', 48)
    options = [f'data.root={images}', *PLAIN]
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    line = command('tools/train.py', CONFIG, '--work-dir', whole, options=options)
    assert start(line, tmp_path / 'whole.log').wait(120) == 0, (tmp_path / 'whole.log').read_text()

    line = command('tools/train.py', CONFIG, '--work-dir', cut, options=options)
    run = start(line, tmp_path / 'cut.log')
    for _ in range(1200):
        if len(losses(cut)) >= 14:  # twelve steps an epoch: the first checkpoint is written, the second is not
            break
        time.sleep(0.05)
    run.kill()
    run.wait()
    assert 14 <= len(losses(cut)) < 36
    line = command('tools/train.py', CONFIG, '--work-dir', cut, '--resume', options=options)
    assert start(line, tmp_path / 'resumed.log').wait(120) == 0, (tmp_path / 'resumed.log').read_text()
    assert 'resumed epoch: 1' in (tmp_path / 'resumed.log').read_text()

    assert losses(cut) == losses(whole)  # bit for bit
    ends = [torch.load(folder / 'epoch_3.pth', weights_only=True)['state_dict'] for folder in (whole, cut)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
