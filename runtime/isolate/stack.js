// Texts of errors, without the paths of the server.
'use strict';

const { endsWith, inspect, includes, join, push, replaceAll, split, startsWith, test } = require('./builtins');

const SHOWN_ROOT = '/var/task';
const FRAME = /^\s+at /;
const OWN = `${__dirname}/`;

let root = SHOWN_ROOT;

// Names the folder of the Build, which is shown as /var/task.
function setRoot(folder) {
  root = folder;
}

// Is the location of a stack frame one of the Build, of Node.js, or none?
function isShown(frame) {
  return includes(frame, `${root}/`) || includes(frame, '(node:') || includes(frame, ' node:') ||
    includes(frame, '<anonymous>') || endsWith(frame, '(native)') || !includes(frame, '/');
}

// Returns the text without the frames of the isolate and of its callers, without frames outside the Build, and with
// the Build at /var/task.
function clean(text) {
  const lines = split(text, '\n');
  const kept = [];
  let below = false; // below a frame of the isolate
  for (let i = 0; i < lines.length; i++) {
    if (!test(FRAME, lines[i])) {
      below = false;
      if (!startsWith(lines[i], '- /') || startsWith(lines[i], `- ${root}/`)) { // "Require stack:"
        push(kept, lines[i]);
      }
      continue;
    }
    below ||= includes(lines[i], OWN);
    if (!below && isShown(lines[i])) {
      push(kept, lines[i]);
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
    return clean(typeof error === 'string' ? error : inspect(error));
  } catch {
    return 'an error that cannot be shown';
  }
}

module.exports = { clean, cleanStacks, describe, setRoot };
