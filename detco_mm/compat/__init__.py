"""The frozen OpenMMLab stack on today's Python and PyTorch: versions and repairs."""
