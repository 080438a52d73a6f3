// Whole Functions, as people write them: each call, and the answer and log entries of the isolate.
'use strict';

const assert = require('node:assert');
const { test } = require('node:test');
const { PACKAGES, isolateFor } = require('./isolate.js');

const TEXT = [['Content-Type', 'text/plain; charset=utf-8']];
const JSON_TYPE = [['Content-Type', 'application/json']];
const json = (value) => ({ method: 'POST', type: 'application/json', body: JSON.stringify(value) });

// name, source, calls: [head, expected status, headers, body (a string, bytes, or a value for JSON), entries]
const cases = [
  ['a string', "exports.handler = (c, e, done) => done(null, 'ok ' + e.n)", [[{ query: 'n=7' }, 200, TEXT, 'ok 7', []]]],
  ['JSON', 'exports.handler = (c, e, done) => done(null, [{ a: 1, b: undefined }])', [[{}, 200, JSON_TYPE, [{ a: 1 }], []]]],
  ['TwiML', "exports.handler = (c, e, done) => { const t = new Twilio.twiml.VoiceResponse(); t.say('hi'); done(null, t); }",
    [[{ method: 'POST', type: 'application/x-www-form-urlencoded' }, 200, [['Content-Type', 'text/xml; charset=utf-8']],
      '<?xml version="1.0" encoding="UTF-8"?><Response><Say>hi</Say></Response>', []]]],
  ['a Response', `exports.handler = (c, e, done) => {
    const r = new Twilio.Response();
    r.setStatusCode(401).setBody('no').appendHeader('WWW-Authenticate', 'Basic realm="x"');
    done(null, r);
  }`, [[{}, 401, [['WWW-Authenticate', 'Basic realm="x"'], ['Content-Type', 'application/octet-stream']], 'no', []]]],
  ['the event', 'exports.handler = (c, e, done) => { const { request, ...rest } = e; done(null, rest); }', [
    [{ query: 'age=1&q=x', ...json({ age: 42, o: { k: [null] } }) }, 200, JSON_TYPE, { age: 42, q: 'x', o: { k: [null] } }, []],
    [json([{ z: 1 }, 2]), 200, JSON_TYPE, { 0: { z: 1 }, 1: 2 }, []]]],
  ['headers and cookies', 'exports.handler = (c, e, done) => done(null, { h: e.request.headers, c: e.request.cookies })',
    [[{ headers: [['X-A', '1'], ['x-a', '2'], ['Cookie', 'foo=bar; foo=baz; T=a%20b']] }, 200, JSON_TYPE,
      { h: { 'x-a': ['1', '2'], cookie: 'foo=bar; foo=baz; T=a%20b' }, c: { foo: 'bar', T: 'a b' } }, []]]],
  ['an exception', "exports.handler = () => { throw new TypeError('bad'); }",
    [[{}, 500, JSON_TYPE, { message: 'bad', name: 'TypeError' }, [['ERROR', 'TypeError: bad']]]]],
  ['a rejection', "exports.handler = async () => { throw new Error('late'); }",
    [[{}, 500, JSON_TYPE, { message: 'late', name: 'Error' }, [['ERROR', 'Error: late']]]]],
  ['an error that is a string', "exports.handler = (c, e, done) => done('plain')", [[{}, 500, TEXT, 'plain', [['ERROR', 'plain']]]]],
  ['a Variable that changes', 'exports.handler = (c, e, done) => done(null, [c.PATH, c.DOMAIN_NAME, c.SERVICE_SID.slice(0, 2), c.ENVIRONMENT_SID.slice(0, 2), c.V, c.AUTH_TOKEN])', [
    [{ path: '/c', variables: { V: 'one' } }, 200, JSON_TYPE, ['/c', 'd.example.com', 'ZS', 'ZE', 'one', null], []],
    [{ path: '/c', variables: { V: 'two' } }, 200, JSON_TYPE, ['/c', 'd.example.com', 'ZS', 'ZE', 'two', null], []]]],
  ['bytes', `exports.handler = (c, e, done) => {
    const r = new Twilio.Response();
    r.appendHeader('Content-Type', 'audio/mpeg');
    r.appendHeader('Content-Length', 3);
    r.setBody(Buffer.from([0, 255, 10]));
    done(null, r);
  }`, [[{}, 200, [['Content-Type', 'audio/mpeg'], ['Content-Length', '3']], Buffer.from([0, 255, 10]), []]]],
  ['log entries, and a second callback', `exports.handler = (c, e, done) => {
    console.log('a', { b: 1 }); console.warn('w'); console.error('x\\ny'); setTimeout(() => done(null), 20); done(null); done(null, 'second');
  }`, [[{}, 200, [], '', [['INFO', 'a { b: 1 }'], ['WARNING', 'w'], ['ERROR', 'x\ny']]]]],
  ['a number', 'exports.handler = (c, e, done) => done(null, 42)', [[{}, 200, JSON_TYPE, 42, []]]],
  ['a parameter named request', 'exports.handler = (c, e, done) => done(null, typeof e.request.headers)', [[{ query: 'request=x' }, 200, TEXT, 'object', []]]],
  ['import()', "exports.handler = async (c, e, done) => { const fs = await import('node:fs'); done(null, typeof fs.readFileSync); }", [[{}, 200, TEXT, 'function', []]]],
  ['the library', `exports.handler = (c, e, done) => done(null, [new Twilio('AC${'a'.repeat(32)}', 't').accountSid.slice(0, 2), typeof Twilio.jwt.AccessToken])`,
    [[{}, 200, JSON_TYPE, ['AC', 'function'], []]]],
];

for (const [name, source, calls] of cases) {
  test(name, async (t) => {
    const isolate = await isolateFor(t, { functions: { f: source } }, { env: { NODE_PATH: PACKAGES } });
    for (const [head, status, headers, body, entries] of calls) {
      const outcome = await isolate.call('f', head);
      assert.deepStrictEqual([outcome.status, outcome.headers, outcome.error], [status, headers, status === 500]);
      const answered = headers === JSON_TYPE ? JSON.parse(outcome.body) : Buffer.isBuffer(body) ? outcome.body : String(outcome.body);
      assert.deepStrictEqual(answered, body);
      const first = status === 500 ? outcome.logs.map(([level, text]) => [level, text.split('\n')[0]]) : outcome.logs;
      assert.deepStrictEqual(first, entries);
      assert.ok(outcome.idle);
    }
  });
}

test('process.exit() ends the isolate without an answer', async (t) => {
  const isolate = await isolateFor(t, { functions: { f: 'exports.handler = () => process.exit(0)' } });
  assert.deepStrictEqual(await isolate.call('f'), { logs: [], ended: true });
});

test('a loop can be ended from outside only', async (t) => {
  const isolate = await isolateFor(t, { functions: { f: 'exports.handler = () => { for (;;); }' } });
  isolate.send('f');
  setTimeout(() => isolate.child.kill('SIGKILL'), 200);
  assert.deepStrictEqual([await isolate.outcome(), await isolate.exited], [{ logs: [], ended: true }, 'SIGKILL']);
});
