"""Drives real Socket.IO clients for the tests, as clients/node/driver.js does and in its words.

Understands `open`, `emit`, `burst`, `state` and `close`. Runs with either of the two virtual
environments, for the client's methods have the same names in both.
"""

import json
import sys
import threading

import engineio
import engineio.payload
import socketio

# Else the client breaks off when one poll brings more than sixteen packets.
engineio.payload.Payload.max_decode_packets = 10_000

sockets = {}
speaking = threading.Lock()


def say(report):
    with speaking:
        print(json.dumps(report), flush=True)


class Engine(engineio.Client):
    """Hands over one packet after the other: in threads of their own they overtake each other."""

    def _trigger_event(self, event, *args, **kwargs):
        return super()._trigger_event(event, *args, **{**kwargs, "run_async": False})


class Client(socketio.Client):
    """A client that reports everything, whichever channel it comes on."""

    def _engineio_client_class(self):
        return Engine

    def __init__(self, number, **options):
        super().__init__(reconnection=False, **options)
        self.number = number

    def _trigger_event(self, event, namespace, *args):
        if event in ("connect", "disconnect", "connect_error"):
            plain = [arg for arg in args if isinstance(arg, (str, int))]
            say({"socket": self.number, "life": event, "args": plain})
        else:
            say({"socket": self.number, "event": event, "args": list(args)})
        return super()._trigger_event(event, namespace, *args)


def connect(client, command):
    transports = command["transports"]
    try:
        # The one that speaks Engine.IO 3 knows no such argument.
        auth = command.get("opts", {}).get("auth")
        more = {"auth": auth} if auth else {}
        client.connect(command["url"], transports=transports, **more)
        if len(transports) > 1:
            say({"socket": client.number, "life": "upgrade", "args": [client.eio.transport()]})
    except Exception as error:  # the test is told whatever it is
        say({"socket": client.number, "life": "connect_error", "args": [repr(error)]})


def perform(command):
    if command["op"] == "open":
        client = Client(len(sockets) + 1)
        sockets[client.number] = client
        threading.Thread(target=connect, args=(client, command), daemon=True).start()
        return {"socket": client.number}
    client = sockets[command["socket"]]
    if command["op"] == "emit":
        if command.get("ack"):
            answer = lambda *args: say({"id": command["id"], "ok": list(args)})
            client.emit(command["event"], *command["args"], callback=answer)
            return None
        client.emit(command["event"], *command["args"])
    elif command["op"] == "burst":
        for n in range(command["count"]):
            client.emit(command["event"], {"n": n, **command.get("extra", {})})
    elif command["op"] == "state":
        return {"connected": client.connected, "transport": client.eio.transport()}
    elif command["op"] == "close":
        client.disconnect()
    else:
        raise ValueError(f"unknown op {command['op']}")
    return {}


def main():
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = perform(command)
            if answer is not None:
                say({"id": command["id"], "ok": answer})
        except Exception as error:  # the test is told whatever it is
            say({"id": command["id"], "failed": repr(error)})


main()
