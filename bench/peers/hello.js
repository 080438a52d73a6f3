// The same Function behind other servers, for the cells "call" of the benchmark:
//
//   node hello.js http|express PORT|SOCKET
//
// One process. Express is the one that twilio-run brings along.
'use strict';

const fs = require('fs');
const http = require('http');
const { handler } = require('./hello_function.js');

const [kind, address] = process.argv.slice(2);

// Calls the Function for a request, without a context and an event.
function answerByHttp(request, response) {
  handler({}, {}, (error, text) => {
    response.setHeader('Content-Type', 'text/plain; charset=utf-8');
    response.setHeader('Content-Length', Buffer.byteLength(text));
    response.end(text);
  });
}

function expressApplication() {
  const express = require('express');
  const application = express();
  application.get('/hello', (request, response) => {
    handler({}, {}, (error, text) => response.type('text/plain').send(text));
  });
  return application;
}

const isPort = /^\d+$/.test(address);
const server = http.createServer(kind === 'express' ? expressApplication() : answerByHttp);
server.keepAliveTimeout = 60_000;
server.listen(isPort ? { port: Number(address), host: '127.0.0.1' } : address, () => {
  if (!isPort) {
    fs.chmodSync(address, 0o666);
  }
});
