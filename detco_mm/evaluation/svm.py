"""Linear SVMs on frozen features of VOC07, on all labels and on a few (Goyal et al., arXiv 1905.01235, appendix B).

Labels are VOC's own: 1 is present, -1 absent, 0 only as an object marked difficult. In training the difficult count as
absent, in tests they are left out.
"""

from collections.abc import Sequence

import numpy as np
from joblib import Parallel, delayed
from mmcls.datasets import VOC
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

# Costs, shots and samples are those of MMSelfSup's benchmark.
COSTS = (1.0, 10.0, 100.0, *(0.5**power for power in range(4, 20)))
SHOTS = (1, 2, 4, 8, 16, 32, 64, 96)
SAMPLES = 5
FOLDS = 3


def voc_labels(dataset: VOC) -> NDArray[np.int64]:
    """Read the labels of every image.

    Returns:
        (images, classes) of 1, 0 and -1.
    """
    labels = np.full((len(dataset), len(dataset.CLASSES)), -1)
    for row, index in zip(labels, range(len(dataset)), strict=True):
        found = dataset.get_data_info(index)
        row[list(found['gt_label_difficult'])] = 0
        row[list(found['gt_label'])] = 1
    return labels


def average_precision(present: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Area under the curve of the best precision at each recall or above, VOC's measure since 2010.

    Args:
        present: (N,).
        scores: (N,).

    Returns:
        0 to 1.
    """
    precision, recall, _ = precision_recall_curve(present, scores)  # from the highest recall down
    return float(-np.sum(np.diff(recall) * np.maximum.accumulate(precision)[:-1]))


def _svm(cost: float = 1.0) -> LinearSVC:
    return LinearSVC(C=cost, class_weight={1: 2, -1: 1}, dual=True, max_iter=2000, random_state=0)


def _test(svm: LinearSVC, features: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    certain = labels != 0
    return average_precision(labels[certain] == 1, svm.decision_function(features[certain]))


def _require_both(labels: NDArray[np.int64], split: str, least: int) -> None:
    short = np.flatnonzero(((labels == 1).sum(0) < least) | ((labels == -1).sum(0) < least))
    if len(short):
        raise ValueError(
            f'{split}: class {", ".join(map(str, short))} is present or absent in fewer than {least} images, '
            'too few to learn or measure it: give the whole set'
        )


def full(
    train: NDArray[np.float32],
    train_labels: NDArray[np.int64],
    test: NDArray[np.float32],
    test_labels: NDArray[np.int64],
    costs: Sequence[float] = COSTS,
    jobs: int | None = None,
) -> NDArray[np.float64]:
    """Train one SVM for each class on all labels, its cost chosen by three-fold cross-validation.

    Args:
        train: (N, C) features; all features are normalised to length 1.
        train_labels: (N, classes) of 1, 0 and -1.
        test: (M, C).
        test_labels: (M, classes).
        costs: to choose from.
        jobs: processes, as scikit-learn's `n_jobs`.

    Returns:
        (classes,) AP, 0 to 1.

    Raises:
        ValueError: if a class is in too few images.
    """
    _require_both(train_labels, 'train', FOLDS)
    _require_both(test_labels, 'test', 1)
    train_unit, test_unit = (normalize(features.astype(np.float64)) for features in (train, test))
    found = []
    for own, truth in zip(train_labels.T, test_labels.T, strict=True):
        search = GridSearchCV(_svm(), {'C': list(costs)}, scoring='average_precision', cv=FOLDS, n_jobs=jobs)
        found.append(_test(search.fit(train_unit, np.where(own == 1, 1, -1)).best_estimator_, test_unit, truth))
        print(f'class {len(found)} of {len(train_labels.T)}: AP {100 * found[-1]:.1f}', flush=True)
    return np.array(found)


def _sample(labels: NDArray[np.int64], shots: int, seed: Sequence[int]) -> list[NDArray[np.int64]]:
    """Draw for each class images that have it and, for each other class, as many that do not."""
    rng = np.random.default_rng(seed)
    drawn = []
    for own in labels.T:
        absent = np.flatnonzero(own == -1)
        negatives = min((labels.shape[1] - 1) * shots, len(absent))
        drawn.append(np.r_[rng.choice(np.flatnonzero(own == 1), shots, False), rng.choice(absent, negatives, False)])
    return drawn


def low_shot(
    train: NDArray[np.float32],
    train_labels: NDArray[np.int64],
    test: NDArray[np.float32],
    test_labels: NDArray[np.int64],
    shots: Sequence[int] = SHOTS,
    costs: Sequence[float] = COSTS,
    samples: int = SAMPLES,
    seed: int = 0,
    jobs: int | None = None,
) -> dict[int, NDArray[np.float64]]:
    """Train on k images that show a class and 19 k that do not, several times over.

    As in Goyal et al. and MMSelfSup the cost is the one that is best on the test set, for each k: compare results of
    this protocol with each other only. The images are drawn from `seed`; theirs are other ones.

    Args:
        train: (N, C) features; all features are normalised to length 1.
        train_labels: (N, classes) of 1, 0 and -1.
        test: (M, C).
        test_labels: (M, classes).
        shots: the k; those that the rarest class does not have are left out.
        costs: to choose from.
        samples: independent draws.
        seed: of the draws.
        jobs: processes, as scikit-learn's `n_jobs`.

    Returns:
        By k (samples,) mean AP over classes, 0 to 1.

    Raises:
        ValueError: if a class is in no image, or in all.
    """
    _require_both(train_labels, 'train', 1)
    _require_both(test_labels, 'test', 1)
    train_unit, test_unit = (normalize(features.astype(np.float64)) for features in (train, test))

    def score(own: NDArray[np.int64], truth: NDArray[np.int64], drawn: NDArray[np.int64]) -> list[float]:
        return [_test(_svm(cost).fit(train_unit[drawn], own[drawn]), test_unit, truth) for cost in costs]

    most = int((train_labels == 1).sum(0).min())
    result = {}
    for k in (k for k in shots if k <= most):
        by_sample = []
        for sample in range(samples):
            drawn = _sample(train_labels, k, (seed, sample, k))
            by_class = Parallel(jobs)(
                delayed(score)(*columns) for columns in zip(train_labels.T, test_labels.T, drawn, strict=True)
            )
            by_sample.append(np.mean(by_class, axis=0))
        means = np.array(by_sample)  # (samples, costs)
        result[k] = means[:, means.mean(0).argmax()]
        print(f'{k} shots: mAP {100 * result[k].mean():.1f} +- {100 * result[k].std(ddof=1):.1f}', flush=True)
    return result
