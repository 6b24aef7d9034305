"""The configuration of applications: `Config`, the kinds of options, and what is recorded of both.

`options` says what can be declared, `sources` where values come from and `ini` how the old files are read. What holds is
masked, digested and recorded as the settings of Tabard's own roles are.
"""

from tabard.config.application import Config
from tabard.config.options import Checked
from tabard.config.single import config
from tabard.settings.forms import HOST, HOST_PORT, PATH
from tabard.settings.kinds import Choice, Duration, Flag, Integer, Kind, Level, Number, Size, Text, Words
from tabard.settings.reload import Reload
from tabard.settings.schema import Setting as Option
from tabard.settings.stages import Stage
from tabard.settings.values import Origin, Shown, Values

__all__ = [
    "HOST",
    "HOST_PORT",
    "PATH",
    "Checked",
    "Choice",
    "Config",
    "Duration",
    "Flag",
    "Integer",
    "Kind",
    "Level",
    "Number",
    "Option",
    "Origin",
    "Reload",
    "Shown",
    "Size",
    "Stage",
    "Text",
    "Values",
    "Words",
    "config",
]
