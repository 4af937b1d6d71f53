"""Logs are JSON lines, and keep a secret even from somebody who logs one."""

import json
import subprocess
import sys

PROGRAM = """
import dataclasses, logging, structlog
from gateway.program.logs import configure_logs
configure_logs()
log = structlog.stdlib.get_logger()
@dataclasses.dataclass
class Key:
    id: str
    secret: str = dataclasses.field(repr=False)


log.info("request", key=Key("2026", "s3cret"), access_token="s3cret", nonce="s3cret", route="/x\\ny")
try:
    raise ValueError("s3cret")
except ValueError as error:
    log.error("incident", exc_info=error)
    logging.getLogger("library").exception("failed")
"""


def test_lines_are_json_without_secrets_or_the_text_of_exceptions() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, text=True)
    lines = [json.loads(line) for line in run.stderr.splitlines()]

    assert [line["event"] for line in lines] == ["request", "incident", "failed"]
    assert "s3cret" not in run.stderr
    assert lines[0]["access_token"] == lines[0]["nonce"] == "[redacted]"
    assert lines[0]["key"] == "Key(id='2026')"
    assert lines[0]["route"] == "/x\ny"
    for line in lines[1:]:
        assert line["error_type"] == "ValueError"
        assert line["frames"]
