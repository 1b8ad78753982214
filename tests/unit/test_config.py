"""Settings: where they come from, who wins, and what is said when one is wrong."""

from pathlib import Path

import pytest

from tenderline import config, config_shown
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
        ({"stripe.webhook_secrets": "[1,"}, {}, "JSON list"),
        ({"stripe.webhook_secrets": "a,b,c"}, {}, "stripe.webhook_secrets"),
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
    assert "very_secret" not in repr(loaded.settings) + str(config_shown.describe(loaded))


def test_the_default_file_in_the_repository_is_the_generated_one():
    assert (ROOT / "tenderline.default.toml").read_text() == config_shown.default_toml()


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("junk-hunter2", "not a PostgreSQL URL"),
        ("mysql://ann:hunter2@db/x", "not a PostgreSQL URL"),
        ("postgresql:ann:hunter2@db/x", "not a PostgreSQL URL"),
        ("postgresql://ann:hunter2@db:many/x", "port is not a number"),
        ("postgresql://ann:hunter2@db:70000/x", "port is not a number"),
        ("postgresql://ann:hunter2/x", "port is not a number"),
        ("postgresql://ann:hunter2@/x?host=db&port=0", "port is not a number"),
        ("postgresql://ann:hunter2@[::1/x", "not a URL"),
        ("postgresql://ann:hunter2@db/x?sslmode", "not a URL"),
        ("postgresql://ann:hunter2@d b/x", "host cannot be read"),
        ("postgresql://ann:hunt@er2@db/x", "%40"),
        ("postgresql://ann:hunt/er2@db/x", "%2F"),
        ("postgresql://ann:hunter2#@db/x", "%23"),
    ],
)
def test_a_mistyped_database_url_is_refused_with_the_reason_and_not_repeated(written, reason):
    with pytest.raises(ConfigurationError, match=reason) as refused:
        config.load({"database_url": written}, {})
    assert "database_url" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "written",
    [
        "postgresql://ann:pass@db.example.org/x?sslmode=verify-full",
        "postgres://ann@db:5432/x",
        "postgresql://ann@db1.example.org,db2.example.org:5433/x?target_session_attrs=read-write",
        "postgresql://ann@[::1]:5432/x",
        "postgresql://ann@/x?host=/var/run/postgresql&port=5432",
        "postgresql:///x",
        "postgresql://%2Ftmp%2Fsocket/x",
    ],
)
def test_every_shape_of_a_database_url_is_taken(written):
    assert config.load({"database_url": written}, {}).settings.database_url.get_secret_value() == written


@pytest.mark.parametrize("written", ["one,two", " one , two,", '["one", "two"]', "one\ntwo\n"])
def test_a_list_is_read_from_text_wherever_it_is_written(written, tmp_path):
    (tmp_path / "secrets").write_text(written)
    (tmp_path / "t.toml").write_text('[stripe]\nwebhook_secrets = ["one", "two"]\n')
    for loaded in (
        config.load({"stripe.webhook_secrets": written}, {}),
        config.load({}, {"TENDERLINE_STRIPE__WEBHOOK_SECRETS": written}),
        config.load({}, {"TENDERLINE_STRIPE__WEBHOOK_SECRETS_FILE": str(tmp_path / "secrets")}),
        config.load({}, {}, tmp_path / "t.toml"),
    ):
        assert [one.get_secret_value() for one in loaded.settings.stripe.webhook_secrets] == ["one", "two"]
