"""Files that would run something when they are loaded, given to every tool in every way: nothing of them runs."""

import http.server
import pickle
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from detco_mm.checkpoints.finding import newest_intact_checkpoint
from detco_mm.checkpoints.reading import safe_loading
from detco_mm.datasets import ImageFolder
from tests.checkpoints.test_reading import Runs
from tests.integration import forked
from tests.integration.small_run import CONFIG, ROOT, command, photographs
from tests.integration.test_tools import DETECTOR, complaint

LINEAR = 'configs/mmcls/resnet50_linear-8xb32-steplr-100e_imagenet.py'
SVM = 'configs/mmcls/resnet50_svm_voc07.py'
FCN = 'configs/mmseg/fcn_r50-d16_90k_cityscapes-769x769.py'
# What Python 3 calls subprocess is commands in a pickle that Python 2 reads, as PyTorch writes.
REFUSED = 'is not a checkpoint that loads safely: it asks to run commands.call'


@pytest.fixture(scope='module')
def evil(tmp_path_factory):
    """A checkpoint that makes a file when it is unpickled without restrictions, which it has proved once."""
    folder = tmp_path_factory.mktemp('evil')
    path, mark = folder / 'epoch_9.pth', folder / 'ran'
    weights = {'backbone.conv1.weight': torch.zeros(2), 'payload': Runs(subprocess.call, ['touch', str(mark)])}
    torch.save({'meta': {'epoch': 9, 'iter': 90}, 'state_dict': weights, 'optimizer': {}}, path)
    torch.load(path, weights_only=False)
    assert mark.exists()
    mark.unlink()
    return path


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 12)


def has_run(evil):
    return (evil.parent / 'ran').exists()


@pytest.fixture
def said(monkeypatch, evil):
    """Run a tool that meets the evil file; what it complains of."""

    def run(line):
        message = complaint(monkeypatch, [sys.executable, *map(str, line)])
        assert not has_run(evil)
        return message

    return run


TRAINING = {
    'resume': (['--resume', '{evil}'], []),
    'load_from': ([], ['load_from={evil}']),
    'resume by option': ([], ['resume=True', 'load_from={evil}']),
    'initialisation': ([], ['model.backbone.init_cfg.type=Pretrained', 'model.backbone.init_cfg.checkpoint={evil}']),
}


@pytest.mark.parametrize('unsafe', [False, True], ids=['', "with PyTorch's way out"])
@pytest.mark.parametrize('way', TRAINING)
def test_pre_training(way, unsafe, said, evil, images, tmp_path, monkeypatch):
    if unsafe:  # what one reads about resuming MMEngine's runs on recent PyTorch
        monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    flags, options = ([part.format(evil=evil) for part in parts] for parts in TRAINING[way])
    options = [f'data.root={images}', *options]
    assert REFUSED in said(
        command('tools/train.py', CONFIG, '--work-dir', tmp_path / 'run', *flags, options=options)[1:]
    )


def test_resuming_a_work_dir_that_holds_it(said, evil, images, tmp_path):
    work = tmp_path / 'run'
    work.mkdir()
    (work / 'epoch_9.pth').write_bytes(evil.read_bytes())
    options = [f'data.root={images}']
    assert 'is whole: name another one' in said(
        command('tools/train.py', CONFIG, '--work-dir', work, '--resume', options=options)[1:]
    )
    with pytest.raises(ValueError, match='is whole: name another one'):
        newest_intact_checkpoint(work)
    # MMEngine's own way to the latest checkpoint, which --resume does not take
    (work / 'last_checkpoint').write_text(str(work / 'epoch_9.pth'))
    options.append('resume=True')
    assert REFUSED in said(command('tools/train.py', CONFIG, '--work-dir', work, options=options)[1:])


@pytest.mark.parametrize(
    'line',
    [
        ['tools/det_train.py', DETECTOR, '{evil}'],
        ['tools/cls_train.py', LINEAR, '{evil}'],
        ['tools/seg_train.py', FCN, '{evil}'],
        ['tools/export_backbone.py', '{evil}', '{out}.pth'],
        ['tools/eval_frozen.py', CONFIG, '{evil}'],
        ['tools/probe.py', CONFIG, '{evil}', '--ann', 'labels.json', '--images', '{out}'],
        ['tools/verdict.py', '--start', '{evil}', '--end', 'random', '--finetune', DETECTOR, '--work-dir', '{out}'],
        ['tools/ablate.py', '--weights', 'a={evil}', '--finetune', DETECTOR, '--work-dir', '{out}'],
        ['tools/eval_knn.py', LINEAR, '{evil}'],
        ['tools/eval_svm.py', SVM, '{evil}'],
        ['tools/visualize.py', CONFIG, '--images', '{image}', '--checkpoints', 'random', '{evil}', '--out', '{out}'],
    ],
    ids=lambda line: line[0],
)
def test_a_backbone(line, said, evil, images, tmp_path):
    places = dict(evil=evil, out=tmp_path / 'out', image=next(images.iterdir()))
    message = said([part.format(**places) for part in line] + (['--work-dir', tmp_path] if '_train' in line[0] else []))
    assert REFUSED in message and str(evil) in message


@pytest.fixture(scope='module')
def detection(tmp_path_factory):
    """Options that lead the detector to a few scenes."""
    layouts = pytest.importorskip('tests.integration.layouts')
    root = layouts.embedded(tmp_path_factory.mktemp('detection') / 'data', train=4, val=2)
    options = []
    for part, split in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        options += [f'{part}_dataloader.dataset.data_root={root}/', f'{part}_dataloader.num_workers=0']
        options += [f'{part}_dataloader.persistent_workers=False']
        options += [f'{part}_dataloader.dataset.ann_file=annotations/instances_{split}.json']
        options += [f'{part}_dataloader.dataset.data_prefix.img={split}/']
        if part != 'train':
            options.append(f'{part}_evaluator.ann_file={root}/annotations/instances_{split}.json')
    return ['--cfg-options', *options]


@pytest.mark.parametrize('way', ['resume', 'load_from'])
def test_a_detector(way, said, evil, detection, tmp_path):
    flags, options = ([part.format(evil=evil) for part in parts] for parts in TRAINING[way])
    assert REFUSED in said(['tools/det_train.py', DETECTOR, '--work-dir', tmp_path, *flags, *detection, *options])


def test_a_detector_whose_config_names_a_backbone(said, evil, detection, tmp_path):
    config = tmp_path / 'config.py'
    initialise = dict(type='Pretrained', checkpoint=str(evil), _delete_=True)
    base = f'_base_ = {str(ROOT / DETECTOR)!r}'
    config.write_text(f'{base}\nmodel = dict(backbone=dict(init_cfg={initialise}))\n')
    assert REFUSED in said(['tools/det_train.py', config, '--work-dir', tmp_path, *detection])


def test_the_evaluation_of_a_detector(said, evil, detection, tmp_path):
    assert REFUSED in said(['tools/det_test.py', DETECTOR, evil, '--work-dir', tmp_path, *detection])


@pytest.mark.parametrize('tool', ['ablate.py', 'benchmark_mini.py', 'demo.py'])
def test_the_chains_of_tools_read_no_checkpoint_themselves(tool):
    # They give paths to the tools above.
    folder = Path(ROOT, 'detco_mm/experiments')
    files = [ROOT / 'tools' / tool, folder / 'steps.py', folder / tool.replace('ablate', 'ablation')]
    text = ''.join(path.read_text() for path in files)
    # ablate.py looks at --weights with the reader that executes nothing
    words = ('torch.load', 'pickle', 'load_backbone') + ('load_checkpoint',) * (tool != 'ablate.py')
    assert not any(word in text for word in words)


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_a_file_from_the_web(evil, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))  # where PyTorch keeps what it downloads
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    server = http.server.HTTPServer(('127.0.0.1', 0), partial(Silent, directory=evil.parent))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f'http://127.0.0.1:{server.server_port}/{evil.name}'
    try:
        CheckpointLoader.load_checkpoint(url, 'cpu')  # the way that MMEngine goes by itself runs the file
        assert has_run(evil)
        (evil.parent / 'ran').unlink()
        with safe_loading(), pytest.raises(ValueError, match=REFUSED):
            CheckpointLoader.load_checkpoint(url, 'cpu')
    finally:
        server.shutdown()
        server.server_close()
    assert not has_run(evil)


def test_a_config_inside_a_checkpoint_is_not_executed(images, tmp_path):
    """Plain text, which no restriction of the unpickler refuses; MMEngine executes it when it resumes."""
    mark = tmp_path / 'ran'
    options = [f'data.root={images}', 'train_cfg.max_epochs=1']
    line = command('tools/train.py', CONFIG, '--work-dir', tmp_path / 'run', options=options)
    assert forked.run(line).returncode == 0
    checkpoint = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=True)
    checkpoint['meta']['config'] = f'open({str(mark)!r}, "w").close()\na = 1'
    torch.save(checkpoint, tmp_path / 'evil.pth')
    Config.fromstring(checkpoint['meta']['config'], '.py')
    assert mark.exists()
    mark.unlink()
    again = command(
        'tools/train.py', CONFIG, '--work-dir', tmp_path / 'on', '--resume', tmp_path / 'evil.pth', options=options
    )
    done = forked.run(again)
    assert done.returncode == 0 and 'resumed epoch: 1' in done.stdout + done.stderr
    assert not mark.exists()


@pytest.mark.parametrize('suffix', ['.pkl', '.pickle', '.json', '.txt'])
def test_a_list_of_images(suffix, evil, images):
    mark = evil.parent / 'ran'
    content = pickle.dumps({'images': Runs(subprocess.call, ['touch', str(mark)])})
    pickle.loads(content)
    assert mark.exists()
    mark.unlink()
    (images / f'list{suffix}').write_bytes(content)
    with pytest.raises(ValueError):
        ImageFolder(str(images), ann_file=f'list{suffix}')
    assert not mark.exists()
