// The first argument of a handler, and process.env.
'use strict';

const assert = require('node:assert');
const { describe, test } = require('node:test');
const { PACKAGES, isolateFor, sid } = require('./isolate.js');

const functions = {
  context: 'exports.handler = (c, e, done) => done(null, c)',
  env: 'exports.handler = (c, e, done) => done(null, process.env)',
  top: 'const atTop = process.env.V; exports.handler = (c, e, done) => done(null, [atTop, process.env.V ?? null])',
  write: 'exports.handler = (c, e, done) => { const old = c.V; c.V = "changed"; process.env.V = "changed"; done(null, old) }',
};

const ACCOUNT = `AC${'a'.repeat(32)}`;

// Resolves to the JSON that a Function answers.
const answered = async (isolate, name, head) => JSON.parse((await isolate.call(name, head)).body);

describe('context', () => {
  const base = {
    PATH: '/sub/deep', DOMAIN_NAME: 'shop-1.example.com', SERVICE_SID: sid('ZS', 7), ENVIRONMENT_SID: sid('ZE', 8),
    ACCOUNT_SID: null, AUTH_TOKEN: null,
  };
  const head = { path: base.PATH, domain: base.DOMAIN_NAME, service: base.SERVICE_SID, environment: base.ENVIRONMENT_SID };

  test('the names of the platform come first, then Variables', async (t) => {
    const isolate = await isolateFor(t, { functions });
    const found = await answered(isolate, 'context', { ...head, variables: { V: 'one', constructor: 'x' } });
    assert.deepStrictEqual(Object.entries(found), Object.entries({ ...base, V: 'one', constructor: 'x' }));
  });

  test('a Variable replaces no name of the platform', async (t) => {
    const isolate = await isolateFor(t, { functions });
    const variables = { PATH: 'x', DOMAIN_NAME: 'x', SERVICE_SID: 'x', ENVIRONMENT_SID: 'x', ['__proto__']: 'x' };
    assert.deepStrictEqual(await answered(isolate, 'context', { ...head, variables }), base);
  });

  test('credentials', async (t) => {
    const isolate = await isolateFor(t, { functions });
    const cases = [
      [{}, [null, null]],
      [{ account: ACCOUNT, token: 'secret' }, [ACCOUNT, 'secret']],
      [{ variables: { ACCOUNT_SID: 'ACown', AUTH_TOKEN: 'own' } }, ['ACown', 'own']],
      [{ account: ACCOUNT, token: 'secret', variables: { AUTH_TOKEN: 'own' } }, [ACCOUNT, 'secret']],
      [{ variables: { AUTH_TOKEN: 'own' } }, [null, 'own']],
    ];
    for (const [more, expected] of cases) {
      const { ACCOUNT_SID, AUTH_TOKEN } = await answered(isolate, 'context', { ...head, ...more });
      assert.deepStrictEqual([ACCOUNT_SID, AUTH_TOKEN], expected);
    }
  });

  test('each call has a context of its own', async (t) => {
    const isolate = await isolateFor(t, { functions });
    for (let i = 0; i < 2; i++) {
      assert.strictEqual(String((await isolate.call('write', { variables: { V: 'one' } })).body), 'one');
    }
  });

  test('a changed Variable holds at the next call', async (t) => {
    const isolate = await isolateFor(t, { functions });
    for (const V of ['one', 'two']) {
      assert.strictEqual((await answered(isolate, 'context', { variables: { V } })).V, V);
    }
  });
});

describe('process.env', () => {
  test('has the Variables when a Function is loaded, and those of each call', async (t) => {
    const isolate = await isolateFor(t, { functions });
    assert.deepStrictEqual(await answered(isolate, 'top', { variables: { V: 'one' } }), ['one', 'one']);
    assert.deepStrictEqual(await answered(isolate, 'top', { variables: { V: 'two' } }), ['one', 'two']);
    assert.deepStrictEqual(await answered(isolate, 'top', { variables: {} }), ['one', null]);
  });

  test('has the credentials of a call that has some', async (t) => {
    const isolate = await isolateFor(t, { functions });
    const credentials = { account: ACCOUNT, token: 'secret' };
    const { ACCOUNT_SID, AUTH_TOKEN, V } = await answered(isolate, 'env', { ...credentials, variables: { V: 'one', AUTH_TOKEN: 'own' } });
    assert.deepStrictEqual([ACCOUNT_SID, AUTH_TOKEN, V], [ACCOUNT, 'secret', 'one']);
    const without = await answered(isolate, 'env', {});
    assert.deepStrictEqual([without.ACCOUNT_SID, without.AUTH_TOKEN], [undefined, undefined]);
  });

  test('an assignment lasts until the next call', async (t) => {
    const isolate = await isolateFor(t, { functions });
    await isolate.call('write', { variables: { V: 'one' } });
    assert.strictEqual((await answered(isolate, 'env', { variables: { V: 'one' } })).V, 'one');
  });

  test('Variables do not replace what Node.js depends on', async (t) => {
    const isolate = await isolateFor(t, { functions }, { env: { HOME: '/tmp' } });
    const variables = { PATH: 'x', HOME: 'x', NODE_OPTIONS: 'x', NODE_PATH: 'x', LD_PRELOAD: 'x', OK: 'y' };
    assert.deepStrictEqual(await answered(isolate, 'env', { variables }), { PATH: '/usr/bin:/bin', HOME: '/tmp', OK: 'y' });
    assert.deepStrictEqual(await answered(isolate, 'env', {}), { PATH: '/usr/bin:/bin', HOME: '/tmp' });
  });
});

describe('getTwilioClient', () => {
  const client = {
    sid: 'exports.handler = (c, e, done) => done(null, c.getTwilioClient(e.edge ? { edge: e.edge } : undefined).accountSid)',
    edge: 'exports.handler = (c, e, done) => done(null, c.getTwilioClient({ edge: "dublin" }).edge)',
    legacy: 'exports.handler = (c, e, done) => done(null, twilioClient === null ? "null" : twilioClient.accountSid)',
    sync: `exports.handler = (c, e, done) => {
      const service = Runtime.getSync(e.name && { serviceName: e.name });
      done(null, [service._solution?.sid ?? null, typeof service.documents, service.maps === service.syncMaps, service.lists === service.syncLists]);
    }`,
  };
  const credentials = { account: ACCOUNT, token: 'secret' };

  test('with credentials', async (t) => {
    const isolate = await isolateFor(t, { functions: client }, { env: { NODE_PATH: PACKAGES } });
    assert.strictEqual(String((await isolate.call('sid', credentials)).body), ACCOUNT);
    assert.strictEqual(String((await isolate.call('edge', credentials)).body), 'dublin');
    assert.strictEqual(String((await isolate.call('legacy', credentials)).body), ACCOUNT);
    assert.deepStrictEqual(await answered(isolate, 'sync', credentials), ['default', 'function', true, true]);
    assert.deepStrictEqual(await answered(isolate, 'sync', { query: 'name=s', ...credentials }), ['s', 'function', true, true]);
  });

  test('without credentials', async (t) => {
    const isolate = await isolateFor(t, { functions: client }, { env: { NODE_PATH: PACKAGES } });
    for (const name of ['sid', 'sync']) {
      const { status, body } = await isolate.call(name);
      assert.deepStrictEqual([status, JSON.parse(body).message], [500, 'There is no Twilio client: context.ACCOUNT_SID and ' +
        'context.AUTH_TOKEN are not set: set both as Variables of the Environment, or include credentials in the Service']);
    }
    assert.strictEqual(String((await isolate.call('legacy')).body), 'null');
  });
});
