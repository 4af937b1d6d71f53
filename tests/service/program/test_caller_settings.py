"""What is refused of the settings of callers."""

from pathlib import Path

import pytest

from gateway.program.settings import ConfigurationError, load_settings
from service.program.development import with_development_defaults
from service.program.settings import ServiceSettings, callers_of

KEY = 'key_hashes = ["' + "0a" * 32 + '"]'


@pytest.mark.parametrize(
    ("callers", "told"),
    [
        ("", "callers: needs one at least"),
        ('[[callers]]\nname = "a"\nroles = ["reader"]', "callers[0].key_hashes: must be set, or certificate"),
        (f'[[callers]]\nname = "a"\nroles = []\n{KEY}', "callers[0].roles: needs one at least"),
        (f'[[callers]]\nname = "a"\nroles = ["root"]\n{KEY}', "callers[0].roles: root: there are gateway, "),
        (f'[[callers]]\nname = "a b"\nroles = ["reader"]\n{KEY}', "callers[0].name: must be 1 to 64 letters, "),
        (
            '[[callers]]\nname = "a"\nroles = ["reader"]\nkey_hashes = ["0a"]',
            "callers[0].key_hashes[0]: must be the 64 hexadecimal digits that `sale-service new-key` prints",
        ),
        (
            '[[callers]]\nname = "a"\nroles = ["reader"]\ncertificate = "a.example"',
            "callers[0].certificate: needs grpc.client_ca, or nobody could show it",
        ),
        (
            f'[[callers]]\nname = "a"\nroles = ["reader"]\n{KEY}\n[[callers]]\nname = "b"\nroles = ["admin"]\n{KEY}',
            "callers: a and b have the same key",
        ),
    ],
)
def test_callers_nobody_could_be_known_as_are_refused(callers: str, told: str, tmp_path: Path) -> None:
    config = tmp_path / "sale.toml"
    config.write_text(callers)

    with pytest.raises(ConfigurationError) as refused:
        callers_of(load_settings(ServiceSettings, config, {}))

    assert told in str(refused.value)


def test_in_development_a_certificate_that_nobody_can_show_does_no_harm(tmp_path: Path) -> None:
    config = tmp_path / "sale.toml"
    config.write_text('[[callers]]\nname = "a"\nroles = ["reader"]\ncertificate = "a.example"')

    (caller,) = callers_of(with_development_defaults(load_settings(ServiceSettings, config, {})))

    assert caller.certificate == "a.example"


@pytest.mark.parametrize("wrong", ["0g" * 32, "0a" * 32 + "\\n", "0a" * 33, "\N{ARABIC-INDIC DIGIT ZERO}" * 64])
def test_a_hash_of_a_key_is_told_in_words_and_never_shown(wrong: str, tmp_path: Path) -> None:
    config = tmp_path / "sale.toml"
    config.write_text(f'[[callers]]\nname = "a"\nroles = ["reader"]\nkey_hashes = ["{wrong}"]')

    with pytest.raises(ConfigurationError) as refused:
        load_settings(ServiceSettings, config, {})

    assert str(refused.value).startswith("callers[0].key_hashes[0]: must be the 64 hexadecimal digits that ")
    assert wrong[:8] not in str(refused.value)
