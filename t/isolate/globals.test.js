// The globals Twilio, Runtime, Response and Functions, the files of a Build, and what a Function may replace.
'use strict';

const assert = require('node:assert');
const { describe, test } = require('node:test');
const { PACKAGES, isolateFor } = require('./isolate.js');

const NO_PACKAGE = 'Twilio cannot be used: the package "twilio" is neither among the Dependencies of the Build nor installed on the server';

// A Function that answers the value of an expression.
const value = (expression) => `exports.handler = async (context, event) => (${expression})`;
const textOf = async (isolate, name) => String((await isolate.call(name)).body);

describe('Twilio', () => {
  const functions = {
    voice: 'exports.handler = (c, e, done) => { const t = new Twilio.twiml.VoiceResponse(); t.say("hi"); done(null, t); }',
    messaging: 'exports.handler = (c, e, done) => { const t = new Twilio.twiml.MessagingResponse(); t.message("hi"); done(null, t); }',
    required: 'const { twiml } = require("twilio"); exports.handler = (c, e, done) => done(null, new twiml.VoiceResponse())',
    body: 'exports.handler = (c, e, done) => done(null, new Twilio.Response().setBody(new Twilio.twiml.VoiceResponse()))',
    token: 'exports.handler = (c, e, done) => done(null, typeof Twilio.jwt.AccessToken)',
    construct: `exports.handler = (c, e, done) => done(null, new Twilio("AC${'b'.repeat(32)}", "t").accountSid)`,
    call: `exports.handler = (c, e, done) => done(null, Twilio("AC${'b'.repeat(32)}", "t").accountSid)`,
    spread: 'exports.handler = (c, e, done) => done(null, [typeof { ...Twilio }.twiml, "twiml" in Twilio, Object.keys(Twilio).includes("Response")])',
    same: 'exports.handler = (c, e, done) => done(null, [Twilio.twiml === require("twilio").twiml, Twilio.Response === Response])',
    set: 'exports.handler = (c, e, done) => { Twilio.own = 1; done(null, Twilio.own) }',
    response: value('new Twilio.Response().setBody("no package")'),
    loaded: value('String(Object.keys(require.cache).some((file) => file.includes("/twilio/")))'),
  };

  test('with the package of NODE_PATH', async (t) => {
    const isolate = await isolateFor(t, { functions }, { env: { NODE_PATH: PACKAGES } });
    await isolate.call('response');
    assert.strictEqual(await textOf(isolate, 'loaded'), 'false');
    const declaration = '<?xml version="1.0" encoding="UTF-8"?>';
    for (const [name, body] of [['voice', '<Response><Say>hi</Say></Response>'], ['required', '<Response/>'],
      ['messaging', '<Response><Message>hi</Message></Response>'], ['body', '<Response/>']]) {
      const outcome = await isolate.call(name);
      assert.deepStrictEqual([outcome.headers, String(outcome.body)],
        [[['Content-Type', 'text/xml; charset=utf-8']], declaration + body]);
    }
    assert.strictEqual(await textOf(isolate, 'token'), 'function');
    assert.strictEqual(await textOf(isolate, 'construct'), `AC${'b'.repeat(32)}`);
    assert.strictEqual(await textOf(isolate, 'call'), `AC${'b'.repeat(32)}`);
    assert.strictEqual(await textOf(isolate, 'spread'), '["object",true,true]');
    assert.strictEqual(await textOf(isolate, 'same'), '[true,true]');
    assert.strictEqual(await textOf(isolate, 'set'), '1');
  });

  test('the package of the Build comes first', async (t) => {
    const own = 'module.exports = Object.assign(() => {}, { twiml: "own" })';
    const isolate = await isolateFor(t, { functions: { f: value('Twilio.twiml') }, packages: { 'twilio/index.js': own } },
      { env: { NODE_PATH: PACKAGES } });
    assert.strictEqual(await textOf(isolate, 'f'), 'own');
  });

  test('without the package', async (t) => {
    const isolate = await isolateFor(t, { functions });
    for (const name of ['voice', 'spread', 'construct', 'call']) {
      const { status, body } = await isolate.call(name);
      assert.deepStrictEqual([status, JSON.parse(body)], [500, { message: NO_PACKAGE, name: 'Error' }]);
    }
    assert.strictEqual(await textOf(isolate, 'response'), 'no package');
  });

  test('a package that cannot be loaded fails with its own error', async (t) => {
    const isolate = await isolateFor(t, { functions: { f: value('Twilio.twiml') }, packages: { 'twilio/index.js': 'throw new Error("broken")' } });
    assert.strictEqual(await textOf(isolate, 'f'), '{"message":"broken","name":"Error"}');
  });
});

describe('Runtime and the files of a Build', () => {
  test('private Functions and Assets', async (t) => {
    const isolate = await isolateFor(t, {
      functions: {
        'lib/sum': 'exports.add = (a, b) => a + b',
        u: `const { add } = require(Runtime.getFunctions()['lib/sum'].path);
            const A = Runtime.getAssets();
            exports.handler = (c, e, done) => done(null, [add(1, 2), JSON.parse(A['/d.json'].open()).k, require(A['/m.js'].path), Object.keys(A).sort()])`,
        paths: value('[Object.keys(Functions), Object.values(Runtime.getFunctions()).map((f) => f.path), Runtime.getAssets()["/m.js"].path, __dirname, process.cwd()]'),
        invalid: value('Runtime.getAssets()["/latin1.txt"].open()'),
        relative: 'require("./lib/sum")',
      },
      assets: { '/d.json': '{"k":"v"}', '/m.js': 'module.exports = 3', '/latin1.txt': Buffer.from([0x61, 0xe9]) },
    });
    const { root, sids } = isolate.build;
    assert.strictEqual(await textOf(isolate, 'u'), '[3,"v",3,["/d.json","/latin1.txt","/m.js"]]');
    const [names, files, asset, directory, cwd] = JSON.parse(await textOf(isolate, 'paths'));
    assert.deepStrictEqual(names, ['lib/sum', 'u', 'paths', 'invalid', 'relative']);
    assert.strictEqual(files[0], `${root}/handlers/${sids['lib/sum']}.js`);
    assert.match(asset, /^\/.*\/files\/ZN[0-9]{32}$/);
    assert.deepStrictEqual([directory, cwd], [`${root}/handlers`, root]);
    assert.strictEqual(await textOf(isolate, 'invalid'), 'a\ufffd');
    assert.strictEqual(JSON.parse(await textOf(isolate, 'relative')).message, "Could not load the Function: Cannot find module './lib/sum'");
  });

  test('import() of modules of Node.js, of a package and of an ECMAScript module', async (t) => {
    const isolate = await isolateFor(t, {
      functions: { f: `exports.handler = async (c, e, done) => {
        const [fs, own] = await Promise.all([import('node:fs'), import('own')]);
        done(null, [typeof fs.readFileSync, own.default, own.named]);
      }` },
      packages: { 'own/package.json': '{"type":"module","exports":"./index.js"}', 'own/index.js': 'export default 1; export const named = 2;' },
    });
    assert.strictEqual(await textOf(isolate, 'f'), '["function",1,2]');
  });

  test('the state of a module lasts from call to call', async (t) => {
    const isolate = await isolateFor(t, { functions: { f: 'let n = 0; exports.handler = (c, e, done) => done(null, ++n)' } });
    assert.deepStrictEqual([await textOf(isolate, 'f'), await textOf(isolate, 'f')], ['1', '2']);
  });
});

describe('a Function that cannot be loaded is 500 at each request', () => {
  const functions = {
    throws: 'throw new RangeError("at load")',
    syntax: 'exports.handler = (c => ',
    missing: 'require("no-such-package")',
    none: 'exports.other = 1',
    object: 'exports.handler = {}',
    nothing: 'throw undefined',
  };
  const expected = {
    throws: { message: 'at load', name: 'RangeError' },
    syntax: { message: 'Unexpected end of input', name: 'SyntaxError' },
    missing: { message: "Cannot find module 'no-such-package'", name: 'Error' },
    none: { message: 'it does not export a function named handler', name: 'Error' },
    object: { message: 'it does not export a function named handler', name: 'Error' },
    nothing: { message: 'undefined', name: 'Error' },
  };
  for (const [name, { message, name: errorName }] of Object.entries(expected)) {
    test(name, async (t) => {
      const isolate = await isolateFor(t, { functions });
      for (let i = 0; i < 5; i++) {
        const { status, body, error, logs, idle } = await isolate.call(name);
        assert.deepStrictEqual([status, error, JSON.parse(body)],
          [500, true, { message: `Could not load the Function: ${message}`, name: errorName }]);
        assert.deepStrictEqual([logs.length, logs[0][0]], [1, 'ERROR']);
        assert.ok(logs[0][1].startsWith('Could not load the Function: '), logs[0][1]);
        assert.ok(logs[0][1].includes(message), logs[0][1]);
        assert.strictEqual(idle.calls, i + 1);
      }
    });
  }

  test('a Function that is not in the Build', async (t) => {
    const isolate = await isolateFor(t, { functions });
    const { status, body } = await isolate.call('throws', { function: '../../../etc/passwd' });
    assert.deepStrictEqual([status, JSON.parse(body).message], [500, 'Could not load the Function: it is not in the Build']);
  });

  test('loading is attempted three times, and then once a second', async (t) => {
    const source = `const { appendFileSync, readFileSync } = require('fs');
      appendFileSync('attempts', '.');
      if (readFileSync('attempts').length < 5) throw new Error('not yet');
      exports.handler = (c, e, done) => done(null, 'loaded');`;
    const { readFileSync } = require('fs');
    const second = () => new Promise((resolve) => { setTimeout(resolve, 1050); });
    // Calls f some times. Returns how many attempts there were in all, or null if the calls took a second, as on a busy machine.
    const attemptsAfter = async (isolate, calls) => {
      const begin = performance.now();
      for (let i = 0; i < calls; i++) {
        assert.strictEqual((await isolate.call('f')).status, 500);
      }
      return performance.now() - begin < 1000 ? readFileSync(`${isolate.build.root}/attempts`).length : null;
    };
    for (let round = 0; round < 50; round++) {
      const isolate = await isolateFor(t, { functions: { f: source } });
      const first = await attemptsAfter(isolate, 6);
      if (first === null) continue;
      await second();
      const next = await attemptsAfter(isolate, 2);
      if (next === null) continue;
      assert.deepStrictEqual([first, next], [3, 4]);
      await second();
      assert.strictEqual(await textOf(isolate, 'f'), 'loaded');
      assert.strictEqual(await textOf(isolate, 'f'), 'loaded');
      return;
    }
    assert.fail('six calls take more than a second');
  });
});

test('a Function that replaces what the isolate uses harms only itself', async (t) => {
  const replace = `
    const broken = () => { throw new Error('replaced'); };
    JSON.stringify = JSON.parse = broken;
    for (const name of ['alloc', 'allocUnsafe', 'from', 'concat', 'byteLength']) Buffer[name] = broken;
    for (const name of ['write', 'toString', 'writeUInt32BE', 'readUInt32BE', 'subarray', 'slice', 'copy', 'set']) Buffer.prototype[name] = broken;
    for (const name of ['split', 'trim', 'includes', 'startsWith', 'endsWith', 'indexOf', 'replaceAll', 'toLowerCase']) String.prototype[name] = broken;
    for (const name of ['push', 'concat', 'join']) Array.prototype[name] = broken;
    for (const name of ['keys', 'defineProperty', 'getPrototypeOf', 'hasOwn', 'assign']) Object[name] = broken;
    Array.isArray = Number.isInteger = broken;
    globalThis.setImmediate = globalThis.setTimeout = globalThis.decodeURIComponent = broken;
    process.memoryUsage = process.getActiveResourcesInfo = process.exit = broken;
    require('fs').writeSync = broken;
    globalThis.String = globalThis.Number = globalThis.Buffer = globalThis.Response = globalThis.Twilio = broken;
    exports.handler = (c, e, done) => done(e.fail === 'yes' ? new TypeError('own') : null, [e.a, e.request.cookies.k]);`;
  const isolate = await isolateFor(t, { functions: { replace, plain: 'exports.handler = (c, e, done) => done(null, { ok: e.a })' } });
  const head = {
    method: 'POST', query: 'a=1&a=2', type: 'application/x-www-form-urlencoded', body: 'b=%20', headers: [['Cookie', 'k=v%20w']],
    variables: { V: '1' },
  };
  await isolate.call('plain'); // Node.js itself may not load files any more afterwards
  for (let i = 0; i < 2; i++) {
    const { status, body, idle } = await isolate.call('replace', head);
    assert.deepStrictEqual([status, String(body), idle.calls], [200, '[["1","2"],"v w"]', 4 * i + 2]);
    assert.strictEqual((await isolate.call('replace', { query: 'fail=yes' })).status, 500);
    assert.strictEqual(String((await isolate.call('plain', { query: 'a=x' })).body), '{"ok":"x"}');
    // A frame that arrives in parts
    const long = 'x'.repeat(300000);
    assert.strictEqual(String((await isolate.call('plain', { query: `a=${long}` })).body), `{"ok":"${long}"}`);
  }
});
