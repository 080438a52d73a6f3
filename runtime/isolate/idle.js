// Finds out when nothing of a call is left to do: no timer, no request and no connection beyond those that there were
// before the handler was called.
'use strict';

const { activeResources, keysOf, now, setImmediate, setTimeout } = require('./builtins');

// A connection that is open after the answer may be one that the Function keeps for later calls. It counts as nothing
// left if nothing else happens for QUIET milliseconds.
const QUIET = 250;
const CONNECTIONS = { __proto__: null, TCPSocketWrap: 1, TLSWrap: 1, TLSSocket: 1, PipeWrap: 1 };

const FIRST_PAUSE = 2; // milliseconds between two looks; doubled up to
const LAST_PAUSE = 32;

// The line itself is one active resource.
const LINE_ONLY = 1;

let baseline = null; // counts by type, or null where there is only the line

// Returns how many resources there are of each type.
function countsOf(resources) {
  const counts = { __proto__: null };
  for (let i = 0; i < resources.length; i++) {
    counts[resources[i]] = (counts[resources[i]] ?? 0) + 1;
  }
  return counts;
}

// Remembers the resources that belong to no call.
function setBaseline() {
  const resources = activeResources();
  baseline = resources.length <= LINE_ONLY ? null : countsOf(resources);
}

// Returns 'nothing', 'connections' or 'work': what is there beyond the baseline.
function left() {
  const resources = activeResources();
  if (resources.length <= LINE_ONLY) {
    return 'nothing';
  }
  const counts = countsOf(resources);
  const types = keysOf(counts);
  let found = 'nothing';
  for (let i = 0; i < types.length; i++) {
    const before = baseline?.[types[i]] ?? (types[i] === 'PipeWrap' ? LINE_ONLY : 0);
    if (counts[types[i]] > before) {
      if (!CONNECTIONS[types[i]]) {
        return 'work';
      }
      found = 'connections';
    }
  }
  return found;
}

// Calls done() as soon as nothing of the call is left, and goesOn() at each look before.
function whenIdle(done, goesOn) {
  let pause = FIRST_PAUSE;
  let quietSince = null;
  function look() {
    const found = left();
    quietSince = found === 'connections' ? quietSince ?? now() : null;
    if (found === 'nothing' || (quietSince !== null && now() - quietSince >= QUIET)) {
      done();
      return;
    }
    goesOn();
    setTimeout(look, pause).unref();
    pause = pause < LAST_PAUSE ? pause * 2 : LAST_PAUSE;
  }
  setImmediate(look);
}

module.exports = { setBaseline, whenIdle };
