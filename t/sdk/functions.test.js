'use strict';

const assert = require('node:assert/strict');
const { before, test } = require('node:test');
const { account } = require('./client');

const { sid: accountSid, api } = account();
let service;
let functions;

before(async () => {
  service = await api.services.create({ uniqueName: 'functions', friendlyName: 'Functions' });
  functions = api.services(service.sid).functions;
});

test('a Function is created', async () => {
  const start = Math.floor(Date.now() / 1000) * 1000;
  const made = await functions.create({ friendlyName: '/hello' });
  assert.match(made.sid, /^ZH[0-9a-f]{32}$/);
  assert.ok(made.dateCreated instanceof Date);
  assert.ok(made.dateCreated >= start && made.dateCreated <= Date.now());
  assert.deepEqual(made.dateUpdated, made.dateCreated);
  const url = `${process.env.BASE_URL}/v1/Services/${service.sid}/Functions/${made.sid}`;
  assert.deepEqual(made.toJSON(), {
    sid: made.sid,
    accountSid,
    serviceSid: service.sid,
    friendlyName: '/hello',
    dateCreated: made.dateCreated,
    dateUpdated: made.dateUpdated,
    url,
    links: { function_versions: `${url}/Versions` },
  });
});

for (const name of ['/hello world', 'a&b=c;d+e%20f', 'Zürich 東京 🚀', '"quoted" \\ <tag>', 'x'.repeat(255),
  '🚀'.repeat(255)]) {
  test(`its name comes back as it was sent: ${name.slice(0, 20)}`, async () => {
    const made = await functions.create({ friendlyName: name });
    assert.equal(made.friendlyName, name);
    assert.equal((await functions(made.sid).fetch()).friendlyName, name);
  });
}

test('a Function is fetched, by its Service\'s name too', async () => {
  const made = await functions.create({ friendlyName: 'fetched' });
  assert.deepEqual((await functions(made.sid).fetch()).toJSON(), made.toJSON());
  assert.deepEqual((await api.services('functions').functions(made.sid).fetch()).toJSON(),
    made.toJSON());
});

test('a Function is updated', async () => {
  const made = await functions.create({ friendlyName: 'before' });
  const updated = await functions(made.sid).update({ friendlyName: 'after' });
  assert.deepEqual(updated.toJSON(),
    { ...made.toJSON(), friendlyName: 'after', dateUpdated: updated.dateUpdated });
  assert.ok(updated.dateUpdated >= made.dateUpdated);
  assert.deepEqual((await functions(made.sid).fetch()).toJSON(), updated.toJSON());
});

// The library's methods of an instance work on one that was fetched or listed.
test('a fetched Function is fetched again, updated and removed', async () => {
  const made = await functions.create({ friendlyName: 'instance' });
  const fetched = await functions(made.sid).fetch();
  assert.deepEqual((await fetched.fetch()).toJSON(), made.toJSON());
  assert.equal((await fetched.update({ friendlyName: 'renamed' })).friendlyName, 'renamed');
  assert.equal(await fetched.remove(), true);
  await assert.rejects(functions(made.sid).fetch(), { status: 404 });
});

test('a Function is removed', async () => {
  const made = await functions.create({ friendlyName: 'removed' });
  assert.equal(await functions(made.sid).remove(), true);
  await assert.rejects(functions(made.sid).fetch(), { status: 404, code: 20404 });
});

test('ten are created at once, as a deployment does', async () => {
  const names = Array.from({ length: 10 }, (_, i) => `at once ${i}`);
  const made = await Promise.all(names.map((friendlyName) => functions.create({ friendlyName })));
  assert.deepEqual(made.map((one) => one.friendlyName), names);
  assert.equal(new Set(made.map((one) => one.sid)).size, 10);
});
