'use strict';

// Logs: the library lists them by Function and time, and follows the pages.
const assert = require('node:assert/strict');
const { before, test } = require('node:test');
const { account, sql } = require('./client');

const { sid: accountSid, api } = account();
const start = new Date(Math.floor(Date.now() / 1000) * 1000 - 3600000);
let service;
let environment;
let functions;
let sids;

// What a Function said so many seconds after the start.
function add(functionSid, seconds, message) {
  const at = new Date(start.getTime() + seconds * 1000).toISOString();
  return sql(`SELECT serverless.add_log('${environment.sid}', '${functionSid}', 'info', '${message}', at => '${at}')`);
}

before(async () => {
  service = await api.services.create({ uniqueName: 'logs', friendlyName: 'Logs' });
  environment = await api.services(service.sid).environments.create({ uniqueName: 'dev' });
  functions = [];
  for (const friendlyName of ['even', 'odd']) {
    functions.push(await api.services(service.sid).functions.create({ friendlyName }));
  }
  sids = [];
  for (let i = 0; i < 6; i += 1) {
    sids.unshift(add(functions[i % 2].sid, i, `message ${i}`));
  }
});

const logs = () => api.services(service.sid).environments(environment.sid).logs;
const after = (seconds) => new Date(start.getTime() + seconds * 1000);
const sidsOf = (list) => list.map((log) => log.sid);

test('an entry is fetched', async () => {
  const log = await logs()(sids[0]).fetch();
  assert.deepEqual(
    { ...log.toJSON() },
    {
      sid: sids[0],
      accountSid,
      serviceSid: service.sid,
      environmentSid: environment.sid,
      buildSid: null,
      deploymentSid: null,
      functionSid: functions[1].sid,
      requestSid: log.requestSid,
      level: 'info',
      message: 'message 5',
      dateCreated: after(5),
      url: `${environment.links.logs}/${sids[0]}`,
    },
  );
  assert.match(log.requestSid, /^RQ[0-9a-f]{32}$/);
});

for (const pageSize of [1, 2, 4, 50]) {
  test(`all of them, newest first, in pages of ${pageSize}`, async () => {
    assert.deepEqual(sidsOf(await logs().list({ pageSize })), sids);
  });

  test(`those of a Function, in pages of ${pageSize}`, async () => {
    assert.deepEqual(sidsOf(await logs().list({ functionSid: functions[1].sid, pageSize })),
      [sids[0], sids[2], sids[4]]);
  });

  test(`those between two Dates, in pages of ${pageSize}`, async () => {
    assert.deepEqual(sidsOf(await logs().list({ startDate: after(1), endDate: after(4), pageSize })),
      sids.slice(1, 5));
  });
}

test('the same with milliseconds', async () => {
  const dates = { startDate: after(1).toISOString(), endDate: after(4).toISOString() };
  assert.deepEqual(sidsOf(await logs().list(dates)), sids.slice(1, 5));
});
