"""What every run stands on: settings, access tokens, and a store that holds them and nothing else."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from connectingparty.sale.v1.access_token_service_pb2 import IssueAccessTokenRequest
from connectingparty.sale.v1.access_token_service_pb2_grpc import AccessTokenServiceStub
from google.protobuf.duration_pb2 import Duration

from tests.bench.rivals.envoy import write_descriptors
from tests.merchant import write_config
from tests.postgresql import PostgresqlServer, postgresql_installation
from tests.running import PROGRAMS, running, service_arguments

TOKENS = 2_000
TOKEN_TTL = Duration(seconds=7 * 86_400)
_AT_ONCE = 16


class Ground:
    """Makes what several runs use, each thing once and only if it is asked for.

    Args:
        folder: takes the files.
        stack: ends what was started.
        tokens: how many access tokens the stores have.
    """

    def __init__(self, folder: Path, stack: ExitStack, tokens: int = TOKENS) -> None:
        self._folder = folder
        self._stack = stack
        self.config = write_config(folder / "sale.toml")
        self.tokens = folder / "tokens"
        """A file with the access tokens, one a line."""
        self._filled = folder / "filled.db"
        self._issue_tokens(tokens)

    def new_sqlite(self, folder: Path) -> str:
        """Return the URL of a new file in a folder."""
        path = folder / "sale.db"
        shutil.copyfile(self._filled, path)
        return f"sqlite:///{path}"

    @cached_property
    def postgresql(self) -> PostgresqlServer:
        """A server that is stopped; its database has the tokens and is a template for those of the runs."""
        installation = self._stack.enter_context(postgresql_installation())
        server = installation.create("bench")
        server.start()
        for arguments in (
            ["migrate", f"--store={server.url()}"],
            ["copy", f"--from=sqlite:///{self._filled}", f"--to={server.url()}"],
        ):
            subprocess.run([str(PROGRAMS / "sale-service"), *arguments], check=True, stdout=subprocess.DEVNULL)
        server.stop()
        return server

    @cached_property
    def descriptors(self) -> Path:
        """The proto as Envoy reads it."""
        return write_descriptors(self._folder / "descriptors.binpb")

    def _issue_tokens(self, count: int) -> None:
        store = f"sqlite:///{self._filled}"
        arguments = service_arguments(self.config, store, "--no-http")
        with running(arguments, self._folder / "filling.log") as program, program.channel() as channel:
            stub = AccessTokenServiceStub(channel)

            def issue(_: int) -> str:
                return stub.IssueAccessToken(IssueAccessTokenRequest(ttl=TOKEN_TTL), timeout=10).access_token

            with ThreadPoolExecutor(_AT_ONCE) as threads:
                self.tokens.write_text("".join(f"{token}\n" for token in threads.map(issue, range(count))))
            program.stop()  # and so everything is in the file itself, not in its log
