// An isolate: runs the Functions of one Build in one Environment, as runtime/README.md describes.
//
//   node main.js FOLDER
//
// FOLDER has the Build with its manifest.json. The line is descriptor 3. The package "twilio" for Builds that do not
// list it is looked for in NODE_PATH. The exit status is 0 where the line was closed, 1 after an exception that no
// code has caught, and 2 where the arguments, the Build or the bytes on the line are wrong.
'use strict';

const path = require('path');
const { exit, rawDebug } = require('./builtins');
const call = require('./call');
const frame = require('./frame');
const line = require('./line');
const { Build } = require('./load');
const stack = require('./stack');

const EXIT_WRONG = 2;

function die(error) {
  rawDebug(`isolate: ${error.stack}`);
  exit(EXIT_WRONG);
}

function accept(type, number, payload) {
  if (type !== frame.Type.CALL || number === 0 || call.isBusy()) {
    throw new RangeError(`an unexpected frame of type ${type}`);
  }
  call.begin(number, payload);
}

function main([folder]) {
  const root = path.resolve(folder);
  const build = new Build(root);
  process.chdir(root);
  stack.setRoot(root);
  call.start(build);
  const reader = new frame.Reader(accept);
  line.open((bytes) => {
    try {
      reader.push(bytes);
    } catch (error) {
      die(error);
    }
  });
  line.write(frame.ready());
}

try {
  main(process.argv.slice(2));
} catch (error) {
  die(error);
}
