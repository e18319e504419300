"""The config in a checkpoint."""

import pytest
from mmengine.config import Config

from detco_mm.checkpoints.config_text import read_config_text
from tests.integration.small_run import CONFIG


def test_it_is_what_mmengine_wrote():
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({'model.stage-weights': {'a b': (1, -2.5)}, 'load_from': None})
    found = read_config_text(dict(meta=dict(cfg=cfg.pretty_text)))
    assert found == {key: value for key, value in cfg._cfg_dict.to_dict().items() if key in found}
    assert found.keys() == cfg.to_dict().keys()


@pytest.mark.parametrize('text', ['a = open("x")', 'import os', 'a = dict(b=', 'a = [', None, 3, 'a = dict(print())'])
def test_nothing_is_executed_and_what_is_no_config_is_none(text):
    assert read_config_text(dict(meta=dict(cfg=text))) == {}
    assert read_config_text({}) == {}
