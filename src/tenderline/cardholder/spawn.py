"""Starting the child: an interpreter that is told by us, and by nothing else, where its code lies.

`-I` ignores the environment and the working directory, `-S` skips `site`, so that no `.pth` file and no
`sitecustomize` runs in the process that will hold cards. Two folders are appended behind the standard library: where
this package was imported from and where msgspec was, as the parent found them; so it works from a source tree as from
an installed wheel, and nothing there can stand in for a module of the standard library. Whoever can change those
folders can change the parent as well.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from tenderline.cardholder import wire
from tenderline.core.errors import TenderlineError

# msgspec uses typing_extensions when it is there and does without otherwise: 30 ms of every start.
_BOOT: Final = (
    "import sys; sys.path += sys.argv.pop().splitlines(); sys.modules['typing_extensions'] = None; "
    "from tenderline.cardholder.child import main; main()"
)


class NoRoomError(TenderlineError):
    """No process for card data could be started here; capture stays off until the reason named is gone."""

    code = "card_room"
    status = 503


class Started(NamedTuple):
    """A child that has been started, and the parent's end of its socket."""

    process: subprocess.Popen[bytes]
    link: socket.socket


def folders() -> list[str]:
    """Where this package and msgspec were found."""
    package = Path(wire.__file__).resolve().parents[2]
    return list(dict.fromkeys([str(package), str(Path(msgspec.__file__).resolve().parents[1])]))


def start(*options: str) -> Started:
    """Starts a child; takes milliseconds, so it is called in a thread. It says later whether it is ready."""
    if not hasattr(socket, "SOCK_SEQPACKET") or sys.platform != "linux":
        raise NoRoomError(f"Card capture needs Linux (locked memory, no dumps), and this is {sys.platform}.")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        process = subprocess.Popen(  # noqa: S603 -- our own interpreter and code, nothing from outside
            [sys.executable, "-I", "-S", "-c", _BOOT, str(theirs.fileno()), *options, "\n".join(folders())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env=wire.ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        ours.close()
        raise NoRoomError(f"No process for card data could be started: {error.strerror}.") from None
    finally:
        theirs.close()
    ours.setblocking(False)
    return Started(process, ours)
