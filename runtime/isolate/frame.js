// Frames on the line between an isolate and httpd, as runtime/README.md describes them.
'use strict';

const {
  allocate, byteLength, push, readUInt32, setBytes, subarray, textOf, writeText, writeUInt32,
} = require('./builtins');

const Type = { CALL: 1, READY: 2, LOG: 3, ANSWER: 4, BAD_REQUEST: 5, IDLE: 6 };

const LENGTH = 4; // bytes of the length
const HEADER = 5; // bytes of type and call, which the length counts

// The length of a frame that the isolate accepts at most. httpd sends no more than the size of a request that it
// accepts, 1 MB by default.
const LIMIT = 64 * 1024 * 1024;

// Returns the bytes of a frame up to its payload, with room for `size` bytes of payload behind them.
function frameOf(type, call, size, room) {
  const frame = allocate(LENGTH + HEADER + room);
  writeUInt32(frame, HEADER + size, 0);
  frame[LENGTH] = type;
  writeUInt32(frame, call, LENGTH + 1);
  return frame;
}

// Returns the bytes of all chunks in memory of their own. Buffer.concat() would use functions that a Function can replace.
function joined(chunks) {
  let size = 0;
  for (let i = 0; i < chunks.length; i++) {
    size += chunks[i].length;
  }
  const bytes = allocate(size);
  let at = 0;
  for (let i = 0; i < chunks.length; i++) {
    setBytes(bytes, chunks[i], at);
    at += chunks[i].length;
  }
  return bytes;
}

const sizeOf = (part) => (typeof part === 'string' ? byteLength(part) : part.length);

function put(frame, part, at) {
  if (typeof part === 'string') {
    writeText(frame, part, at);
  } else {
    setBytes(frame, part, at);
  }
}

// Returns the frame READY.
const ready = () => frameOf(Type.READY, 0, 0, 0);

// Returns a frame LOG. `level` is 0 (INFO), 1 (WARNING) or 2 (ERROR).
function log(call, level, text) {
  const size = 1 + byteLength(text);
  const frame = frameOf(Type.LOG, call, size, size);
  frame[LENGTH + HEADER] = level;
  writeText(frame, text, LENGTH + HEADER + 1);
  return frame;
}

// Returns a frame ANSWER. `head` is the text of its JSON; `body` a string or bytes.
function answer(call, head, body) {
  const headSize = byteLength(head);
  const size = LENGTH + headSize + sizeOf(body);
  const frame = frameOf(Type.ANSWER, call, size, size);
  writeUInt32(frame, headSize, LENGTH + HEADER);
  writeText(frame, head, LENGTH + HEADER + LENGTH);
  put(frame, body, LENGTH + HEADER + LENGTH + headSize);
  return frame;
}

// Returns a frame of a type whose payload is a text: BAD_REQUEST or IDLE.
function textFrame(type, call, text) {
  const size = byteLength(text);
  const frame = frameOf(type, call, size, size);
  writeText(frame, text, LENGTH + HEADER);
  return frame;
}

// Splits the payload of CALL: { head, body }, the text of the JSON head and the bytes of the body. Throws a
// RangeError where the payload is shorter than it says. The body shares memory with `payload`.
function splitCall(payload) {
  const size = readUInt32(payload, 0);
  if (size > payload.length - LENGTH) {
    throw new RangeError('the head of CALL is longer than the frame');
  }
  return { head: textOf(payload, 'utf8', LENGTH, LENGTH + size), body: subarray(payload, LENGTH + size) };
}

// Makes frames of the bytes that arrive. `accept(type, call, payload)` is called for each whole frame; `payload`
// may share memory with the bytes that were pushed.
class Reader {
  constructor(accept) {
    this.accept = accept;
    this.chunks = []; // the beginning of a frame that is not whole
    this.size = 0; // bytes in `chunks`
    this.needed = LENGTH; // bytes that `chunks` must have before the next look at them
  }

  // Takes bytes that the caller may overwrite after the return. Throws a RangeError for a length out of bounds.
  push(bytes) {
    if (this.size === 0) {
      this.keep(this.take(bytes), true);
      return;
    }
    this.keep(bytes, true);
    if (this.size >= this.needed) {
      const whole = joined(this.chunks);
      this.chunks = [];
      this.size = 0;
      this.keep(this.take(whole), false);
    }
  }

  // Accepts all whole frames at the beginning of `bytes`, and returns the other bytes.
  take(bytes) {
    let at = 0;
    for (;;) {
      this.needed = LENGTH;
      if (bytes.length - at < LENGTH) {
        break;
      }
      const length = readUInt32(bytes, at);
      if (length < HEADER || length > LIMIT) {
        throw new RangeError(`a frame of ${length} bytes`);
      }
      this.needed = LENGTH + length;
      if (bytes.length - at < this.needed) {
        break;
      }
      const end = at + this.needed;
      this.accept(bytes[at + LENGTH], readUInt32(bytes, at + LENGTH + 1), subarray(bytes, at + LENGTH + HEADER, end));
      at = end;
    }
    return at === 0 ? bytes : subarray(bytes, at);
  }

  keep(bytes, copy) {
    if (bytes.length > 0) {
      push(this.chunks, copy ? joined([bytes]) : bytes);
      this.size += bytes.length;
    }
  }
}

module.exports = { LIMIT, Reader, Type, answer, joined, log, ready, splitCall, textFrame };
