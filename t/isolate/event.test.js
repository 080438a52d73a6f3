// The second argument of a handler: parameters of query and body, event.request.
'use strict';

const assert = require('node:assert');
const { test } = require('node:test');
const { BadRequest, eventOf } = require('../../runtime/isolate/event.js');
const { isolateFor } = require('./isolate.js');

const FORM = 'application/x-www-form-urlencoded';

// Returns the parameters of an event, without `request`.
function parameters({ query = '', type = null, body = '' }) {
  const { request, ...rest } = eventOf({ query, type, headers: [] }, Buffer.from(body));
  assert.strictEqual(Object.getPrototypeOf(rest), Object.prototype);
  return rest;
}

function same(name, parts, expected) {
  test(name, () => assert.deepStrictEqual(parameters(parts), expected));
}

const json = (body) => ({ type: 'application/json', body });
const form = (body) => ({ type: FORM, body });

same('no parameters', {}, {});
same('the query', { query: 'a=1&b=x%20y+z' }, { a: '1', b: 'x y z' });
same('a name twice is an array', { query: 'a=1&a=2&a=3' }, { a: ['1', '2', '3'] });
same('no value is an empty string', { query: 'f&g=' }, { f: '', g: '' });
same('empty pairs are left out', { query: '&&a=1&' }, { a: '1' });
same('a value keeps its equals signs', { query: 'a=b=c' }, { a: 'b=c' });
same('brackets of a query have no meaning', { query: 'b[c]=3&d[]=4' }, { 'b[c]': '3', 'd[]': '4' });
same('brackets of a form have no meaning', form('n[x]=1'), { 'n[x]': '1' });
same('a query that is not UTF-8 stays as it stands', { query: 'a=%E9&b=%zz&%E9=1' }, { a: '%E9', b: '%zz', '%E9': '1' });
same('a form that is not UTF-8 has U+FFFD', form('a=%E9&b=%zz'), { a: '\ufffd', b: '%zz' });
same('a form', form('To=%2B1&Body=hi+there&Body=2'), { To: '+1', Body: ['hi there', '2'] });
same('a form of another charset is UTF-8', { type: `${FORM}; charset=iso-8859-1`, body: 'a=é' }, { a: 'é' });
same('the body replaces the query', { query: 'age=1&q=x', ...form('age=42') }, { age: '42', q: 'x' });
same('JSON replaces the query', { query: 'age=1&q=x', ...json('{"age":42,"o":{"k":[null]}}') }, { age: 42, q: 'x', o: { k: [null] } });
same('a JSON array has its indexes as names', json('[{"z":1},2]'), { 0: { z: 1 }, 1: 2 });
same('an empty JSON body has no members', json(''), {});
same('JSON with a charset', { type: 'Application/JSON; charset=utf-8', body: '{"a":1}' }, { a: 1 });
same('JSON may begin with a byte order mark', json('\ufeff{"a":1}'), { a: 1 });
same('JSON keeps big numbers and -0 as JavaScript reads them', json('{"a":1e400,"b":-0,"c":12345678901234567890}'),
  { a: Infinity, b: -0, c: 12345678901234567000 });
same('lone surrogates of JSON are kept', json('{"a":"\\ud800"}'), { a: '\ud800' });
for (const type of ['application/vnd.x+json', 'text/plain', 'text/xml', 'multipart/form-data; boundary=x']) {
  same(`${type} has no parameters`, { query: 'q=1', type, body: '{"a":1}' }, { q: '1' });
}
same('a body without Content-Type has no parameters', { body: '{"a":1}' }, {});

for (const body of ['{bad', '1', 'null', '"x"', 'true', '{"a":1} x', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])]) {
  test(`${String(body)} is no event`, () => assert.throws(() => parameters(json(body)), BadRequest));
}

test('the values of a JSON array are in the order of the body', () => {
  const text = '[{"b":1,"a":2},{"d":3}]';
  assert.strictEqual(JSON.stringify(Object.values(parameters(json(text)))), text);
});

for (const [name, parts] of [['query', { query: 'request=x&a=1' }], ['form', form('request=x&a=1')], ['JSON', json('{"request":"x","a":"1"}')]]) {
  test(`a parameter named request of a ${name} does not replace event.request`, () => {
    const event = eventOf({ type: null, headers: [['A', 'b']], ...parts }, Buffer.from(parts.body ?? ''));
    assert.deepStrictEqual(Object.keys(event), ['request', 'a']);
    assert.deepStrictEqual(event.request, { headers: { a: 'b' }, cookies: {} });
  });
}

for (const [name, parts] of [['query', { query: '__proto__=x&__proto__[y]=1' }], ['form', form('__proto__=x')],
  ['JSON', json('{"__proto__":{"polluted":1}}')]]) {
  test(`__proto__ in a ${name} is left out`, () => {
    const found = parameters(parts);
    assert.strictEqual(found.polluted, undefined);
    assert.ok(!Object.hasOwn(found, '__proto__'));
    assert.strictEqual({}.polluted, undefined);
  });
}

test('constructor and hasOwnProperty are parameters like others', () => {
  const found = parameters({ query: 'constructor=1&hasOwnProperty=2&hasOwnProperty=3&toString=4' });
  assert.deepStrictEqual(Object.entries(found), [['constructor', '1'], ['hasOwnProperty', ['2', '3']], ['toString', '4']]);
});

test('the order is request, query, body', () => {
  const event = eventOf({ query: 'b=1&a=2', headers: [], ...form('d=3&c=4') }, Buffer.from('d=3&c=4'));
  assert.deepStrictEqual(Object.keys(event), ['request', 'b', 'a', 'd', 'c']);
});

function request(headers, more = {}) {
  return eventOf({ query: '', type: null, headers, ...more }, Buffer.from('raw')).request;
}

test('headers have names in lower case, and repeated ones are arrays', () => {
  assert.deepStrictEqual(request([['X-A', '1'], ['x-a', '2'], ['Accept', '*/*'], ['__proto__', 'x'], ['constructor', 'y']]).headers,
    { 'x-a': ['1', '2'], accept: '*/*', constructor: 'y' });
});

test('cookies: the first of a name, decoded, without quotes', () => {
  const cookie = 'foo=bar; foo=baz; T=a%20b; q="x y"; bad=%E9; j=j:{"a":1}; alone; =no; e=; __proto__=x; constructor=z';
  assert.deepStrictEqual(request([['Cookie', cookie]]).cookies,
    { foo: 'bar', T: 'a b', q: 'x y', bad: '%E9', j: 'j:{"a":1}', e: '', constructor: 'z' });
});

test('cookies of two headers', () => {
  assert.deepStrictEqual(request([['Cookie', 'a=1'], ['cookie', 'a=2; b=3']]).cookies, { a: '1', b: '3' });
});

test('method, url, rawBody and user are there and not enumerable', () => {
  const found = request([], { method: 'POST', url: 'https://h/p?q', user: 'ann' });
  assert.deepStrictEqual([found.method, found.url, found.rawBody, found.user], ['POST', 'https://h/p?q', Buffer.from('raw'), 'ann']);
  assert.strictEqual(JSON.stringify(found), '{"headers":{},"cookies":{}}');
});

test('malformed JSON is BAD_REQUEST, and the Function is not run', async (t) => {
  const isolate = await isolateFor(t, { functions: { f: "exports.handler = (c, e, done) => { console.log('ran'); done(null, e.a); }" } });
  const { bad, logs, status, idle } = await isolate.call('f', { method: 'POST', ...json('{bad') });
  assert.match(bad, /^The body is no JSON: /);
  assert.deepStrictEqual([logs, status, idle.calls], [[], undefined, 1]);
  assert.strictEqual(String((await isolate.call('f', { method: 'POST', ...json('{"a":"next"}') })).body), 'next');
});

test('rawBody holds after the call', async (t) => {
  const source = 'let kept; exports.handler = (c, e, done) => { const first = kept; kept = e.request.rawBody; done(null, String(first)); }';
  const isolate = await isolateFor(t, { functions: { f: source } });
  await isolate.call('f', { method: 'POST', body: 'aaaaaaaa' });
  assert.strictEqual(String((await isolate.call('f', { method: 'POST', body: 'bbbbbbbb' })).body), 'aaaaaaaa');
});

test('a body of a megabyte, in a form and in JSON', async (t) => {
  const isolate = await isolateFor(t, { functions: { f: 'exports.handler = (c, e, done) => done(null, String(e.a.length))' } });
  const a = 'x'.repeat(1 << 20);
  for (const parts of [form(`a=${a}`), json(JSON.stringify({ a }))]) {
    assert.strictEqual(String((await isolate.call('f', { method: 'POST', ...parts })).body), String(1 << 20));
  }
});

test('JSON of a depth of 100,000 ends the call, not the isolate', async (t) => {
  const isolate = await isolateFor(t, { functions: { f: 'exports.handler = (c, e, done) => done(null, e)' } });
  const deep = await isolate.call('f', { method: 'POST', ...json('['.repeat(1e5) + ']'.repeat(1e5)) });
  assert.ok(deep.status === 500 || deep.bad);
  assert.strictEqual((await isolate.call('f')).status, 200);
});
