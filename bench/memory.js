// Measures the private memory (Private_Dirty) of an isolate without httpd, beside that of less than an isolate:
//
//   node bench/memory.js [NODE...]
//
// "empty" is a program that does nothing, "smallest" bench/smallest_isolate.js, and "isolate" an isolate of this server that
// runs a Function "Hello World". Both are measured after a second of calls, and idle. All start with the runner's options.
'use strict';

const { execFileSync, spawn } = require('child_process');
const fs = require('fs');
const path = require('path');
const { Isolate, removeBuild, writeBuild } = require('../t/isolate/isolate.js');

const OPTIONS = ['--max-old-space-size=192', '--v8-pool-size=1'];
const SMALLEST = path.join(__dirname, 'smallest_isolate.js');
const HELLO = "exports.handler = (context, event, callback) => callback(null, 'Hello World');";
const LOAD = 1000; // milliseconds
const REST = 15000; // milliseconds, after which an isolate has collected its garbage
const START = 1000; // milliseconds

const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

// Returns the memory that a process has written to, in MiB.
function written(pid) {
  const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return (Number(/^Private_Dirty: +(\d+)/m.exec(text)[1]) / 1024).toFixed(1);
}

// Returns the memory of a program that does nothing.
async function measureEmpty(node) {
  const child = spawn(node, [...OPTIONS, '-e', 'setInterval(() => {}, 1e6)'], { stdio: 'ignore' });
  await pause(START);
  const found = written(child.pid);
  child.kill();
  return found;
}

// Starts an isolate, calls it for a second, and returns it with its memory.
async function load(build, options) {
  const isolate = await new Isolate(build, { options: OPTIONS, ...options }).ready();
  for (const until = Date.now() + LOAD; Date.now() < until;) {
    await isolate.call('hello');
  }
  return { isolate, busy: written(isolate.child.pid) };
}

async function measure(build, node) {
  const empty = await measureEmpty(node);
  const loaded = [await load(build, { node, main: SMALLEST }), await load(build, { node })];
  await pause(REST);
  const [smallest, isolate] = loaded.map(({ isolate: { child }, busy }) => `${busy}, then ${written(child.pid)}`);
  await Promise.all(loaded.map((each) => each.isolate.stop()));
  return { node: execFileSync(node, ['--version']).toString().trim(), empty, smallest, isolate };
}

async function main(nodes) {
  const build = writeBuild({ functions: { hello: HELLO } });
  for (const node of nodes) {
    const found = await measure(build, node);
    console.log(`Node.js ${found.node}: an empty program ${found.empty} MiB; ` +
      `the smallest isolate ${found.smallest} MiB; this isolate ${found.isolate} MiB`);
  }
  removeBuild(build);
}

main(process.argv.length > 2 ? process.argv.slice(2) : [process.execPath]);
