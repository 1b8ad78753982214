"""The programs that other tests drive are there: a missing one fails here, by name, instead of skipping them."""

import shutil

import pytest


@pytest.mark.parametrize(
    ("command", "package"),
    [
        ("chromium", "chromium"),
        ("sipp", "sip-tester"),
        ("espeak-ng", "espeak-ng"),
        ("kamailio", "kamailio"),
        ("kamcmd", "kamailio"),
        ("rtpengine", "rtpengine-daemon"),
        ("baresip", "baresip-core"),
        ("ip", "iproute2"),
    ],
)
def test_a_real_part_is_installed(command, package):
    assert shutil.which(command), f"{command} is missing: `make test` installs the Debian package {package}"
