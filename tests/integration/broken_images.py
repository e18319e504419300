"""A transform that brings numbers into a run that are not finite, as a float pipeline of a user's might."""

import math

from detco_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class BreakImages:
    """Behind PackDetCoInputs: floats, and infinity in one pixel of the images named."""

    def __init__(self, names=()):
        self.names = tuple(names)

    def __call__(self, results):
        inputs = [view.float() for view in results['inputs']]
        if results['data_samples'].img_path.endswith(self.names):
            for view in inputs:
                view[..., 0, 0] = math.inf
        return dict(results, inputs=inputs)
