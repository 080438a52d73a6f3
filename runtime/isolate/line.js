// The line: descriptor 3, one end of a pair of Unix stream sockets.
'use strict';

const fs = require('fs');
const net = require('net');
const { allocate, exit, subarray } = require('./builtins');

const { writeSync } = fs;
const { wait } = Atomics;

const DESCRIPTOR = 3;
const EXIT_CLOSED = 0; // exit status where the peer has closed the line
const RECEIVED_AT_ONCE = 64 * 1024; // bytes
const PAUSE = 0.1; // milliseconds until another attempt to write, where the socket's buffer is full

const pause = new Int32Array(new SharedArrayBuffer(4));

// Reads from the line: received(bytes) is called with bytes that hold until its return. The process
// ends where the peer closes the line.
function open(received) {
  const ended = () => exit(EXIT_CLOSED);
  const buffer = allocate(RECEIVED_AT_ONCE);
  const socket = new net.Socket({
    fd: DESCRIPTOR,
    readable: true,
    writable: false,
    onread: {
      buffer,
      callback(size) {
        received(subarray(buffer, 0, size));
        return true;
      },
    },
  });
  socket.on('end', ended);
  socket.on('error', ended);
  socket.resume();
}

// Writes all bytes before it returns, so that they are sent also where the Function loops, calls process.exit() or is
// killed afterwards. It waits while the peer does not read, and ends the process where the peer has closed the line.
function write(bytes) {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(DESCRIPTOR, at === 0 ? bytes : subarray(bytes, at));
    } catch (error) {
      if (error.code === 'EPIPE' || error.code === 'ECONNRESET') {
        exit(EXIT_CLOSED);
      }
      if (error.code !== 'EAGAIN') {
        throw error;
      }
      wait(pause, 0, 0, PAUSE);
    }
  }
}

module.exports = { open, write };
