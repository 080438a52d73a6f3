// The memory of an isolate: what Node.js loads only where a Function uses it, and the garbage of an isolate without calls.
'use strict';

const assert = require('node:assert');
const { describe, test } = require('node:test');
const { isolateFor, writeBuild, removeBuild } = require('./isolate.js');

const HELLO = "exports.handler = (c, e, done) => done(null, 'hello')";
const PATIENCE = 10000; // milliseconds
const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

// Returns a module for NODE_OPTIONS: timers of a second or more fire after 50 ms.
const impatient = () => writeBuild({ packages: { 'impatient.js': `
  const { setTimeout: original } = globalThis;
  globalThis.setTimeout = (f, time, ...values) => original(f, time >= 1000 ? 50 : time, ...values);` } });

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
    const preload = impatient();
    t.after(() => removeBuild(preload));
    const isolate = await isolateFor(t, { functions },
      { env: { NODE_OPTIONS: `--require ${preload.root}/node_modules/impatient.js` } });
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
});
