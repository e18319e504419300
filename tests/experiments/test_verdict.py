"""One sentence: it helps, it does not, or these labels cannot tell."""

import subprocess

import pytest
from mmengine.optim import build_optim_wrapper
from torch import nn

from detco_mm.experiments.results import Result
from detco_mm.experiments.steps import overridden
from detco_mm.experiments.verdict import FROZEN_BACKBONE, verdict
from tests.experiments.test_ablation import two_iterations
from tests.integration import forked


def made_up(start, end):
    """Box AP in percent, seed by seed."""
    return [
        Result(method, seed, 'few labels', 'bbox_mAP', value / 100)
        for method, values in (('start', start), ('middle', start), ('end', end))
        for seed, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ('start', 'end', 'sentence'),
    [
        # seeds differ by far more than start and end do, which pairs of the same seed do not mind
        ((10, 14, 18), (12.0, 16.2, 19.9), 'It helps: +2.0 AP against the start, 95 % interval +1.7 to +2.4, 3 seeds.'),
        (
            (10, 14, 18),
            (8.0, 12.1, 15.9),
            'It does not help, it harms: -2.0 AP against the start, 95 % interval -2.2 to -1.8, 3 seeds.',
        ),
        (
            (10, 14, 18),
            (10.1, 13.9, 18.0),
            'It does not help: +0.0 AP against the start, 95 % interval -0.2 to +0.2, 3 seeds, which leaves no room '
            'for a gain of 1.',
        ),
        (
            (13.9, 15.7, 12.0),  # docs/results/photographs.md: ImageNet, and then DetCo
            (16.8, 14.3, 10.4),
            'Cannot tell with these labels: -0.0 AP against the start, 95 % interval -6.3 to +6.3, 3 seeds, which '
            'holds both nothing and a gain of 1 or more; label more images, or fine-tune longer: seeds alone would '
            'not settle it.',
        ),
        (
            (10, 14, 18),
            (10.0, 14.6, 18.9),
            'Cannot tell with these labels: +0.5 AP against the start, 95 % interval -0.6 to +1.6, 3 seeds, which '
            'holds both nothing and a gain of 1 or more; some 16 seeds would narrow it to half of that gain, as '
            'would more labels.',
        ),
        (
            (10,),
            (15,),
            'Cannot tell: +5.0 AP with a single seed is no evidence, for seeds differ; give at least three with '
            '--seeds.',
        ),
    ],
)
def test_the_sentence_follows_from_paired_differences(start, end, sentence):
    assert verdict(made_up(start, end), 'few labels') == sentence


def test_without_a_seed_of_both_there_is_no_verdict():
    with pytest.raises(ValueError, match='no seed has been fine-tuned both from start and from end'):
        verdict(made_up((10,), ()), 'few labels')


def test_the_end_can_be_compared_with_the_middle():
    results = made_up((10, 14, 18), (12.0, 16.2, 19.9))
    assert verdict(results, 'few labels', start='middle').startswith('It helps: +2.0 AP against the middle')


def test_a_frozen_backbone_is_not_trained_whatever_the_detector():
    config = overridden('configs/adapt/faster-rcnn_lite0_fpn_192px.py', FROZEN_BACKBONE)
    detector = nn.ModuleDict(dict(backbone=nn.Conv2d(3, 4, 1), neck=nn.Conv2d(4, 4, 1)))
    optimizer = build_optim_wrapper(detector, config.optim_wrapper).optimizer
    rates = {id(group['params'][0]): group['lr'] for group in optimizer.param_groups}
    assert all(rates[id(weight)] == 0 for weight in detector['backbone'].parameters())
    assert all(rates[id(weight)] > 0 for weight in detector['neck'].parameters())


@pytest.mark.exhaustive  # twelve forked trainings and tests
def test_a_whole_verdict_ends_with_one_sentence(tmp_path):
    _, options = two_iterations(tmp_path)
    line = [
        forked.python(),
        'tools/verdict.py',
        '--start',
        'random',
        '--middle',
        'random',
        '--end',
        'random',
        '--frozen',
    ]
    line += ['--finetune', 'configs/mini/mask-rcnn_r18_fpn_embedded.py', '--seeds', '0', '1']
    line += ['--work-dir', str(tmp_path / 'work'), '--finetune-options', *options]
    done = subprocess.run(line, cwd=forked.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    # the same weights, and so the same detectors
    sentence = 'It does not help: +0.0 AP against the start, 95 % interval +0.0 to +0.0, 2 seeds, which leaves no room'
    assert (tmp_path / 'work/verdict.txt').read_text().startswith(sentence)
    assert f'{sentence} for a gain of 1.' in done.stdout and 'The second half alone: It does not help' in done.stdout
