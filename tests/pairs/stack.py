"""aiortc in a process of its own, told by lines of JSON what to do, as stack.mjs is."""

import asyncio
import json
import sys

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription

peers = {}


def talk(peer, channel):
    channel.on("message", lambda said: peer["heard"].done() or peer["heard"].set_result(said))
    channel.on("open", lambda: channel.send("hello"))
    if channel.readyState == "open":
        channel.send("hello")


async def open_peer(key, servers, offers):
    pc = RTCPeerConnection(RTCConfiguration([RTCIceServer(**server) for server in servers]))
    peer = peers[key] = {"pc": pc, "heard": asyncio.get_running_loop().create_future()}
    if offers:
        talk(peer, pc.createDataChannel("talk"))
    else:
        pc.on("datachannel", lambda channel: talk(peer, channel))


async def offer(key):
    pc = peers[key]["pc"]
    await pc.setLocalDescription(await pc.createOffer())
    return pc.localDescription.sdp


async def answer(key, sdp):
    pc = peers[key]["pc"]
    await pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
    await pc.setLocalDescription(await pc.createAnswer())
    return pc.localDescription.sdp


async def accept(key, sdp):
    await peers[key]["pc"].setRemoteDescription(RTCSessionDescription(sdp, "answer"))


async def heard(key):
    return await peers[key]["heard"]


async def close(key):
    if key in peers:
        await peers.pop(key)["pc"].close()


CALLS = {"open": open_peer, "offer": offer, "answer": answer, "accept": accept, "heard": heard, "close": close}


def tell(line):
    print(json.dumps(line), flush=True)


async def carry_out(request):
    try:
        tell({"id": request["id"], "result": await CALLS[request["call"]](*request["args"])})
    except Exception as error:  # whatever it is, the other side has to hear of it
        tell({"id": request["id"], "error": repr(error)})


async def main():
    tell({"ready": True})
    loop = asyncio.get_running_loop()
    tasks = set()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        task = loop.create_task(carry_out(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


asyncio.run(main())
