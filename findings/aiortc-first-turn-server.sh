#!/usr/bin/env bash
# aiortc asks the first TURN address of `iceServers` alone, whatever the others are.
#
# One would guess that it gathers a candidate from each, or at least goes on to the next when the first does not
# answer, as browsers do. It takes the first address and leaves the rest aside, silently (one candidate a list). So
# where UDP is blocked, the address with `transport=tcp` has to stand first for it.
#
# Seen with aiortc 1.16.0 (aioice 0.13.0): two addresses, of which the first never answers; the second is never asked.
# Ends with 0 if that is still so, with 1 if the second is asked too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check aiortc==1.16.0 aioice==0.13.0
cat >"$folder/run.py" <<'PY'
import asyncio
import sys

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection


class Silent(asyncio.DatagramProtocol):
    """Counts what it is asked, and never answers."""

    def __init__(self):
        self.asked = 0

    def datagram_received(self, data, peer):
        self.asked += 1


async def main():
    loop = asyncio.get_running_loop()
    servers = []
    for _ in range(2):
        transport, silent = await loop.create_datagram_endpoint(Silent, local_addr=("127.0.0.1", 0))
        servers.append((transport.get_extra_info("sockname")[1], silent))
    urls = [f"turn:127.0.0.1:{port}?transport=udp" for port, _ in servers]
    pc = RTCPeerConnection(RTCConfiguration([RTCIceServer(urls=urls, username="ann", credential="secret")]))
    pc.createDataChannel("talk")
    try:
        # Longer than the retransmissions of one request take.
        await asyncio.wait_for(pc.setLocalDescription(await pc.createOffer()), 45)
        print("gathering ended")
    except Exception as error:
        print(f"gathering ended with {type(error).__name__}")
    first, second = (silent.asked for _, silent in servers)
    print(f"requests to the first address: {first}, to the second: {second}")
    sys.stdout.flush()
    import os

    os._exit(0 if first and not second else 1)


asyncio.run(main())
PY
timeout 120 "$folder/venv/bin/python" "$folder/run.py"
