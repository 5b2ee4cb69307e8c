"""Sets a link down and up: `python -m hotfire.agent.flapper ENTRY LINK DOWN UP TIMES AGENT`.

Standard library only; stock images have no `ip`. The link is up whenever this ends by itself.
"""

import fcntl
import socket
import struct
import sys
import time

from hotfire.agent import children

MODULE = "hotfire.agent.flapper"
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_REQUEST = struct.Struct("=16sH22x")


def main(argv: list[str]) -> int:
    """Flap as often as asked, or until a signal."""
    _, link, down_seconds, up_seconds, times, agent_pid = argv
    children.live_with(int(agent_pid))
    children.say_ready()
    try:
        for _ in range(int(times)):
            set_up(link, up=False)
            time.sleep(float(down_seconds))  # noqa: TID251 - this program imports nothing that waits
            set_up(link, up=True)
            time.sleep(float(up_seconds))  # noqa: TID251 - as above
    finally:
        set_up(link, up=True)
    return 0


def set_up(link: str, *, up: bool) -> None:
    """Set a link up or down; its other flags stay."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        told = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, _REQUEST.pack(link.encode(), 0))
        _, flags = _REQUEST.unpack(told)
        flags = flags | _IFF_UP if up else flags & ~_IFF_UP
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, _REQUEST.pack(link.encode(), flags))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
