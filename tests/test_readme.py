"""The README's commands as written, on less data and for fewer steps."""

import re
import subprocess

import pytest
from mmengine.config import Config

from tests.documents import ROOT, blocks, checkout, run, shortened

README = (ROOT / 'README.md').read_text()


def commands(language):
    return [line for block in blocks('README.md', language) for line in block.splitlines() if line.strip()]


def test_the_first_two_commands_are_targets_of_the_makefile():
    assert commands('bash')[:2] == ['make demo', 'make test']
    for line in ('make demo', 'make test', 'make demo SIZE=medium', 'make setup', 'make check'):
        assert line in README
        subprocess.run([*line.split(), '--dry-run', '--silent'], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_commands_that_a_laptop_can_run_do(tmp_path):
    ran = [command for command in commands('bash') if not command.startswith('make ')]
    assert len(ran) >= 8
    folder = checkout(tmp_path)
    for command in ran:
        run(shortened(command), folder)
    assert (folder / 'work_dirs/mini/detco_r18.pth').is_file()


def test_every_file_that_the_readme_names_is_there():
    named = set(re.findall(r'(?:configs|tools|detco_mm|docs)/[\w./-]+\.(?:py|sh|png|md)', README))
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_link_within_the_documents_leads_somewhere():
    dead = [
        f'{page.relative_to(ROOT)}: {link}'
        for page in [*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md')]
        for link in re.findall(r'\]\(([^)\s#]+)(?:#[^)]*)?\)', page.read_text())
        if '://' not in link and not (page.parent / link).exists()
    ]
    assert dead == []


def test_commands_for_many_gpus_name_a_config_that_builds():
    for command in commands('sh'):
        for config in re.findall(r'configs/\S+\.py', command):
            assert Config.fromfile(ROOT / config).model
