"""A backbone is built from a config and a file to look at its four maps."""

import pytest
import torch

from detco_mm.weights import export_backbone, load_backbone
from tests.models.zoo import SMALL, bare, save, views


@pytest.mark.parametrize('name', ['ResNet-18', 'CSPNeXt-s', 'efficientnet_lite0'])
def test_an_export_is_looked_at_by_its_four_maps(name, tmp_path):
    backbone = bare(SMALL[name])
    save(tmp_path / 'checkpoint.pth', SMALL[name], backbone.state_dict())
    export_backbone(tmp_path / 'checkpoint.pth', tmp_path / 'backbone.pth')
    image = views()[0]
    backbone.eval()  # some return themselves, some nothing
    with torch.no_grad():
        expected = list(backbone(image))
        for path in ('checkpoint.pth', 'backbone.pth'):
            torch.testing.assert_close(list(load_backbone(SMALL[name], tmp_path / path)(image)), expected)


def test_a_backbone_of_other_than_four_maps_is_not_looked_at():
    with pytest.raises(ValueError, match='CSPNeXt returns 3 of its maps, .*out_indices'):
        load_backbone(dict(SMALL['CSPNeXt-s'], out_indices=(2, 3, 4)))
