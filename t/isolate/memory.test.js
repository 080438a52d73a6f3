// The memory of an isolate: what Node.js loads only where a Function uses it.
'use strict';

const assert = require('node:assert');
const { describe, test } = require('node:test');
const { isolateFor } = require('./isolate.js');

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
});
