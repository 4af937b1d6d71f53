"""What the command lines of both programs share."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click

from gateway.program.settings import ConfigurationError

DISTRIBUTION = "connectingparty-sale"
P = ParamSpec("P")

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file with the settings; the environment (SALE_HTTP__LISTEN, ...) and the options here win over it.",
)
http_option = click.option(
    "--http", metavar="HOST:PORT", help="Where the JSON gateway listens.  [default: 127.0.0.1:8080]"
)
metrics_option = click.option(
    "--metrics", metavar="HOST:PORT", help="Where Prometheus reads /metrics.  [default: not served]"
)
workers_option = click.option(
    "--workers", type=int, metavar="N", help="How many processes share the ports.  [default: 1]"
)


class _WrongSetting(click.ClickException):
    exit_code = 2


def one_line_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Make a command tell a wrong setting in one line, with exit code 2."""

    @wraps(command)
    def wrapped(*arguments: P.args, **named: P.kwargs) -> None:
        try:
            command(*arguments, **named)
        except ConfigurationError as error:
            raise _WrongSetting(str(error)) from None

    return wrapped
