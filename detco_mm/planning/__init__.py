"""One call: what a user cannot know is chosen from the images and the machine, and written into a config."""

from .call import pretrain
from .choices import Choice, choose
from .facts import Facts

__all__ = ['Choice', 'Facts', 'choose', 'pretrain']
