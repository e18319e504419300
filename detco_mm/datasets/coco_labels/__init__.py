"""COCO-format labels: checked before a run, fixed where what is missing can be computed, in a copy."""

from detco_mm.datasets.coco_labels.check import check_coco, usable_labels, write_fixed
from detco_mm.datasets.coco_labels.findings import LabelError, Labels

__all__ = ['LabelError', 'Labels', 'check_coco', 'usable_labels', 'write_fixed']
