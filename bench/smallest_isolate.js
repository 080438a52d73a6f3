// The smallest program that can take the place of an isolate: it receives on descriptor 3, answers each call with a fixed
// text, and collects its garbage as an isolate does. bench/memory.js measures it beside the isolate.
'use strict';

const fs = require('fs');
const net = require('net');
const memory = require('../runtime/isolate/memory.js');

const LINE = 3;
const RECEIVED_AT_ONCE = 64 * 1024; // bytes
const Type = { READY: 2, ANSWER: 4, IDLE: 6 };
const HEAD = Buffer.from('{"status":200,"headers":[],"error":null}');
const ANSWER = Buffer.concat([Buffer.from([0, 0, 0, HEAD.length]), HEAD, Buffer.from('Hello World')]);
const IDLE = Buffer.from('{"rss":0,"calls":1}');

// Writes a frame. runtime/README.md has the form of its head.
function write(type, call, payload) {
  const frame = Buffer.alloc(9 + payload.length);
  frame.writeUInt32BE(5 + payload.length);
  frame[4] = type;
  frame.writeUInt32BE(call, 5);
  payload.copy(frame, 9);
  fs.writeSync(LINE, frame);
}

// Answers a call: the bench sends one small frame at a time.
function answer(size, bytes) {
  const call = bytes.readUInt32BE(5);
  write(Type.ANSWER, call, ANSWER);
  write(Type.IDLE, call, IDLE);
  memory.rest();
  return true;
}

const onread = { buffer: Buffer.allocUnsafe(RECEIVED_AT_ONCE), callback: answer };
const line = new net.Socket({ fd: LINE, readable: true, writable: false, onread });
line.on('end', () => process.exit(0));
line.resume();
memory.start();
write(Type.READY, 0, Buffer.alloc(0));
