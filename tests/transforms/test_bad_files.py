"""Spoilt and odd files by the hundred through the pipeline of a real run: views, or a skip with its reason."""

import re

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from detco_mm.transforms import DetCoViews
from tests.bad_files import bad_files, good_files, mutants
from tests.integration import forked

#: Of the few files that are not 8-bit, too few for a sample of the folder.
PIXELS = dict(value_range=dict(uint16=(0, 65535), int32=(0, 255), float32=(0, 255)))
PIPELINE = [
    dict(type='detco_mm.DetCoViews', global_size=32, local_size=36, pixels=PIXELS),
    dict(type='detco_mm.JigsawPatches', patch_size=12),
    dict(type='detco_mm.PackDetCoInputs'),
]
MUTANTS = 500


@pytest.fixture(scope='module')
def corpus(tmp_path_factory):
    """A folder of good, bad and spoilt files."""
    folder = tmp_path_factory.mktemp('corpus')
    files = [*good_files().items(), *bad_files().items(), *mutants(MUTANTS)]
    for name, content in files:
        (folder / name).write_bytes(content)
    return folder


def load(corpus, workers, log):
    """Go once through the corpus, as the training loop does; return the batches, the data set and its log."""
    MMLogger.get_instance(f'corpus {log}', log_file=str(log), log_level='INFO')
    loader = Runner.build_dataloader(
        dict(
            batch_size=8,
            num_workers=workers,
            timeout=120 if workers else 0,  # a worker that hangs or dies is an error
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='detco_mm.ResumableSampler', shuffle=False),
            dataset=dict(type='detco_mm.ImageFolder', data_root=str(corpus), pipeline=PIPELINE),
        )
    )
    loader.sampler.resume(7, 0)
    return list(loader), loader.dataset, log.read_text()


@pytest.fixture(scope='module')
def loaded(corpus, tmp_path_factory):
    return load(corpus, 2, tmp_path_factory.mktemp('log') / 'log')


def test_every_file_gives_views_or_a_line_in_the_log_with_its_reason(loaded, corpus):
    batches, dataset, log = loaded
    assert len(dataset) >= 500
    assert sum(len(batch['inputs'][0]) for batch in batches) == len(
        dataset
    )  # another one took the place of each skipped
    assert all(view.dtype == torch.uint8 for batch in batches for view in batch['inputs'])
    reasons = dict(re.findall(rf'skipped {corpus}/(.+?): (.+)', log))
    skips = dataset.skips
    # A file that takes another's place may be broken as well, so there are more tries than files.
    assert skips.tried == len(dataset) + sum(skips.by_reason.values())
    assert set(reasons) == {
        name for name in sorted(path.name for path in corpus.iterdir()) if not decodes(corpus / name)
    }
    print(f'\n{len(dataset)} files, {len(reasons)} of them unusable; {skips.tried} tries, of which skipped:')
    for reason, count in skips.by_reason.items():
        print(f'{count:5d} {reason}')
    assert all(skips.by_reason[reason] for reason in ('empty', 'no known image format', 'too many pixels'))


def decodes(path):
    return DetCoViews(global_size=8, local_size=9, pixels=PIXELS)(dict(img_path=str(path))) is not None


@pytest.mark.parametrize('name', sorted(good_files()))
def test_an_odd_but_whole_file_is_used(name, loaded, corpus):
    assert f'skipped {corpus}/{name}:' not in loaded[2]


@pytest.mark.parametrize('name', sorted(bad_files()))
def test_a_file_without_an_image_is_skipped(name, loaded, corpus):
    assert f'skipped {corpus}/{name}:' in loaded[2]


#: Opens files; prints by how many MB the process grew beyond what it needs for an image of 2 million pixels.
GROWTH = """
import resource, sys
from detco_mm.transforms import DetCoViews
first, *paths = sys.argv[1:]
step = DetCoViews()
assert step(dict(img_path=first)) is not None
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in paths:
    step(dict(img_path=path))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1000)
"""


def test_what_a_file_promises_is_not_reserved(corpus):
    # PNGs for which OpenCV, if asked, fills the memory that a spoilt length names, and headers that promise too much
    names = sorted(name for name in {**good_files(), **bad_files()} if 'huge' in name or 'bomb' in name)
    done = forked.run_code(GROWTH, *(corpus / name for name in ('3000x2500.png', *names)))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 200


def test_what_takes_the_place_of_a_broken_image_does_not_depend_on_the_workers(loaded, corpus, tmp_path):
    alone, _, _ = load(corpus, 0, tmp_path / 'log')
    for one, other in zip(loaded[0], alone, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one['inputs'], other['inputs'], strict=True))
