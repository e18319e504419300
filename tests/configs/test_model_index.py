"""model-index.yml, which OpenMMLab's mim reads, against the configs that it names."""

from pathlib import Path

import pytest
from mmengine.config import Config
from modelindex.load_model_index import load

ROOT = Path(__file__).parents[2]
INDEX = load(str(ROOT / 'model-index.yml'))
MODELS = {model.name: model for model in INDEX.models}


def test_the_index_is_well_formed_and_each_collection_has_a_model():
    assert INDEX.check(silent=True) == []
    assert {model.in_collection for model in INDEX.models} == {collection.name for collection in INDEX.collections}


def test_every_config_but_parts_and_the_demos_is_listed_once_under_its_name():
    shown = [path for path in (ROOT / 'configs').rglob('*.py') if not {'_base_', 'mini'} & set(path.parts)]
    assert sorted(model.config for model in INDEX.models) == sorted(str(path.relative_to(ROOT)) for path in shown)
    assert [model.name for model in INDEX.models] == [Path(model.config).stem for model in INDEX.models]
    assert len(MODELS) == len(INDEX.models)


def test_nothing_is_claimed_that_was_not_measured_here():
    assert [name for name, model in MODELS.items() if model.results or model.weights] == []


@pytest.mark.parametrize('name', MODELS)
def test_length_and_batch_are_those_of_the_config(name):
    config = Config.fromfile(ROOT / MODELS[name].config)
    train = config.get('train_cfg', {})
    stated = MODELS[name].full_model.metadata.data
    assert stated['Training Data']
    assert (stated.get('Epochs'), stated.get('Iterations'), stated.get('Batch Size')) == (
        train.get('max_epochs'),
        train.get('max_iters'),
        config.get('auto_scale_lr', {}).get('base_batch_size'),
    )
