"""WriteReport: a run ends with a page about it."""

import json
import time
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from detco_mm.checkpoints.files import write_atomically
from detco_mm.engine.hooks.overview import overview
from detco_mm.registry import HOOKS
from detco_mm.visualization.scalars import NOTES, SHOWN, spread


@HOOKS.register_module()
class WriteReport(Hook):
    """Write ``report.html`` into the work directory once training is over.

    It holds curves, evaluations and, from a few of the run's images, views, similarity maps or detections;
    ``tools/report.py`` writes it at any time. A run that a signal stopped writes none, for it may have little time
    left. Whatever goes wrong is one line in the log: the run is finished by then.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._notes: dict[str, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Note what the scalars do not tell."""
        if not is_main_process():
            return
        loader = runner.train_dataloader
        batch, data = getattr(loader.batch_sampler, 'batch_size', None), loader.dataset
        known = [data.get_data_info(at) for at in spread(SHOWN, len(data))] if hasattr(data, 'get_data_info') else []
        self._notes = dict(
            finished=False,
            steps=runner.max_iters,
            batch=batch * runner.world_size if batch else None,
            overview=[line.split(None, 1) for line in overview(runner)],
            shown=[str(info['img_path']) for info in known if isinstance(info, dict) and 'img_path' in info],
        )
        self._write(runner)

    def after_run(self, runner: Runner) -> None:
        """Write the page, if all steps of a training are done."""
        if not self._notes or runner.iter < runner.max_iters:
            return
        from detco_mm.visualization.run_report import write_report  # matplotlib takes a second to import

        begun = time.perf_counter()
        try:
            self._notes['finished'] = True
            self._write(runner)
            path = write_report(runner.work_dir)
        except Exception as error:  # whatever it is, the run is finished and its checkpoints are written
            runner.logger.warning(f'report.html could not be written: {" ".join(str(error).split())[:500]}')
            return
        runner.logger.info(f'report: {path}, written in {time.perf_counter() - begun:.1f} s')

    def _write(self, runner: Runner) -> None:
        write_atomically(Path(runner.log_dir, NOTES), json.dumps(self._notes, indent=1) + '\n')
