'use strict';

// Has servers of the process listen on 127.0.0.1: node --require loopback.js PROGRAM
const net = require('node:net');

const { listen } = net.Server.prototype;
net.Server.prototype.listen = function listenLocally(port, ...rest) {
  return typeof port === 'object' ? listen.call(this, port, ...rest) : listen.call(this, Number(port), '127.0.0.1', ...rest);
};
