// The console, process.stdout and process.stderr of Functions: their output becomes log entries.
'use strict';

const { Console } = require('console');
const { Writable } = require('stream');
const { endsWith, indexOf, slice } = require('./builtins');

const Level = { INFO: 0, WARNING: 1, ERROR: 2 };

// Levels of the methods that are not INFO.
const LEVELS = { __proto__: null, warn: Level.WARNING, error: Level.ERROR, trace: Level.ERROR, assert: Level.ERROR };
const METHODS = [
  'log', 'info', 'debug', 'dir', 'dirxml', 'table', 'warn', 'error', 'trace', 'assert', 'group', 'groupCollapsed',
  'groupEnd', 'count', 'countReset', 'time', 'timeEnd', 'timeLog',
];

// An unfinished line of process.stdout or process.stderr becomes an entry at this length.
const LINE_LIMIT = 16 * 1024;

// Replaces the methods of the console. entry(level, text) is called once for each call of a method that prints.
function replaceConsole(entry) {
  let level = Level.INFO;
  const stream = { write: (text) => entry(level, endsWith(text, '\n') ? slice(text, 0, -1) : text) };
  const inner = new Console({ stdout: stream, stderr: stream, ignoreErrors: false, colorMode: false });
  for (const name of METHODS) {
    const method = inner[name];
    const own = LEVELS[name] ?? Level.INFO;
    console[name] = (...values) => {
      level = own;
      return method(...values);
    };
  }
}

// Splits text into lines for entries, and keeps the last one until it ends.
class Lines {
  constructor(level, entry) {
    this.level = level;
    this.entry = entry;
    this.rest = '';
  }

  add(text) {
    this.rest += text;
    for (let end = indexOf(this.rest, '\n'); end >= 0; end = indexOf(this.rest, '\n')) {
      const line = slice(this.rest, 0, end);
      this.rest = slice(this.rest, end + 1);
      this.entry(this.level, line);
    }
    if (this.rest.length > LINE_LIMIT) {
      this.flush();
    }
  }

  flush() {
    if (this.rest !== '') {
      const line = this.rest;
      this.rest = '';
      this.entry(this.level, line);
    }
  }
}

// Replaces process.stdout or process.stderr by a stream of lines, made at its first use.
function replaceStream(name, descriptor, lines) {
  let stream;
  Object.defineProperty(process, name, {
    configurable: true,
    enumerable: true,
    get() {
      stream ??= Object.assign(new Writable({
        decodeStrings: false,
        write(chunk, encoding, done) {
          lines.add(`${chunk}`);
          done();
        },
      }), { fd: descriptor });
      return stream;
    },
  });
}

// Makes entries of all that Functions print. Returns a function that makes entries of unfinished lines.
function replaceOutput(entry) {
  replaceConsole(entry);
  const out = new Lines(Level.INFO, entry);
  const error = new Lines(Level.ERROR, entry);
  replaceStream('stdout', 1, out);
  replaceStream('stderr', 2, error);
  return () => {
    out.flush();
    error.flush();
  };
}

module.exports = { Level, replaceOutput };
