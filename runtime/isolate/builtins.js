// Copies of the functions of Node.js that the isolate itself calls, taken before any code of a Function runs. A
// Function that replaces JSON.stringify, a method of Buffer or setTimeout harms only itself.
'use strict';

const { format, inspect, types } = require('util');

const { bind, call } = Function.prototype;
// uncurried(f)(self, ...args) is f.call(self, ...args), without a look-up of `call`.
const uncurried = bind.bind(call);

const { prototype: buffer } = Buffer;
const { prototype: string } = String;

const { hrtime } = process;

// Returns milliseconds that only grow. performance.now() would load half a megabyte.
function now() {
  const time = hrtime();
  return time[0] * 1e3 + time[1] / 1e6;
}

module.exports = {
  parse: JSON.parse,
  stringify: JSON.stringify,

  isArray: Array.isArray,
  push: uncurried(Array.prototype.push),
  join: uncurried(Array.prototype.join),
  keysOf: Object.keys,
  hasOwn: Object.hasOwn,
  defineProperty: Object.defineProperty,
  prototypeOf: Object.getPrototypeOf,

  split: uncurried(string.split),
  slice: uncurried(string.slice),
  trim: uncurried(string.trim),
  includes: uncurried(string.includes),
  startsWith: uncurried(string.startsWith),
  endsWith: uncurried(string.endsWith),
  indexOf: uncurried(string.indexOf),
  codeAt: uncurried(string.charCodeAt),
  lowerCase: uncurried(string.toLowerCase),
  replaceAll: uncurried(string.replaceAll),
  test: uncurried(RegExp.prototype.test),
  decodeURIComponent,
  String,
  Number,
  isInteger: Number.isInteger,

  allocate: Buffer.allocUnsafe,
  bytesOf: Buffer.from,
  byteLength: Buffer.byteLength,
  isBytes: types.isUint8Array,
  readUInt32: uncurried(buffer.readUInt32BE),
  writeUInt32: uncurried(buffer.writeUInt32BE),
  subarray: uncurried(buffer.subarray),
  textOf: uncurried(buffer.toString),
  writeText: uncurried(buffer.write),
  setBytes: uncurried(buffer.set),

  setImmediate,
  setTimeout,
  exit: process.exit.bind(process),
  rss: process.memoryUsage.rss,
  rawDebug: process._rawDebug, // writes to the process' own stderr
  activeResources: process.getActiveResourcesInfo.bind(process),
  now,

  format,
  inspect,
  isNativeError: types.isNativeError,
};
