"""A client that opens connections by hand and ends each handshake only when it is told to.

Reads lines from stdin: `syn PORT` sends a SYN and answers `synack` once the server's came; `ack PORT` ends the
handshake with a request, and answers with what comes first: `data TEXT` or `reset`. PORT is the client's own.
Argument: the interface, the client's address (nobody's, so that no kernel answers for it), the server's address and port.
"""

import socket
import struct
import sys

SYN, RST, PSH, ACK = 2, 4, 8, 16
interface, client, server, server_port = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
addresses = socket.inet_aton(client) + socket.inet_aton(server)
sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
sniffer.bind((interface, 0))
sniffer.settimeout(20)
awaited = {}


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def send(port, flags, seq, ack, data=b""):
    def header(check):
        return struct.pack("!HHIIBBHHH", port, server_port, seq, ack, 5 << 4, flags, 64000, check, 0)

    pseudo = addresses + struct.pack("!BBH", 0, socket.IPPROTO_TCP, 20 + len(data))
    tcp = header(checksum(pseudo + header(0) + data)) + data
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, socket.IPPROTO_TCP, 0) + addresses
    sender.sendto(ip + tcp, (server, 0))


def receive(port):
    """Flags, sequence number and payload of the next segment for this port."""
    while True:
        packet = sniffer.recv(65535)
        start = (packet[0] & 15) * 4
        end = struct.unpack("!H", packet[2:4])[0]
        if packet[9] != socket.IPPROTO_TCP or packet[16:20] != addresses[:4]:
            continue
        _, to, seq, _, offset, flags = struct.unpack("!HHIIBB", packet[start : start + 14])
        if to == port:
            return flags, seq, packet[start + (offset >> 4) * 4 : end]


for line in sys.stdin:
    command, port = line.split()[0], int(line.split()[1])
    if command == "syn":
        send(port, SYN, 1000, 0)
        flags, seq, _ = receive(port)
        assert flags == SYN | ACK, flags
        awaited[port] = seq + 1
        print("synack", flush=True)
        continue
    send(port, ACK, 1001, awaited[port])
    send(port, PSH | ACK, 1001, awaited[port], b"GET / HTTP/1.0\r\n\r\n")
    while True:
        flags, _, data = receive(port)
        if flags & RST or data:
            print("reset" if flags & RST else f"data {data.decode().splitlines()[-1]}", flush=True)
            break
