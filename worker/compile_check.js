// Compiles every source on stdin as a CommonJS module, and runs none. A source is a line "<bytes> <path>",
// followed by its bytes. Prints one line: the error message of the first source that does not compile, or
// nothing.
'use strict';

const { readFileSync } = require('fs');
const { compileFunction } = require('vm');

const wrapper = ['exports', 'require', 'module', '__filename', '__dirname'];

function sources(input) {
  const found = [];
  for (let at = 0; at < input.length; ) {
    const end = input.indexOf('\n', at);
    const [, bytes, path] = /^(\d+) (.*)$/s.exec(input.toString('utf8', at, end));
    at = end + 1 + Number(bytes);
    found.push({ path, text: input.toString('utf8', end + 1, at) });
  }
  return found;
}

// Returns " line N" for a SyntaxError, or '' where the error has no line of the source. The stack of a
// SyntaxError begins with "<name>:<line>". The name is the path, or the text of a comment sourceURL in the
// source; only the last number is V8's own.
function lineOf(error) {
  const [place] = String(error.stack).split('\n');
  const [, line] = /:(\d+)$/.exec(place) ?? [];
  return error instanceof SyntaxError && line && !place.startsWith('SyntaxError: ') ? ` line ${line}` : '';
}

// Returns the reason why the source does not compile, or null where it does.
function compileError({ path, text }) {
  try {
    compileFunction(text.replace(/^#!.*/, ''), wrapper, { filename: path });
    return null;
  } catch (error) {
    return `${path}${lineOf(error)}: ${error.name}: ${error.message}`;
  }
}

for (const source of sources(readFileSync(0))) {
  const message = compileError(source);
  if (message) {
    process.stdout.write(message);
    break;
  }
}
process.stdout.write('\n');
