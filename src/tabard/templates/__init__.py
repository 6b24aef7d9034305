"""Templates by use, name, language and stage: for mail, for commands, for log messages.

``Templates(folders).mail("failed", job="import")`` gives subject, text and HTML. In a command every value is one
word, whatever it contains. Jinja is loaded when the first template is rendered.
"""

from tabard.templates.catalogue import USES, File, Found
from tabard.templates.errors import TemplateError
from tabard.templates.rendering import MailText, Templates

__all__ = ["USES", "File", "Found", "MailText", "TemplateError", "Templates"]
