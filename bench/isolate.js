// Measures the processor time and latency of calls in one isolate, without httpd:
//
//   node bench/isolate.js [CALLS] [NODE]
//
// "start" is the time until READY. "node us" is the processor time of the isolate per call, from
// /proc/PID/stat; "round us" the time from CALL to ANSWER and from CALL to IDLE, seen from here.
'use strict';

const fs = require('fs');
const { Isolate, removeBuild, writeBuild } = require('../t/isolate/isolate.js');

const calls = Number(process.argv[2] ?? 20000);
const node = process.argv[3] ?? process.execPath;
const TICK = 10000; // microseconds of a clock tick in /proc
const WARM_UP = 5000; // calls that are not measured
const STARTS = 10;

const functions = {
  hello: "exports.handler = (context, event, callback) => callback(null, 'Hello World');",
  async: "exports.handler = async (context, event, callback) => { await null; callback(null, 'Hello World'); };",
  returned: "exports.handler = async () => 'Hello World';",
  form: 'exports.handler = (context, event, callback) => callback(null, event.From);',
  json: 'exports.handler = (context, event, callback) => callback(null, { a: event.a, list: [1, 2, 3] });',
  log: "exports.handler = (context, event, callback) => { console.log('hello', { a: 1 }); callback(null, 'x'); };",
  timer: "exports.handler = (context, event, callback) => setTimeout(callback, 0, null, 'x');",
};

const headers = [
  ['Accept', '*/*'], ['User-Agent', 'TwilioProxy/1.1'], ['Content-Type', 'application/x-www-form-urlencoded'],
  ['X-Twilio-Signature', 'aaaaaaaaaaaaaaaaaaaaaaaaaaa='], ['Cookie', 'a=b; c=d'],
];
const heads = {
  form: { method: 'POST', type: 'application/x-www-form-urlencoded', headers, body: 'To=%2B1&From=%2B2&Body=hi+there&CallSid=CA1' },
  json: { method: 'POST', type: 'application/json', headers, body: '{"a":{"b":[1,2,3]},"c":"d"}' },
};

// Returns the processor time of a process so far, in microseconds.
function processorTime(pid) {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK;
}

async function measure(isolate, name) {
  for (let i = 0; i < WARM_UP; i++) {
    await isolate.call(name, heads[name]);
  }
  const before = processorTime(isolate.child.pid);
  const begin = process.hrtime.bigint();
  for (let i = 0; i < calls; i++) {
    await isolate.call(name, heads[name]);
  }
  const wall = Number(process.hrtime.bigint() - begin) / 1000;
  return { call: name, 'node us': ((processorTime(isolate.child.pid) - before) / calls).toFixed(1), 'round us': (wall / calls).toFixed(1) };
}

// Returns the medians of starts: from the start of the process to READY.
async function measureStart(build) {
  const wall = [];
  const processor = [];
  for (let i = 0; i < STARTS; i++) {
    const begin = performance.now();
    const isolate = await new Isolate(build, { node }).ready();
    wall.push(performance.now() - begin);
    processor.push(processorTime(isolate.child.pid) / 1000);
    await isolate.stop();
  }
  const median = (values) => values.sort((a, b) => a - b)[STARTS / 2].toFixed(0);
  return `start: ${median(wall)} ms, ${median(processor)} ms of processor time`;
}

async function main() {
  const build = writeBuild({ functions });
  console.log(await measureStart(build));
  const isolate = await new Isolate(build, { node }).ready();
  const rows = [];
  for (const name of Object.keys(functions)) {
    rows.push(await measure(isolate, name));
  }
  console.table(rows);
  await isolate.stop();
  removeBuild(build);
}

main();
