'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const client = require('./client');

test('a Service is created and fetched', async () => {
  const api = client();
  const created = await api.services.create({ uniqueName: 'sdk', friendlyName: 'SDK' });
  assert.match(created.sid, /^ZS[0-9a-f]{32}$/);
  const fetched = await api.services(created.sid).fetch();
  assert.deepEqual(fetched.toJSON(), created.toJSON());
});
