'use strict';

const assert = require('node:assert/strict');
const { before, test } = require('node:test');
const { account } = require('./client');

const { sid: accountSid, api } = account();
let service;
let environment;
let variables;

before(async () => {
  service = await api.services.create({ uniqueName: 'variables', friendlyName: 'Variables' });
  const { environments } = api.services(service.sid);
  environment = await environments.create({ uniqueName: 'production' });
  variables = environments(environment.sid).variables;
});

test('a Variable is created', async () => {
  const made = await variables.create({ key: 'TOKEN', value: 'secret' });
  assert.match(made.sid, /^ZV[0-9a-f]{32}$/);
  assert.ok(made.dateCreated instanceof Date);
  assert.deepEqual(made.toJSON(), {
    sid: made.sid,
    accountSid,
    serviceSid: service.sid,
    environmentSid: environment.sid,
    key: 'TOKEN',
    value: 'secret',
    dateCreated: made.dateCreated,
    dateUpdated: made.dateCreated,
    url: `${environment.links.variables}/${made.sid}`,
  });
});

test('a Key that is there is refused', async () => {
  await assert.rejects(variables.create({ key: 'TOKEN', value: 'other' }),
    { status: 409, code: 20409, message: 'Variable with this Key already exists.' });
});

for (const value of ['a&b=c;d+e%20f', 'Zürich 東京 🚀', '"quoted" \\ <tag>', 'line\r\nline', '🚀'.repeat(112)]) {
  test(`its value comes back as it was sent: ${value.slice(0, 20).trim()}`, async () => {
    const made = await variables.create({ key: `KEY ${value.slice(0, 9)}`, value });
    assert.equal(made.value, value);
    assert.equal((await variables(made.sid).fetch()).value, value);
  });
}

test('a Variable is updated, wholly, in part or not at all', async () => {
  const made = await variables.create({ key: 'BEFORE', value: 'before' });
  const updated = await variables(made.sid).update({ key: 'AFTER', value: 'after' });
  assert.deepEqual([updated.key, updated.value], ['AFTER', 'after']);
  assert.equal((await variables(made.sid).update({ value: 'alone' })).key, 'AFTER');
  const left = await variables(made.sid).update({ key: 'ALONE' });
  assert.equal(left.value, 'alone');
  assert.deepEqual((await variables(made.sid).update()).toJSON(), left.toJSON());
});

test('Variables are listed, newest first', async () => {
  const made = await variables.create({ key: 'NEWEST', value: 'v' });
  const listed = await variables.list({ pageSize: 2 });
  assert.deepEqual(listed[0].toJSON(), made.toJSON());
  assert.equal(listed.at(-1).key, 'TOKEN');
  assert.equal(new Set(listed.map((one) => one.sid)).size, listed.length);
});

test('a Variable is removed', async () => {
  const made = await variables.create({ key: 'REMOVED', value: 'v' });
  assert.equal(await variables(made.sid).remove(), true);
  await assert.rejects(variables(made.sid).fetch(), { status: 404, code: 20404 });
});
