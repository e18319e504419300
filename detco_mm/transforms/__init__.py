"""From a path to four packed views: decode, crop, colour, cut into patches, pack."""

from detco_mm.transforms.batch_colour import BatchColour
from detco_mm.transforms.jigsaw import JigsawPatches
from detco_mm.transforms.loading import LoadImage
from detco_mm.transforms.packing import PackDetCoInputs
from detco_mm.transforms.views import DetCoViews

__all__ = ['BatchColour', 'DetCoViews', 'JigsawPatches', 'LoadImage', 'PackDetCoInputs']
