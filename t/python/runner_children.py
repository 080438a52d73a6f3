"""Children of httpd, as the runner sees them: control connections and lines. Perl's core cannot pass descriptors.

Reads one command in JSON from each line of standard input, and writes one answer in JSON for each. Children answer PING
at any time, unless they hang."""
import json
import os
import random
import select
import socket
import stat
import struct
import time

HEADER = struct.Struct('>BI')
FRAME = struct.Struct('>IBI')
CALL, ANSWER, BAD_REQUEST, IDLE = 1, 4, 5, 6
PING = 18

children = {}
messages = {}  # that have arrived at each child and were not received yet: (packet, descriptors)
hanging = set()
lines = {}


def connect(child, path):
    children[child] = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    children[child].connect(path)
    messages[child] = []
    return {}


def hang(child):
    """Lets a child answer nothing any more."""
    hanging.add(child)
    return {}


def is_closed(child):
    return messages[child] and not messages[child][-1][0]


def take_packet(child):
    """Takes a packet from the connection of a child: answers PING, and keeps other messages. The end is an empty packet."""
    try:
        packet, descriptors, _, _ = socket.recv_fds(children[child], 70000, 4)
    except ConnectionResetError:
        packet, descriptors = b'', []
    if packet and packet[0] == PING:
        send(child, PING, 0)
    else:
        messages[child].append((packet, descriptors))


def wait_for(descriptor, timeout):
    """Waits until there is something to read. Returns whether there is. Children answer PING meanwhile."""
    end = time.monotonic() + timeout
    while True:
        open_children = {children[child]: child for child in children if child not in hanging and not is_closed(child)}
        ready = select.select({descriptor, *open_children}, [], [], max(0, end - time.monotonic()))[0]
        for connection in ready:
            if connection in open_children:
                take_packet(open_children[connection])
        if descriptor in ready:
            return True
        if not ready:
            return False


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
    """Returns the next message, {'closed': true}, or {} when the time is over."""
    end = time.monotonic() + timeout
    while not messages[child]:
        if not wait_for(children[child], max(0, end - time.monotonic())):
            return {}
    packet, descriptors = messages[child][0]
    if not packet:
        return {'closed': True}
    del messages[child][0]
    type, number = HEADER.unpack(packet[:HEADER.size])
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
        if not wait_for(line, deadline - time.monotonic()):
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
    return {'ready': wait_for(lines[line], timeout)}


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
    for _, descriptors in messages.pop(child):
        for descriptor in descriptors:
            os.close(descriptor)
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
    """Sends `count` messages at random, made from the texts of payloads, or more where the runner is slow: until more than
    a hundred connections were closed and as many messages came back, which are returned."""
    generator = random.Random(seed)
    connections, answers, connection = 0, 0, None
    for sent in range(50 * count):
        if sent >= count and connections > 100 and answers > 100:
            break
        if not connection:
            connections += 1
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            connection.settimeout(120)
            connection.connect(path)
            connection.send(HEADER.pack(1, 0) + b'{"version":1}')
        type = generator.choice((2, 2, 2, 3, 7, 7, 8, 9, 10, 11, 12, 15, 16, 23, generator.randrange(256)))
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


COMMANDS = {f.__name__: f for f in (connect, send, raw, receive, hang, begin, wait_for_bytes, finish, write, drop, close, fuzz)}


def commands():
    """The lines of standard input."""
    data = b''
    while wait_for(0, 3600):
        piece = os.read(0, 1 << 20)
        if not piece:
            return
        *whole, data = (data + piece).split(b'\n')
        yield from whole


for text in commands():
    command = json.loads(text)
    try:
        result = COMMANDS[command.pop('do')](**command)
    except OSError as problem:
        result = {'failed': problem.strerror or str(problem)}
    print(json.dumps(result), flush=True)
