"""Data: any folder of images for pre-training, and the embedded detection set."""

from detco_mm.datasets.embedded import CLASS_NAMES, SceneSpec, make_embedded
from detco_mm.datasets.image_folder import ImageFolder
from detco_mm.datasets.sampler import ResumableSampler

__all__ = ['CLASS_NAMES', 'ImageFolder', 'ResumableSampler', 'SceneSpec', 'make_embedded']
