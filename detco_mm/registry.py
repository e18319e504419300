"""Registries of scope ``detco_mm``, children of MMEngine's roots.

A config names a module as ``detco_mm.DetCo`` from any scope. MMEngine resolves the prefix by importing this file; the
``locations`` below then import the modules themselves. Keep this file light: MMEngine swallows an exception raised
while it is imported and reports "not in registry" instead.
"""

from collections.abc import Mapping
from typing import Any

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import WEIGHT_INITIALIZERS as MMENGINE_WEIGHT_INITIALIZERS
from mmengine.registry import Registry

MODELS = Registry('model', parent=MMENGINE_MODELS, scope='detco_mm', locations=['detco_mm.models'])
TRANSFORMS = Registry('transform', parent=MMENGINE_TRANSFORMS, scope='detco_mm', locations=['detco_mm.transforms'])
DATASETS = Registry('dataset', parent=MMENGINE_DATASETS, scope='detco_mm', locations=['detco_mm.datasets'])
DATA_SAMPLERS = Registry(
    'data sampler', parent=MMENGINE_DATA_SAMPLERS, scope='detco_mm', locations=['detco_mm.datasets']
)
LOOPS = Registry('loop', parent=MMENGINE_LOOPS, scope='detco_mm', locations=['detco_mm.engine.train_loop'])
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='detco_mm', locations=['detco_mm.engine.hooks'])
OPTIM_WRAPPERS = Registry(
    'optim_wrapper', parent=MMENGINE_OPTIM_WRAPPERS, scope='detco_mm', locations=['detco_mm.engine.optim_wrapper']
)

WEIGHT_INITIALIZERS = Registry(
    'weight initializer', parent=MMENGINE_WEIGHT_INITIALIZERS, scope='detco_mm', locations=['detco_mm.weights']
)

#: What configs, losses, logs and tables call the four maps of a backbone, whatever the network calls its stages.
STAGES = ('res2', 'res3', 'res4', 'res5')


def with_four_maps(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """Have a backbone return its four maps where its config does not say which it returns.

    Args:
        backbone: a config; the default scope has to be set. `out_indices` of MMSelfSup's ResNets count the stem, and by
            default they return the last map alone. Of all other classes the config's own settings hold.
    """
    from mmselfsup.models.backbones import ResNet

    kind = backbone.get('type')
    if isinstance(kind, str):
        with MODELS.switch_scope_and_registry(None) as registry:  # the default scope's, as when it is built
            kind = registry.get(kind)
    if 'out_indices' not in backbone and isinstance(kind, type) and issubclass(kind, ResNet):
        return dict(backbone, out_indices=(1, 2, 3, 4))
    return dict(backbone)


__all__ = [
    'DATASETS',
    'DATA_SAMPLERS',
    'HOOKS',
    'LOOPS',
    'MODELS',
    'OPTIM_WRAPPERS',
    'STAGES',
    'TRANSFORMS',
    'WEIGHT_INITIALIZERS',
    'with_four_maps',
]
