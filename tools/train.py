"""Pre-train DetCo, or anything else that MMSelfSup's Runner trains.

    python tools/train.py CONFIG [--work-dir DIR] [--resume [CHECKPOINT]] [--amp] [--cfg-options KEY=VALUE ...]

On several GPUs use tools/dist_train.sh, on a Slurm cluster tools/slurm_train.sh.
"""

from _command_line import parse

if __name__ == '__main__':
    args = parse('mmselfsup')
    from _training import main  # not before: the stack takes seconds to import

    main(args)
