// Processes that answer calls by sockets of their own, for the row "httpd and Node.js, the least" of the benchmark:
//
//   node line.js FOLDER COUNT
//
// Listens at FOLDER/0, FOLDER/1..., in a process each. A call is 400 bytes that are not looked at, the answer a text of
// fixed length with the result of the same Function: no head, no event, no context, no logs, one write.
'use strict';

const { fork } = require('child_process');
const fs = require('fs');
const net = require('net');
const { handler } = require('./hello_function.js');

const CALL_BYTES = 400;
const ANSWER_BYTES = 150;

// Answers the calls of a connection.
function serve(socket) {
  const { fd } = socket._handle;
  socket.on('error', () => {});
  socket.on('data', (bytes) => {
    for (let at = 0; at + CALL_BYTES <= bytes.length; at += CALL_BYTES) {
      handler({}, {}, (error, text) => fs.writeSync(fd, text.padEnd(ANSWER_BYTES)));
    }
  });
}

const [folder, count] = process.argv.slice(2);
if (count) {
  for (let i = 0; i < Number(count); i++) {
    fork(__filename, [`${folder}/${i}`]);
  }
  process.on('SIGTERM', () => process.exit()); // the others end with their channel
} else {
  process.on('disconnect', () => process.exit());
  net.createServer(serve).listen(folder, () => fs.chmodSync(folder, 0o666));
}
