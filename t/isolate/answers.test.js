// What a handler may answer: the payloads of the callback, Twilio.Response, and errors.
'use strict';

const assert = require('node:assert');
const { before, after, describe, test } = require('node:test');
const { Isolate, removeBuild, writeBuild } = require('./isolate.js');

const TEXT = 'text/plain; charset=utf-8';
const JSON_TYPE = 'application/json';
const BYTES = 'application/octet-stream';
const XML = 'text/xml; charset=utf-8';

// The one Function evaluates the body of its request, which has the names of a handler's arguments and `response`,
// a new Twilio.Response.
const functions = {
  run: `exports.handler = (context, event, callback) => {
    const response = new Twilio.Response();
    return eval(String(event.request.rawBody));
  };`,
  silent: 'exports.handler = () => {};',
};

let build;
let isolate;

before(async () => {
  build = writeBuild({ functions });
  isolate = await new Isolate(build).ready();
});
after(async () => {
  await isolate.stop();
  removeBuild(build);
});

const run = (source, head = {}) => isolate.call('run', { method: 'POST', body: source, ...head });

// A test that a source is answered with status 200, or `status`, this Content-Type (null: none) and this body.
function answers(source, type, body, status = 200) {
  test(source, async () => {
    const outcome = await run(source);
    assert.deepStrictEqual([outcome.status, outcome.headers, outcome.error, outcome.logs],
      [status, type === null ? [] : [['Content-Type', type]], false, []]);
    assert.deepStrictEqual(outcome.body, Buffer.from(body));
    assert.ok(outcome.idle.rss > 1e6);
  });
}

// A test that a source fails: the status, Content-Type and body of the answer, and the first line of its one log entry.
function fails(source, { type = JSON_TYPE, body, entry, status = 500 }) {
  test(source, async () => {
    const outcome = await run(source);
    assert.deepStrictEqual([outcome.status, outcome.headers, outcome.error], [status, [['Content-Type', type]], true]);
    const text = String(outcome.body);
    assert.deepStrictEqual(type === JSON_TYPE ? JSON.parse(text) : text, body);
    assert.strictEqual(outcome.logs.length, 1);
    const [[level, first]] = outcome.logs;
    assert.deepStrictEqual([level, first.split('\n')[0]], ['ERROR', entry]);
    assert.ok(outcome.idle);
  });
}

describe('the payload of the callback', () => {
  answers('callback()', null, '');
  answers('callback(null)', null, '');
  answers('callback(null, null)', null, '');
  answers('callback(null, undefined)', null, '');
  answers('callback(null, "héllo €")', TEXT, 'héllo €');
  answers('callback(null, "")', TEXT, '');
  answers('callback(null, "<?xml version=\\"1.0\\"?><Response/>")', TEXT, '<?xml version="1.0"?><Response/>');
  answers('callback(null, { a: 1, b: undefined, d: new Date(0), j: { toJSON: () => "J" } })', JSON_TYPE,
    '{"a":1,"d":"1970-01-01T00:00:00.000Z","j":"J"}');
  answers('callback(null, [1, [undefined]])', JSON_TYPE, '[1,[null]]');
  answers('callback(null, {})', JSON_TYPE, '{}');
  answers('callback(null, Object.create(null))', JSON_TYPE, '{}');
  answers('callback(null, true)', JSON_TYPE, 'true');
  answers('callback(null, false)', JSON_TYPE, 'false');
  answers('callback(null, 0)', JSON_TYPE, '0');
  answers('callback(null, 200)', JSON_TYPE, '200');
  answers('callback(null, NaN)', JSON_TYPE, 'null');
  answers('callback(null, Buffer.from([0, 255, 10]))', BYTES, Buffer.from([0, 255, 10]));
  answers('callback(null, new Uint8Array([1, 2]))', BYTES, Buffer.from([1, 2]));
  answers('callback(null, new Uint8Array(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2))', BYTES, Buffer.from([2, 3]));
  answers('callback(null, "\\ud800")', TEXT, '\ufffd');

  const large = 'x'.repeat(5e6);
  test('a text of 5 MB', async () => {
    assert.strictEqual(String((await run('callback(null, "x".repeat(5e6))')).body), large);
  });

  const circular = 'TypeError: Converting circular structure to JSON';
  test('a circular object is 500, with the TypeError', async () => {
    const { status, error, body, logs } = await run('const o = {}; o.o = o; callback(null, o)');
    assert.deepStrictEqual([status, error, JSON.parse(body).name], [500, true, 'TypeError']);
    assert.ok(logs[0][1].startsWith(circular), logs[0][1]);
  });
  fails('callback(null, 1n)', { body: { message: 'Do not know how to serialize a BigInt', name: 'TypeError' },
    entry: 'TypeError: Do not know how to serialize a BigInt' });
  for (const [source, type] of [['() => {}', 'function'], ['Symbol("s")', 'symbol']]) {
    fails(`callback(null, ${source})`, { body: { message: `A ${type} cannot be answered`, name: 'TypeError' },
      entry: `TypeError: A ${type} cannot be answered` });
  }
});

describe('TwiML', () => {
  const classes = 'class TwiML { toString() { return "<?xml version=\\"1.0\\"?><Response/>"; } }';
  for (const name of ['VoiceResponse', 'MessagingResponse', 'FaxResponse']) {
    answers(`${classes} class ${name} extends TwiML {} callback(null, new ${name}())`, XML, '<?xml version="1.0"?><Response/>');
  }
  answers('class VoiceResponse { toString() { return "no"; } } callback(null, new VoiceResponse())', JSON_TYPE, '{}');
  answers('class Other { toString() { return "<?xml ?>"; } } callback(null, new Other())', JSON_TYPE, '{}');
  answers(`${classes} callback(null, response.setBody(new TwiML()))`, XML, '<?xml version="1.0"?><Response/>');
});

describe('Twilio.Response', () => {
  answers('callback(null, response)', null, '');
  answers('callback(null, response.setBody(null))', null, '');
  answers('callback(null, response.setBody("text"))', BYTES, 'text');
  answers('callback(null, response.setBody({ a: 1 }))', JSON_TYPE, '{"a":1}');
  answers('callback(null, response.setBody([1]))', JSON_TYPE, '[1]');
  answers('callback(null, response.setBody(7))', JSON_TYPE, '7');
  answers('callback(null, response.setBody(Buffer.from([0, 255])))', BYTES, Buffer.from([0, 255]));
  answers('callback(null, response.setBody("{}").appendHeader("Content-Type", "application/json"))', JSON_TYPE, '{}');
  answers('callback(null, response.setBody({ a: 1 }).appendHeader("content-type", "text/x"))'.replace('content-type', 'Content-Type'),
    'text/x', '{"a":1}');
  answers('callback(null, response.setStatusCode(418).setBody("tea"))', BYTES, 'tea', 418);
  answers('callback(null, response.setStatusCode("404"))', null, '', 404);
  answers('callback(null, response.setStatusCode(204))', null, '', 204);
  answers('callback(null, new Response({ statusCode: 201, body: "b", headers: { "Content-Type": "text/plain" } }))', 'text/plain', 'b', 201);

  function headers(source, expected) {
    test(source, async () => {
      const outcome = await run(`callback(null, ${source})`);
      assert.deepStrictEqual([outcome.status, outcome.headers], [200, expected]);
    });
  }
  headers('response.setBody("x").appendHeader("content-type", "text/css")', [['content-type', 'text/css']]);
  headers('response.appendHeader("X-N", 3)', [['X-N', '3']]);
  headers('response.appendHeader("Vary", "A").appendHeader("Vary", "B").appendHeader("Vary", ["C", "D"])',
    [['Vary', 'A'], ['Vary', 'B'], ['Vary', 'C'], ['Vary', 'D']]);
  headers('response.appendHeader("X-A", "1").setHeaders({ "X-B": "2" })', [['X-B', '2']]);
  headers('response.setCookie("a", "1").setHeaders({ "X-B": "2" })', [['X-B', '2']]);
  headers('response.setHeaders({ "set-cookie": ["a=1", "b=2"] }).setCookie("c", "3")',
    [['Set-Cookie', 'a=1; HttpOnly; Secure'], ['Set-Cookie', 'b=2; HttpOnly; Secure'], ['Set-Cookie', 'c=3; HttpOnly; Secure']]);
  headers('response.setCookie("k", "v", ["Max-Age=60", "Path=/p", "domain=example.com"])',
    [['Set-Cookie', 'k=v; Max-Age=60; Path=/p; HttpOnly; Secure']]);
  headers('response.setCookie("k", "v", ["secure", "HTTPONLY"])', [['Set-Cookie', 'k=v; secure; HTTPONLY']]);
  headers('response.removeCookie("k")', [['Set-Cookie', 'k=; Max-Age=0; HttpOnly; Secure']]);
  headers('response.appendHeader("constructor", "x")', [['constructor', 'x']]);

  for (const value of ['{}', '[{}]']) {
    fails(`callback(null, response.appendHeader("X", ${value}))`,
      { body: { message: 'Header value cannot be an object', name: 'Error' }, entry: 'Error: Header value cannot be an object' });
  }
  for (const status of [99, 100, 199, 600, 200.5, '"x"', null]) {
    const message = `The status code ${String(status).replaceAll('"', '')} is not one from 200 to 599`;
    fails(`callback(null, response.setStatusCode(${status}))`, { body: { message, name: 'RangeError' }, entry: `RangeError: ${message}` });
  }
  for (const value of ['a\\r\\nb: c', 'a\\nb', 'a\\rb', 'a\\0b']) {
    const message = 'The value of the header X has a line break or a NUL';
    fails(`callback(null, response.appendHeader("X", "${value}"))`, { body: { message, name: 'TypeError' }, entry: `TypeError: ${message}` });
  }
  for (const name of ['', 'a b', 'a:b', 'é']) {
    const message = `"${name}" cannot be the name of a header`;
    fails(`callback(null, response.appendHeader("${name}", "x"))`, { body: { message, name: 'TypeError' }, entry: `TypeError: ${message}` });
  }
});

describe('errors', () => {
  const bad = { body: { message: 'bad', name: 'TypeError' }, entry: 'TypeError: bad' };
  fails('callback(new TypeError("bad"))', bad);
  fails('callback(new TypeError("bad"), "payload")', bad);
  fails('throw new TypeError("bad")', bad);
  fails('(async () => { await null; throw new TypeError("bad"); })()', bad);
  fails('Promise.reject(new TypeError("bad"))', bad);
  fails('({ then: (resolve, reject) => reject(new TypeError("bad")) })', bad);
  fails('callback("plain")', { type: TEXT, body: 'plain', entry: 'plain' });
  fails('throw "plain"', { type: TEXT, body: 'plain', entry: 'plain' });
  fails('callback({ code: 7 })', { body: { code: 7 }, entry: '{ code: 7 }' });
  fails('callback(7)', { body: 7, entry: '7' });
  fails('callback(true)', { body: true, entry: 'true' });
  fails('callback(response.setStatusCode(404).setBody("gone"))', { type: BYTES, body: 'gone', status: 404,
    entry: "Response { statusCode: 404, body: 'gone', headers: {} }" });
  fails('callback(response.setBody("odd"))', { type: BYTES, body: 'odd',
    entry: "Response { statusCode: 200, body: 'odd', headers: {} }" });

  const unknown = { body: { message: 'The Function has failed, and its error cannot be shown', name: 'Error' } };
  fails('callback(Symbol("s"))', { ...unknown, entry: 'Symbol(s)' });
  fails('const o = {}; o.o = o; callback(o)', { ...unknown, entry: '<ref *1> { o: [Circular *1] }' });
  fails('throw new Proxy({}, { get() { throw new Error("trap"); }, getPrototypeOf() { throw new Error("trap"); } })',
    { ...unknown, entry: 'an error that cannot be shown' });

  for (const value of ['0', 'false', '""', 'undefined']) {
    answers(`callback(${value}, "x")`, TEXT, 'x');
  }
  answers('callback(null, "first"); callback(null, "second"); callback(new Error("third"))', TEXT, 'first');

  test('the name of an error may be anything', async () => {
    assert.strictEqual(String((await run('callback(Object.assign(new Error("m"), { name: 7 }))')).body), '{"message":"m","name":"7"}');
  });

  test('an error after the answer is logged', async () => {
    for (const source of ['callback(null, "x"); throw new Error("late")', '(async () => { callback(null, "x"); throw new Error("late"); })()']) {
      const { status, body, logs, idle } = await run(source);
      assert.deepStrictEqual([status, String(body), logs.length], [200, 'x', 1]);
      assert.ok(logs[0][0] === 'ERROR' && logs[0][1].startsWith('Error: late'), logs[0][1]);
      assert.ok(idle);
    }
  });

  test('the stack is in the answer where the head of the call says so', async () => {
    const { body } = await run('throw new Error("bad")', { stack: true });
    const { stack } = JSON.parse(body);
    assert.match(stack, /^Error: bad\n/);
    assert.match(stack, /\n    at exports\.handler \(\/var\/task\/handlers\/ZN0+1\.js:3:12\)$/);
  });
});

describe('async handlers', () => {
  answers('(async () => "value")()', TEXT, 'value');
  answers('(async () => null)()', null, '');
  answers('(async () => response.setStatusCode(202))()', null, '', 202);
  answers('(async () => { await null; callback(null, "called"); })()', TEXT, 'called');
  answers('(async () => { callback(null, "called"); return "returned"; })()', TEXT, 'called');
  answers('(async () => { Promise.resolve("then").then((value) => callback(null, value)); })()', TEXT, 'then');
  answers('(async () => { setTimeout(() => callback(null, "later"), 20); })()', TEXT, 'later');
  answers('({ then: (resolve) => resolve("thenable") })', TEXT, 'thenable');
  answers('setTimeout(() => callback(null, "later"), 20); "a returned value is ignored"', TEXT, 'later');
});

test('a handler that never answers gets no answer', async (t) => {
  const own = await new Isolate(build).ready();
  t.after(() => own.child.kill('SIGKILL'));
  own.send('silent');
  const first = await Promise.race([own.next(), new Promise((resolve) => { setTimeout(resolve, 300, 'nothing'); })]);
  assert.strictEqual(first, 'nothing');
});
