// The memory of an isolate: what Node.js loads only where a Function uses it, and the garbage of an isolate without calls.
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const { describe, test } = require('node:test');
const { isolateFor, writeBuild, removeBuild } = require('./isolate.js');

const HELLO = "exports.handler = (c, e, done) => done(null, 'hello')";
const PATIENCE = 10000; // milliseconds
const REST_PATIENCE = 60000; // for an isolate to give its memory back
const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

// Returns how much memory of its own a process has written to.
const writtenBytes = (pid) => Number(/^Private_Dirty: +(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]) * 1024;

// Returns a module for NODE_OPTIONS: timers of a second or more fire after 50 ms.
const impatient = () => writeBuild({ packages: { 'impatient.js': `
  const { setTimeout: original } = globalThis;
  globalThis.setTimeout = (f, time, ...values) => original(f, time >= 1000 ? 50 : time, ...values);` } });

// Returns a module for NODE_OPTIONS: after a timer of a second or more, the isolate prints how many bytes the pages of
// young objects have.
const outspoken = () => writeBuild({ packages: { 'outspoken.js': `
  const { getHeapSpaceStatistics } = require('v8');
  const { setTimeout: original } = globalThis;
  const print = () => {
    const { physical_space_size: size } = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space');
    process._rawDebug('young ' + size);
  };
  globalThis.setTimeout = (f, time, ...values) => original(time >= 1000 ? () => { f(); print(); } : f, time, ...values);` } });

// Returns the number of bytes that the isolate has printed last.
const youngBytes = (isolate) => Number(/.*young (\d+)/s.exec(isolate.stderr)?.[1] ?? Infinity);

// Starts an isolate that loads a module for NODE_OPTIONS, of the build `preload`.
function isolateWith(t, module, preload, functions) {
  t.after(() => removeBuild(preload));
  return isolateFor(t, { functions }, { env: { NODE_OPTIONS: `--require ${preload.root}/node_modules/${module}.js` } });
}

// Measures a size until it is at most `limit`, for REST_PATIENCE at most. Resolves to the last size.
async function falls(measure, limit) {
  const until = Date.now() + REST_PATIENCE;
  while (measure() > limit && Date.now() < until) {
    await pause(100);
  }
  return measure();
}

describe('An isolate', () => {
  test('loads neither fetch() nor HTTP, TLS and cryptography unless a Function uses them', async (t) => {
    const loaded = `exports.handler = (c, e, done) => done(null, process.moduleLoadList
      .filter((name) => /undici|^NativeModule (_?https?|http2|_?tls|crypto|perf_hooks|worker_threads)/.test(name)))`;
    const isolate = await isolateFor(t, { functions: { loaded } });
    assert.deepStrictEqual(JSON.parse((await isolate.call('loaded')).body), []);
  });

  test('has the fetch() of Node.js, and the Response of this server', async (t) => {
    const both = 'exports.handler = async () => [(await fetch("data:,text").then((r) => r.text())), new Response().setBody("x").body]';
    const isolate = await isolateFor(t, { functions: { both } });
    assert.strictEqual(String((await isolate.call('both')).body), '["text","x"]');
  });

  test('collects its garbage some time after its last call, without a global gc()', async (t) => {
    const functions = {
      make: 'exports.handler = (c, e, done) => { global.made = new WeakRef(new Array(1e6).fill(1.5)); done(null, "") }',
      gone: `exports.handler = (c, e, done) => done(null,
        [made.deref() === undefined, typeof gc, require('vm').runInNewContext('typeof gc')])`,
      hello: HELLO,
    };
    const isolate = await isolateWith(t, 'impatient', impatient(), functions);
    await pause(200); // the time without a call is over once before
    await isolate.call('make');
    const until = Date.now() + PATIENCE;
    let answer;
    do {
      await pause(200);
      answer = String((await isolate.call('gone')).body);
    } while (answer.startsWith('[false') && Date.now() < until);
    assert.strictEqual(answer, '[true,"undefined","undefined"]');
    assert.strictEqual(String((await isolate.call('hello')).body), 'hello');
  });

  // Before Node.js 22, V8 gives them back only where less than 1 kB was allocated in each millisecond since the last
  // collection. Here it is more in ten seconds, unless the machine has so little memory that V8 takes fewer pages.
  test('gives the pages of young objects back some time after a call that has filled them', async (t) => {
    const functions = {
      fill: `const { getHeapSpaceStatistics } = require('v8');
        const used = () => getHeapSpaceStatistics().find((space) => space.space_name === 'new_space').space_used_size;
        exports.handler = (c, e, done) => {
          let kept = []; // objects that survive make V8 take more pages
          for (let i = 0; i < 2e4 && used() < 12.5 * 2 ** 20; i++) {
            if (i % 1000 === 0) kept = [];
            for (let n = 0; n < 1000; n++) kept.push({ n });
          }
          done(null, 'full');
        }`,
    };
    const isolate = await isolateWith(t, 'outspoken', outspoken(), functions);
    assert.strictEqual(String((await isolate.call('fill')).body), 'full');
    assert.ok(await falls(() => youngBytes(isolate), 2 ** 22) <= 2 ** 22, isolate.stderr);
  });

  test('gives the memory of Buffers back that are gone, between others that are not', async (t) => {
    const functions = {
      make: `exports.handler = (c, e, done) => {
        global.kept = [];
        for (let i = 0; i < 4000; i++) {
          const bytes = Buffer.alloc(10000, 1);
          if (i % 100 === 0) kept.push(bytes);
        }
        done(null, 'made');
      }`,
    };
    const isolate = await isolateWith(t, 'impatient', impatient(), functions);
    const before = writtenBytes(isolate.child.pid);
    assert.strictEqual(String((await isolate.call('make')).body), 'made');
    const added = await falls(() => writtenBytes(isolate.child.pid) - before, 1e7);
    assert.ok(added <= 1e7, `${added} bytes more than before`);
  });
});
