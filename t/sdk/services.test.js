'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { account } = require('./client');

const { sid: accountSid, api } = account();
const base = `${process.env.BASE_URL}/v1/Services`;

test('a Service is created', async () => {
  const before = Math.floor(Date.now() / 1000) * 1000;
  const service = await api.services.create({ uniqueName: 'created', friendlyName: 'Created' });
  assert.match(service.sid, /^ZS[0-9a-f]{32}$/);
  assert.match(service.domainBase, /^created-\d{4}$/);
  assert.ok(service.dateCreated instanceof Date);
  assert.ok(service.dateCreated >= before && service.dateCreated <= Date.now());
  assert.deepEqual(service.dateUpdated, service.dateCreated);
  const url = `${base}/${service.sid}`;
  assert.deepEqual(service.toJSON(), {
    sid: service.sid,
    accountSid,
    friendlyName: 'Created',
    uniqueName: 'created',
    includeCredentials: true,
    uiEditable: false,
    domainBase: service.domainBase,
    dateCreated: service.dateCreated,
    dateUpdated: service.dateUpdated,
    url,
    links: {
      environments: `${url}/Environments`,
      functions: `${url}/Functions`,
      assets: `${url}/Assets`,
      builds: `${url}/Builds`,
    },
  });
});

test('a Service is created with all of its parameters', async () => {
  const service = await api.services.create({
    uniqueName: 'with-all', friendlyName: 'Mit allem: äöü €', includeCredentials: false, uiEditable: true,
  });
  assert.deepEqual(
    [service.friendlyName, service.includeCredentials, service.uiEditable],
    ['Mit allem: äöü €', false, true]);
});

test('a Service is fetched by its SID and by its UniqueName', async () => {
  const service = await api.services.create({ uniqueName: 'fetched', friendlyName: 'Fetched' });
  assert.deepEqual((await api.services(service.sid).fetch()).toJSON(), service.toJSON());
  assert.deepEqual((await api.services('fetched').fetch()).toJSON(), service.toJSON());
});

test('a Service is updated', async () => {
  const service = await api.services.create({ uniqueName: 'updated', friendlyName: 'Before' });
  const updated = await api.services(service.sid).update({ friendlyName: 'After', uiEditable: true });
  assert.deepEqual(updated.toJSON(), {
    ...service.toJSON(), friendlyName: 'After', uiEditable: true, dateUpdated: updated.dateUpdated,
  });
  assert.ok(updated.dateUpdated >= service.dateUpdated);
  assert.deepEqual((await api.services(service.sid).fetch()).toJSON(), updated.toJSON());
});

test('an update without parameters changes nothing', async () => {
  const service = await api.services.create({ uniqueName: 'same', friendlyName: 'Same' });
  assert.deepEqual((await api.services(service.sid).update()).toJSON(), service.toJSON());
});

test('a Service is removed with its Functions', async () => {
  const service = await api.services.create({ uniqueName: 'removed', friendlyName: 'Removed' });
  const made = await api.services(service.sid).functions.create({ friendlyName: 'in it' });
  assert.equal(await api.services(service.sid).remove(), true);
  await assert.rejects(api.services(service.sid).fetch(), { status: 404 });
  await assert.rejects(api.services(service.sid).functions(made.sid).fetch(), { status: 404 });
});

test('a fetched Service is fetched again, updated and removed', async () => {
  await api.services.create({ uniqueName: 'instance', friendlyName: 'Instance' });
  const fetched = await api.services('instance').fetch();
  assert.deepEqual((await fetched.fetch()).toJSON(), fetched.toJSON());
  assert.equal((await fetched.update({ friendlyName: 'Renamed' })).friendlyName, 'Renamed');
  assert.deepEqual(await fetched.functions().list(), []);
  assert.equal(await fetched.remove(), true);
  await assert.rejects(api.services('instance').fetch(), { status: 404 });
});
