"""Pre-train DetCo, or train any other config of OpenMMLab's packages.

    python tools/train.py CONFIG [--work-dir DIR] [--resume [CHECKPOINT]] [--amp] [--cfg-options KEY=VALUE ...]

Detectors, segmenters and classifiers take a BACKBONE behind their config, as in tools/det_train.py.

On several GPUs use tools/dist_train.sh, on a Slurm cluster tools/slurm_train.sh.
"""

from _command_line import parse

if __name__ == '__main__':
    args = parse('mmselfsup')
    from _training import main  # not before: the stack takes seconds to import

    main(args)
