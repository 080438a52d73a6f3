// Collects the garbage of an isolate that has no calls, and gives its memory back. V8 alone collects garbage only while
// new objects are made: an idle isolate would keep that of its calls.
'use strict';

const v8 = require('v8');
const vm = require('vm');
const { rss, setTimeout } = require('./builtins');

const QUIET = 6000; // milliseconds without a call before a collection, and before the next one

// A collection takes 10 to 50 ms of a processor. It is left out where fewer bytes were added since the last one.
const GROWTH = 1024 * 1024;

// What V8's function gc() takes. Since Node.js 22, one collection gives all free pages back to the system. Before, gc()
// takes no such options, and two collections are needed. The pages of young objects are only given back where less than
// 1 kB was allocated in each millisecond since the last collection, or of the last five seconds if that is longer. Many
// short calls allocate more. So the first collection begins a time without allocations for the second one.
const OPTIONS = [{ type: 'major', execution: 'sync', flavor: 'last-resort' }];
const [ARGUMENTS, COLLECTIONS] = Number.parseInt(process.versions.node, 10) >= 22 ? [OPTIONS, 1] : [[], 2];

let timer;
let left; // collections after the last call that are still to be done
let size; // bytes in use before the first call, or after the last collection

// Returns V8's function that collects garbage. It is no global of Functions.
function collector() {
  v8.setFlagsFromString('--expose-gc');
  const gc = vm.runInNewContext('gc');
  v8.setFlagsFromString('--no-expose-gc');
  return gc;
}

// Returns the function of malloc_trim.c. A node that has another C library than this machine's glibc cannot load it.
function trimmer() {
  try {
    return require('./malloc_trim.node');
  } catch {
    return () => {};
  }
}

function collect() {
  if (left === COLLECTIONS && rss() - size < GROWTH) {
    return;
  }
  collector()(...ARGUMENTS);
  left--;
  if (left > 0) {
    timer.refresh();
    return;
  }
  trimmer()();
  size = rss();
}

// Begins the time without a call, at the end of each call.
function rest() {
  left = COLLECTIONS;
  timer.refresh();
}

// Prepares for rest(). The timer does not keep the process alive, and belongs to no call.
function start() {
  timer = setTimeout(collect, QUIET).unref();
  left = COLLECTIONS;
  size = rss();
}

module.exports = { rest, start };
