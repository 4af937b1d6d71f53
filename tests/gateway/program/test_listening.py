"""Two ports of a program are never one."""

import pytest

from gateway.program.listening import require_sound_listeners
from gateway.program.settings import ConfigurationError, ListenerSettings


def listeners(one: str, other: str) -> dict[str, ListenerSettings]:
    return {
        name: ListenerSettings.model_validate({"listen": where, "plaintext": True})
        for name, where in (("http", one), ("grpc", other))
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("[::1]:8080", "[0:0::1]:8080"),
        ("localhost:8080", "localhost:8080"),
        ("0.0.0.0:8080", "127.0.0.1:8080"),
        ("127.0.0.1:8080", "[::]:8080"),
        ("[::]:8080", "0.0.0.0:8080"),
        ("[::]:8080", "[::1]:8080"),
    ],
)
def test_a_port_that_another_listener_takes_is_refused(one: str, other: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        require_sound_listeners(listeners(one, other))

    assert str(refused.value).startswith("grpc.listen: ")
    assert " is taken by http.listen, " in str(refused.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("127.0.0.1:8080", "127.0.0.1:8081"),
        ("127.0.0.1:8080", "127.0.0.2:8080"),
        ("0.0.0.0:8080", "[::1]:8080"),
        ("no.such.host.invalid:8080", "127.0.0.1:8080"),
    ],
)
def test_others_are_not(one: str, other: str) -> None:
    require_sound_listeners(listeners(one, other))
