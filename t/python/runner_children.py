"""Children of httpd, as the runner sees them: control connections and lines. Perl's core cannot pass descriptors.

Reads one command in JSON from each line of standard input, and writes one answer in JSON for each."""
import json
import os
import random
import select
import socket
import stat
import struct
import sys
import time

HEADER = struct.Struct('>BI')
FRAME = struct.Struct('>IBI')
CALL, ANSWER, BAD_REQUEST, IDLE = 1, 4, 5, 6
PING = 18

children = {}
lines = {}


def connect(child, path):
    children[child] = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    children[child].connect(path)
    return {}


def send(child, type, number, payload=''):
    """Sends a message."""
    return raw(child, (HEADER.pack(type, number) + payload.encode('latin-1')).hex())


def raw(child, hex, descriptors=0):
    """Sends a packet of any bytes, with so many descriptors."""
    packet = bytes.fromhex(hex)
    try:
        socket.send_fds(children[child], [packet], [0] * descriptors)
    except OSError as error:
        return {'failed': error.strerror}
    return {}


def receive(child, timeout):
    """Returns the next message, {'closed': true}, or {} when the time is over. Answers PING meanwhile."""
    if not select.select([children[child]], [], [], timeout)[0]:
        return {}
    try:
        packet, descriptors, _, _ = socket.recv_fds(children[child], 70000, 4)
    except ConnectionResetError:
        packet, descriptors = b'', []
    if not packet:
        return {'closed': True}
    type, number = HEADER.unpack(packet[:HEADER.size])
    if type == PING:
        send(child, PING, 0)
        return receive(child, timeout)
    message = {'type': type, 'number': number, 'payload': packet[HEADER.size:].decode('latin-1')}
    for descriptor in descriptors:
        status = os.fstat(descriptor)
        if stat.S_ISSOCK(status.st_mode):
            lines[descriptor] = socket.socket(fileno=descriptor)
            message['line'] = descriptor
        else:
            message['file_size'] = status.st_size
            os.close(descriptor)
    return message


def read_exactly(line, size, deadline):
    data = b''
    while len(data) < size:
        if not select.select([line], [], [], max(0, deadline - time.monotonic()))[0]:
            return None
        piece = line.recv(size - len(data))
        if not piece:
            return None
        data += piece
    return data


def begin(line, head):
    """Sends a frame CALL."""
    payload = struct.pack('>I', len(head)) + head.encode()
    lines[line].sendall(FRAME.pack(5 + len(payload), CALL, 1) + payload)
    return {}


def wait_for_bytes(line, timeout):
    """Waits until there is something to read on a line."""
    return {'ready': bool(select.select([lines[line]], [], [], timeout)[0])}


def finish(line, timeout):
    """Reads frames until IDLE: returns the body of the answer, and that of IDLE; {} where the line ends before."""
    deadline = time.monotonic() + timeout
    answer = {}
    while True:
        header = read_exactly(lines[line], FRAME.size, deadline)
        if not header:
            return {}
        length, type, _ = FRAME.unpack(header)
        payload = read_exactly(lines[line], length - 5, deadline) if length > 5 else b''
        if payload is None:
            return {}
        if type == ANSWER:
            size, = struct.unpack('>I', payload[:4])
            answer['body'] = payload[4 + size:].decode('latin-1')
        elif type == IDLE:
            return dict(answer, idle=json.loads(payload))


def write(line, hex):
    """Writes any bytes to a line."""
    lines[line].sendall(bytes.fromhex(hex))
    return {}


def drop(line):
    lines.pop(line).close()
    return {}


def close(child):
    children.pop(child).close()
    return {}


def mutate(random, text):
    """Changes, inserts or removes a few bytes."""
    data = bytearray(text)
    for _ in range(random.choice((0, 0, 1, 1, 2, 8))):
        at = random.randrange(len(data) + 1)
        data[at:at + random.choice((0, 1, 1, 5))] = random.choice(
            (b'', b'\0', b'"', b'{', b'-1', b'9' * 30, b'ZB' + b'a' * 32, random.randbytes(3)))
    return bytes(data)


def fuzz(path, seed, count, texts):
    """Sends `count` messages at random, made from the texts of payloads. Returns how many connections that took, and
    how many messages came back."""
    generator = random.Random(seed)
    connections, answers, connection = 0, 0, None
    for _ in range(count):
        if not connection:
            connections += 1
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            connection.settimeout(120)
            connection.connect(path)
            connection.send(HEADER.pack(1, 0) + b'{"version":1}')
        type = generator.choice((2, 2, 2, 3, 7, 7, 8, 9, 10, 11, 12, 15, 16, generator.randrange(256)))
        payload = mutate(generator, generator.choice(texts).encode())
        packet = HEADER.pack(type, generator.randrange(4)) + payload
        try:
            connection.send(packet if generator.randrange(50) else packet[:generator.randrange(6)])
            while select.select([connection], [], [], 0)[0]:
                packet, descriptors, _, _ = socket.recv_fds(connection, 70000, 4)
                for descriptor in descriptors:
                    os.close(descriptor)
                if not packet:
                    raise ConnectionError
                answers += 1
        except OSError:
            connection.close()
            connection = None
    return {'connections': connections, 'answers': answers}


COMMANDS = {f.__name__: f for f in (connect, send, raw, receive, begin, wait_for_bytes, finish, write, drop, close, fuzz)}

for text in sys.stdin:
    command = json.loads(text)
    try:
        result = COMMANDS[command.pop('do')](**command)
    except OSError as problem:
        result = {'failed': problem.strerror or str(problem)}
    print(json.dumps(result), flush=True)
