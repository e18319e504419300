"""What frozen features are worth on other data: linear SVMs on VOC07, weighted kNN on ImageNet."""
