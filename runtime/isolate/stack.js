// Texts of errors, without the paths of the server.
'use strict';

const { String, inspect, includes, join, push, replaceAll, split, startsWith, test } = require('./builtins');
const { LoadError } = require('./load');

const SHOWN_ROOT = '/var/task';
const FRAME = /^\s+at /;
const OWN = `${__dirname}/`;

let root = SHOWN_ROOT;

// Names the folder of the Build, which is shown as /var/task.
function setRoot(folder) {
  root = folder;
}

// Returns whether a stack frame has a location in the Build or in a module of Node.js, or has none.
const isShown = (frame) => includes(frame, `${root}/`) || !includes(frame, '/');

// Returns the text without the frames of the isolate and of its callers, without frames outside the Build, and with
// the Build at /var/task.
function clean(text) {
  const lines = split(text, '\n');
  const kept = [];
  let frames = 0; // kept ones of the stack
  let below = false; // below a frame of the isolate that has called the Build
  for (let i = 0; i < lines.length; i++) {
    if (!test(FRAME, lines[i])) {
      frames = 0;
      below = false;
      if (!startsWith(lines[i], '- /') || startsWith(lines[i], `- ${root}/`)) { // "Require stack:"
        push(kept, lines[i]);
      }
      continue;
    }
    below ||= frames > 0 && includes(lines[i], OWN);
    if (!below && isShown(lines[i])) {
      push(kept, lines[i]);
      frames++;
    }
  }
  const joined = join(kept, '\n');
  return root === SHOWN_ROOT ? joined : replaceAll(joined, root, SHOWN_ROOT);
}

// Returns the text with clean stacks, if there are stacks in it.
const cleanStacks = (text) => (includes(text, '\n    at ') ? clean(text) : text);

// Returns the text of anything thrown, for a log entry.
function describe(error) {
  try {
    if (error instanceof LoadError) {
      return `Could not load the Function: ${describe(error.cause)}`;
    }
    if (typeof error === 'string' || error?.code === 'MODULE_NOT_FOUND') { // which lists paths once more
      return clean(String(error.stack ?? error));
    }
    return clean(inspect(error));
  } catch {
    return 'an error that cannot be shown';
  }
}

module.exports = { clean, cleanStacks, describe, setRoot };
