#!/usr/bin/env python3
"""A client of private-chat with nothing but Python: says what it is given, shows what comes, marks it as read.

Usage: private-chat-client.py ws://HOST:5002/ KEY OPPONENT [WORDS ...]
KEY is a session key (`klatsch session add`) or an access token (`klatsch user token`).
"""
import base64, json, os, socket, struct, sys
from urllib.parse import quote, urlsplit


class WebSocket:
    """As much of RFC 6455 as a client of text frames needs."""

    def __init__(self, url):
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port or 80))
        self.stream = self.socket.makefile("rb")
        nonce = base64.b64encode(os.urandom(16)).decode()
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\n\r\n".encode()
        )
        status = self.stream.readline().decode()
        if " 101 " not in status:
            sys.exit(f"the server answers {status.strip()}")
        while self.stream.readline().strip():
            pass

    def frame(self, opcode, payload):
        size = len(payload)
        head = bytes([0x80 | opcode]) + (
            bytes([0x80 | size]) if size < 126
            else struct.pack(">BH", 0x80 | 126, size) if size < 1 << 16
            else struct.pack(">BQ", 0x80 | 127, size)
        )
        mask = os.urandom(4)
        self.socket.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)))

    def send(self, **packet):
        self.frame(1, json.dumps(packet).encode())

    def packets(self):
        while True:
            first, second = self.stream.read(2)
            size = second & 127
            if size > 125:
                size = int.from_bytes(self.stream.read(2 if size == 126 else 8), "big")
            payload = self.stream.read(size)
            if first & 15 == 1:
                yield json.loads(payload)
            elif first & 15 == 9:  # a ping, which also proves that everything before it has arrived
                self.frame(10, payload)
            elif first & 15 == 8:
                code, reason = (struct.unpack(">H", payload[:2])[0], payload[2:].decode()) if payload else (1005, "")
                sys.exit(f"closed: {code} {reason}")


def main(base, key, opponent, *words):
    chat = WebSocket(f"{base.rstrip('/')}/{quote(key)}/{quote(opponent)}")
    chat.send(type="online")
    chat.send(type="check-online", username=opponent)
    if words:
        chat.send(type="new-message", username=opponent, message=" ".join(words))
    for packet in chat.packets():
        kind = packet["type"]
        if kind == "new-message":
            print(f"{packet['created']} {packet['sender_name']}: {packet['message']}", flush=True)
            if packet["sender_name"] == opponent:
                chat.send(type="read_message", username=opponent, message_id=packet["message_id"])
        elif kind == "gone-online":
            print(f"online: {', '.join(packet['usernames']) or 'nobody'}", flush=True)
        elif kind == "gone-offline":
            print(f"offline: {packet['username']}", flush=True)
        elif kind == "opponent-typing":
            print(f"{packet['username']} is typing", flush=True)
        elif kind == "opponent-read-message":
            print(f"{packet['username']} has read {packet['message_id']}", flush=True)
        elif kind in ("error", "user-not-found"):
            print(packet, file=sys.stderr, flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
