"""Data: any folder of images for pre-training, and the embedded detection set."""

from detco_mm.datasets.embedded import make_embedded
from detco_mm.datasets.image_folder import ImageFolder
from detco_mm.datasets.outlines import CLASS_NAMES
from detco_mm.datasets.sampler import ResumableSampler
from detco_mm.datasets.scenes import SceneSpec

__all__ = ['CLASS_NAMES', 'ImageFolder', 'ResumableSampler', 'SceneSpec', 'make_embedded']
