// Collects the garbage of an isolate that has no calls, and gives its memory back. V8 alone collects garbage only while
// new objects are made: an idle isolate would keep that of its calls.
'use strict';

const v8 = require('v8');
const vm = require('vm');
const { rss, setTimeout } = require('./builtins');

const QUIET = 10000; // milliseconds without a call before a collection

// A collection takes 10 to 50 ms of a processor. It is left out where fewer bytes were added since the last one.
const GROWTH = 1024 * 1024;

// Since Node.js 22, this gives V8's free pages back to the system, too.
const OPTIONS = { type: 'major', execution: 'sync', flavor: 'last-resort' };
const HAS_OPTIONS = Number.parseInt(process.versions.node, 10) >= 22;

let size; // bytes in use before the first call, or after the last collection

// Returns V8's function that collects garbage. It is no global of Functions.
function collector() {
  v8.setFlagsFromString('--expose-gc');
  const gc = vm.runInNewContext('gc');
  v8.setFlagsFromString('--no-expose-gc');
  return gc;
}

function collect() {
  if (rss() - size < GROWTH) {
    return;
  }
  const gc = collector();
  if (HAS_OPTIONS) {
    gc(OPTIONS);
  } else {
    gc();
    gc(); // what the first one has found to be unused is only freed by the second one
  }
  size = rss();
}

// Returns a function to call at the end of each call: the time without a call begins. The timer does not keep the
// process alive, and belongs to no call.
function start() {
  const timer = setTimeout(collect, QUIET).unref();
  size = rss();
  return timer.refresh.bind(timer);
}

module.exports = { start };
