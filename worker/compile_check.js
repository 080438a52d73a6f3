// Compiles every source on stdin as a CommonJS module, without running any. Each comes as a line
// "<bytes> <path>" and then its bytes. Prints the first that does not compile, and why.
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

function complaint({ path, text }) {
  try {
    compileFunction(text.replace(/^#!.*/, ''), wrapper, { filename: path });
    return null;
  } catch (error) {
    const [place] = String(error.stack).split('\n'); // "<path>:<line>" of a SyntaxError
    const line = place.startsWith(`${path}:`) ? ` line ${place.slice(path.length + 1)}` : '';
    return `${path}${line}: ${error.name}: ${error.message}`;
  }
}

for (const source of sources(readFileSync(0))) {
  const found = complaint(source);
  if (found) {
    process.stdout.write(found);
    break;
  }
}
process.stdout.write('\n');
