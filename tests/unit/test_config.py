"""Settings: where they come from, who wins, and what is said when one is wrong."""

from pathlib import Path

import pytest

from tenderline import config
from tenderline.core.errors import ConfigurationError

ROOT = Path(__file__).parents[2]


def test_flags_beat_the_environment_which_beats_the_file_which_beats_defaults(tmp_path):
    file = tmp_path / "t.toml"
    file.write_text('organisation = "File"\npublic_url = "https://file.example"\n[smtp]\nport = 25\n')
    environment = {"TENDERLINE_ORGANISATION": "Environment", "TENDERLINE_SMTP__HOST": "mail.example"}
    loaded = config.load({"organisation": "Flag"}, environment, file)
    assert loaded.settings.organisation == "Flag"
    assert loaded.settings.public_url == "https://file.example"
    assert (loaded.settings.smtp.port, loaded.settings.smtp.host) == (25, "mail.example")
    assert loaded.sources["organisation"] == "command line"
    assert loaded.sources["smtp.host"] == "TENDERLINE_SMTP__HOST"


@pytest.mark.parametrize(
    ("flags", "environment", "said"),
    [
        ({"organization": "x"}, {}, "did you mean 'organisation'"),
        ({}, {"TENDERLINE_STRIPE__API_KEI": "x"}, "did you mean 'stripe.api_key'"),
        ({}, {"TENDERLINE_SMTP__PORT": "many"}, "smtp.port"),
        ({"public_url": "ftp://x"}, {}, "public_url"),
        ({"compliance.default_zone": "Mars/Olympus"}, {}, "not an IANA time zone"),
        ({"secret_key": "short"}, {}, "secret_key"),
    ],
)
def test_a_wrong_setting_is_named_with_its_source_and_the_way_out(flags, environment, said):
    with pytest.raises(ConfigurationError, match=said):
        config.load(flags, environment)


def test_a_wrong_secret_is_not_repeated_in_the_error():
    with pytest.raises(ConfigurationError) as refused:
        config.load({"secret_key": "hunter2"}, {})
    assert "hunter2" not in str(refused.value)


def test_secrets_are_read_from_files_and_never_shown(tmp_path):
    file = tmp_path / "key"
    file.write_text("sk_test_very_secret\n")
    loaded = config.load({}, {"TENDERLINE_STRIPE__API_KEY_FILE": str(file)})
    assert loaded.settings.stripe.api_key.get_secret_value() == "sk_test_very_secret"
    assert "very_secret" not in repr(loaded.settings) + str(config.describe(loaded))


def test_the_default_file_in_the_repository_is_the_generated_one():
    assert (ROOT / "tenderline.default.toml").read_text() == config.default_toml()
